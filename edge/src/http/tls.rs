//! TLS: the certificate of this edge, and the next one when its files change.

use std::{path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring::{Ticketer, default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::TlsConfig;

/// How often the files are looked at: what renews certificates does so days before their end.
const LOOK: Duration = Duration::from_secs(5);

/// The certificate that is shown now.
#[derive(Debug)]
pub struct Certificate {
    files: TlsConfig,
    shown: ArcSwap<CertifiedKey>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load_full())
    }
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn open(files: &TlsConfig) -> Result<Arc<Self>, String> {
        let shown = ArcSwap::from_pointee(read(files)?);
        Ok(Arc::new(Self { files: files.clone(), shown }))
    }

    /// What accepts connections, HTTP/2 preferred. A session is taken up again by a ticket, so that a player which comes
    /// back costs no signature.
    ///
    /// # Errors
    /// What this build of TLS cannot do.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, String> {
        let mut server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        server.ticketer = Ticketer::new().map_err(|error| error.to_string())?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(server)))
    }

    /// Shows what the files hold from then on, until it is stopped. Files that fit no more, as between the writing of one
    /// and of the other, change nothing.
    pub async fn renew(self: Arc<Self>, stop: CancellationToken) {
        let mut said = None;
        while stop.run_until_cancelled(sleep(LOOK)).await.is_some() {
            match read(&self.files) {
                Ok(next) if next.cert == self.shown.load().cert => said = None,
                Ok(next) => {
                    self.shown.store(Arc::new(next));
                    tracing::info!(file = %self.files.certificate.display(), "another certificate is shown from now on");
                    said = None;
                }
                Err(error) if said.as_ref() == Some(&error) => {}
                Err(error) => {
                    tracing::warn!(error, "the certificate cannot be read again; the one that was read is shown");
                    said = Some(error);
                }
            }
        }
    }
}

fn read(files: &TlsConfig) -> Result<CertifiedKey, String> {
    let named = |path: &Path, why: String| format!("{}: {why}", path.display());
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| named(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(named(&files.certificate, "there is no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| named(&files.key, error.to_string()))?;
    CertifiedKey::from_der(chain, key, &default_provider())
        .map_err(|error| format!("{} with {}: {error}", files.certificate.display(), files.key.display()))
}
