//! Opens sources and gives each an address that ffmpeg may read.

use std::{io, net::Ipv4Addr, path::PathBuf, sync::Arc};

use framemill_schemas::{
    failure::{Class, Failure},
    source::Source,
};
use framemill_storage::Store;
use reqwest::Url;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    answer::Part,
    blocks::{BLOCK_BYTES, Blocks, Share},
    config::{Limits, SourcesConfig},
    cursor::{Cursor, RemoteSource},
    fault::{self, Faults},
    file::FileSource,
    guard::Guard,
    http::{HttpSource, Web},
    identity::identity,
    listener::{self, Content, Registry, Served},
    object::ObjectSource,
    page::{self, Page},
    run::{Remote, Run},
};

/// A worker's reader of sources. Clones share the listener.
#[derive(Clone, Debug)]
pub struct SourceReader(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    folders: Vec<PathBuf>,
    limits: Limits,
    /// Or why nothing can be fetched from web servers.
    web: Result<Web, String>,
    store: Store,
    share: Share,
    base: String,
    registry: Arc<Registry>,
    stop: CancellationToken,
}

/// A source that can be read at [`OpenSource::url`]. Dropping it withdraws the address.
#[derive(Debug)]
pub struct OpenSource {
    url: String,
    path: String,
    identity: String,
    served: Arc<Served>,
    registry: Arc<Registry>,
}

/// A source that was opened and has no address yet.
struct Found {
    content: Content,
    bytes: u64,
    identity: String,
    faults: Arc<Faults>,
}

impl SourceReader {
    /// Listens on a free loopback port until `stop`.
    pub async fn start(config: &SourcesConfig, store: Store, stop: CancellationToken) -> io::Result<Self> {
        Self::start_with(config, Limits::default(), store, stop).await
    }

    /// The same with bounds other than the usual ones.
    pub async fn start_with(
        config: &SourcesConfig,
        limits: Limits,
        store: Store,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let registry = Arc::<Registry>::default();
        tokio::spawn(listener::serve(listener, Arc::clone(&registry), stop.clone()));
        // A machine without root certificates can still read files and objects.
        let web = Web::new(Guard::new(config), limits).map_err(|error| {
            tracing::warn!(%error, "http sources cannot be read on this node");
            error.to_string()
        });
        Ok(Self(Arc::new(Parts {
            folders: config.folders.clone(),
            limits,
            web,
            store,
            share: Share::default(),
            base,
            registry,
            stop,
        })))
    }

    /// Fetches the whole of something small from a web server, at most `bytes_max` of it.
    pub(crate) async fn fetch(&self, shown: &str, url: &Url, bytes_max: usize) -> Result<Page, Failure> {
        match &self.0.web {
            Ok(web) => page::fetch(web, shown, url, bytes_max).await,
            Err(why) => Err(no_tls(shown, why)),
        }
    }

    /// Opens a source and learns its size and identity. With `expect_identity`, a source that is
    /// not that one is refused.
    ///
    /// # Errors
    /// What, where and the mend: `source-missing`, `source-empty`, `source-refused`,
    /// `source-changed`, ... No text shows an address's query.
    pub async fn open(&self, source: &Source, expect_identity: Option<&str>) -> Result<OpenSource, Failure> {
        let parts = &self.0;
        let shown = source.to_string();
        let found = match source {
            Source::Path(path) => parts.open_file(path.clone()).await?,
            Source::Http(address) => parts.open_http(&shown, address).await?,
            Source::S3 { bucket, key } => parts.open_object(&shown, bucket, key).await?,
            // Its segments are copied by packagers, and never read as a source.
            Source::Channel { .. } => {
                let reason = format!("{shown} came to a worker, which encodes nothing of a channel's past");
                return Err(Failure::new(Class::Bug, "wrong-role", reason)
                    .mend("run schedulers, workers and packagers of one version"));
            }
        };
        if expect_identity.is_some_and(|expected| expected != found.identity) {
            return Err(fault::changed(&shown));
        }
        let path = Uuid::new_v4().simple().to_string();
        let served = Arc::new(Served {
            content: found.content,
            bytes: found.bytes,
            faults: found.faults,
            gone: parts.stop.child_token(),
        });
        parts.registry.put(path.clone(), Arc::clone(&served));
        Ok(OpenSource {
            url: format!("{}/{path}", parts.base),
            path,
            identity: found.identity,
            served,
            registry: Arc::clone(&parts.registry),
        })
    }
}

