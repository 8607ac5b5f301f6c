//! The embedded store: S3 over one folder of one machine, for `framemill up`.
//!
//! Owns the folder: one file per object, its bytes followed by what is recorded of them, so that
//! one rename makes an object with everything that belongs to it, and a crash leaves either the
//! whole object or none. It answers a put only after the file and its folder were synced. Of
//! conditional puts that race for a name exactly one wins. The protocol (signatures, XML,
//! streaming bodies) is `s3s`'s.
//!
//! Never shares the folder: a second process on it is refused.

mod access;
mod commit;
mod conditions;
mod fault;
mod folder;
mod multipart;
mod names;
mod reading;
mod record;
mod service;
mod stage;
mod walk;
mod writing;

use std::{io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use crate::secret::Secret;

pub use access::reader;

/// Connections at once; the next ones wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// Longest time a client may take over the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that requests under way get when the store stops.
const GRACE: Duration = Duration::from_secs(5);

/// Why the embedded store cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Another process has the folder.
    #[error("the folder {} is in use by another process; stop that one, or take another data folder", root.display())]
    Locked {
        /// The folder.
        root: PathBuf,
    },
    /// Something else is in it.
    #[error("the folder {} holds {found:?} and not a store of this version; take another data folder", root.display())]
    Foreign {
        /// The folder.
        root: PathBuf,
        /// First line of its `format` file.
        found: String,
    },
    /// The folder cannot be used.
    #[error("the folder {} cannot be used; check that it may be written and that the disk has room", root.display())]
    Folder {
        /// The folder.
        root: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Serves the store in `root` (created where it is missing) on `listener` until `stop`.
///
/// # Errors
/// A folder that is taken, foreign or not writable. Faults of single requests and connections are
/// answered or logged, and end nothing.
pub async fn serve(
    root: &Path,
    listener: TcpListener,
    access_key: &Secret,
    secret_key: &Secret,
    stop: CancellationToken,
) -> Result<(), EmbeddedError> {
    let path = root.to_owned();
    let folder = tokio::task::spawn_blocking(move || folder::Folder::open(&path))
        .await
        .expect("opening a folder does not panic")?;
    let mut builder = S3ServiceBuilder::new(service::EmbeddedStore::new(Arc::new(folder)));
    let (reader_access, reader_secret) = reader(access_key, secret_key);
    let mut auth = SimpleAuth::from_single(access_key.expose(), secret_key.expose());
    auth.register(reader_access.expose().to_owned(), reader_secret.expose().into());
    builder.set_auth(auth);
    builder.set_access(access::Access::new(access_key));
    let service = builder.build();

    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Connections hold the folder and with it its lock: none survives this function for long.
    let cut = CancellationToken::new();
    let _cut = cut.clone().drop_guard();
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, slot)
        };
        let (socket, slot) = tokio::select! {
            () = stop.cancelled() => break,
            (accepted, slot) = accepted => match accepted {
                Ok((socket, _)) => (socket, slot),
                Err(error) => {
                    // Out of file descriptors, most likely: connections that end give some back.
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        // Answers are small: waiting to fill a packet would only delay them.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "no-delay not set");
        }
        let connection = http.serve_connection(TokioIo::new(socket), service.clone());
        let connection = graceful.watch(connection.into_owned());
        let cut = cut.clone();
        tokio::spawn(async move {
            if let Some(Err(error)) = cut.run_until_cancelled(connection).await {
                tracing::debug!(error, "connection ended");
            }
            drop(slot);
        });
    }
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests to the embedded store were cut off");
    }
    Ok(())
}
