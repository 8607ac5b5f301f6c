//! The embedded store in the test's own process, behind a proxy that can be taken away.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use framemill_storage::{Listed, S3Config, Secret, Store, embedded};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::watch,
};
use tokio_util::sync::CancellationToken;

const ACCESS: &str = "framemill";
const SECRET: &str = "framemill-secret";

/// A store that outlives every role of a test's farm.
pub struct LocalS3 {
    address: SocketAddr,
    direct: SocketAddr,
    away: watch::Sender<bool>,
    refused: Arc<AtomicUsize>,
    runtime: Runtime,
}

impl LocalS3 {
    pub fn start(root: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (away, state) = watch::channel(false);
        let refused = Arc::<AtomicUsize>::default();
        let (direct, address) = runtime.block_on(async {
            let store = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let proxy = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let addresses = (store.local_addr().unwrap(), proxy.local_addr().unwrap());
            let root = root.to_owned();
            tokio::spawn(async move {
                embedded::serve(&root, store, &ACCESS.into(), &SECRET.into(), CancellationToken::new()).await
            });
            tokio::spawn(forward(proxy, addresses.0, state, Arc::clone(&refused)));
            addresses
        });
        Self { address, direct, away, refused, runtime }
    }

    /// What a role must be told to use it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let settings = [
            ("ENDPOINT", format!("http://{}", self.address)),
            ("BUCKET", "framemill".to_owned()),
            ("ACCESS_KEY", ACCESS.to_owned()),
            ("SECRET_KEY", SECRET.to_owned()),
            ("CREATE_BUCKET", "true".to_owned()),
        ];
        settings.map(|(key, value)| (format!("FRAMEMILL_S3__{key}"), value)).into()
    }

    /// Cuts every connection and refuses new ones, or takes them again.
    pub fn set_away(&self, away: bool) {
        self.away.send_replace(away);
    }

    /// Connections refused so far.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Everything that is stored, whether or not it can be reached.
    pub fn list(&self, prefix: &str) -> Vec<Listed> {
        let config = S3Config {
            endpoint: Some(format!("http://{}", self.direct)),
            access_key: Some(Secret::new(ACCESS)),
            secret_key: Some(Secret::new(SECRET)),
            create_bucket: true,
            ..S3Config::default()
        };
        self.runtime.block_on(async { Store::connect(&config).await.unwrap().list(prefix).await.unwrap() })
    }
}

async fn forward(listener: TcpListener, to: SocketAddr, away: watch::Receiver<bool>, refused: Arc<AtomicUsize>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut away = away.clone();
        if *away.borrow() {
            refused.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        tokio::spawn(async move {
            let Ok(mut store) = TcpStream::connect(to).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut store) => {}
                _ = away.wait_for(|away| *away) => {}
            }
        });
    }
}