impl Parts {
    async fn open_file(&self, path: PathBuf) -> Result<Found, Failure> {
        let folders = self.folders.clone();
        let shown = path.display().to_string();
        let file = tokio::task::spawn_blocking(move || FileSource::open(&path, &folders))
            .await
            .unwrap_or_else(|_| Err(fault::interrupted(&shown, "opening it was abandoned")))?;
        Ok(Found {
            bytes: file.bytes,
            identity: file.identity.clone(),
            faults: Arc::clone(&file.faults),
            content: Content::File(Arc::new(file)),
        })
    }

    async fn open_http(&self, shown: &str, address: &str) -> Result<Found, Failure> {
        let web = self.web.clone().map_err(|error| no_tls(shown, &error))?;
        let remote = Remote::Http(Box::new(HttpSource::new(web, shown.to_owned(), address)?));
        let (part, run) = self.first(&remote).await?;
        let source = self.remote(shown, remote, part.total, part.mark);
        // The first block has been asked for: nearly every demuxer wants it.
        Cursor::new(Arc::clone(&source), 0..part.end).with(run).next().await?;
        let identity = identity("http", source.bytes, &[&source.mark]);
        Ok(found(source, identity))
    }

    /// The first request to a web server, with its retries.
    async fn first(&self, remote: &Remote) -> Result<(Part, Run), Failure> {
        let mut pause = self.limits.pause;
        let mut attempt = 1;
        loop {
            match remote.run(&(0..BLOCK_BYTES), false).await {
                Ok(opened) => return Ok(opened),
                Err(trouble) if !trouble.again || attempt >= self.limits.tries => return Err(trouble.failure),
                Err(_) => sleep(pause).await,
            }
            attempt += 1;
            pause *= 4;
        }
    }

    async fn open_object(&self, shown: &str, bucket: &str, key: &str) -> Result<Found, Failure> {
        let object = ObjectSource {
            store: self.store.clone(),
            shown: shown.to_owned(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        };
        let (bytes, etag) = object.head().await?;
        if bytes == 0 {
            return Err(fault::empty(shown));
        }
        let identity = identity("s3", bytes, &[&etag]);
        Ok(found(self.remote(shown, Remote::Object(object), bytes, etag), identity))
    }

    fn remote(&self, shown: &str, remote: Remote, bytes: u64, mark: String) -> Arc<RemoteSource> {
        Arc::new(RemoteSource {
            remote,
            shown: shown.to_owned(),
            bytes,
            mark,
            limits: self.limits,
            blocks: Blocks::new(self.share.clone()),
            faults: Arc::default(),
        })
    }
}

fn found(source: Arc<RemoteSource>, identity: String) -> Found {
    Found { bytes: source.bytes, identity, faults: Arc::clone(&source.faults), content: Content::Remote(source) }
}

impl OpenSource {
    /// Where ffmpeg reads it: a loopback address that nobody can guess.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.served.bytes
    }

    /// What identifies its bytes: another value means other bytes.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Why a read was given up, if one was. ffmpeg only saw a file that ends, so that even its
    /// success is no success.
    pub fn fault(&self) -> Option<Failure> {
        self.served.faults.fault()
    }

    /// What explains an ffmpeg that failed or was stopped: [`OpenSource::fault`], or else the
    /// trouble of a read that was still being retried.
    pub fn explanation(&self) -> Option<Failure> {
        self.served.faults.explanation()
    }
}

impl Drop for OpenSource {
    fn drop(&mut self) {
        self.registry.take(&self.path);
        self.served.gone.cancel();
    }
}

fn no_tls(shown: &str, why: &str) -> Failure {
    Failure::new(Class::Resource, "source-no-tls", format!("this node cannot read {shown}: {why}"))
        .mend("install the system's root certificates (package ca-certificates) on the node")
}
