//! An embedded store on a free port, in this process or in a child that can be killed.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use framemill_storage::{Limits, S3Config, Secret, embedded};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub const ACCESS: &str = "framemill";
pub const SECRET: &str = "framemill-secret";

pub struct Local {
    pub address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Local {
    pub async fn start(root: &Path) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (root, token) = (root.to_owned(), stop.clone());
        let served = tokio::spawn(async move {
            embedded::serve(&root, listener, &ACCESS.into(), &SECRET.into(), token).await.unwrap();
        });
        Self { address, stop, served }
    }

    pub fn config(&self) -> S3Config {
        config(self.address)
    }

    /// Stops it and waits until its folder is free.
    pub async fn stop(self) {
        self.stop.cancel();
        self.served.await.unwrap();
    }
}

/// Settings for a store of ours at an address, with little patience.
pub fn config(address: SocketAddr) -> S3Config {
    S3Config {
        endpoint: Some(format!("http://{address}")),
        bucket: "framemill-test".to_owned(),
        access_key: Some(Secret::new(ACCESS)),
        secret_key: Some(Secret::new(SECRET)),
        create_bucket: true,
        ..S3Config::default()
    }
}

/// Limits for stores that are made to fail.
pub fn impatient() -> Limits {
    Limits { connect_ms: 500, answer_ms: 800, stall_ms: 400, attempts: 3, outage_ms: 20_000 }
}

/// The embedded store as a process of its own, for being killed.
pub struct Process {
    child: Child,
}

const ROOT: &str = "FRAMEMILL_STORE_TEST_ROOT";
const ADDRESS: &str = "FRAMEMILL_STORE_TEST_ADDRESS";

impl Process {
    /// Starts this test binary again, as the server below.
    pub async fn start(root: &Path, address: SocketAddr) -> Self {
        let process = Self::spawn(Command::new(std::env::current_exe().unwrap()), root, address);
        let listens = async || TcpStream::connect(address).await.is_ok();
        wait_until("the store's process listens", Duration::from_secs(20), listens).await;
        process
    }

    /// The same on a disk of 16 MB that only the child sees; `None` where the system lets nobody
    /// mount one.
    pub async fn start_on_a_small_disk(root: &Path, address: SocketAddr) -> Option<Self> {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
            .arg(r#"mount -t tmpfs -o size=16m tmpfs "$0" && exec "$@""#)
            .arg(root)
            .arg(std::env::current_exe().unwrap());
        let mut process = Self::spawn(command, root, address);
        let mut over = false;
        wait_until("the store's process listens or is over", Duration::from_secs(20), async || {
            over = process.child.try_wait().unwrap().is_some();
            over || TcpStream::connect(address).await.is_ok()
        })
        .await;
        (!over).then_some(process)
    }

    fn spawn(mut command: Command, root: &Path, address: SocketAddr) -> Self {
        let child = command
            .args(["--exact", "local::serves_until_killed", "--ignored"])
            .env(ROOT, root)
            .env(ADDRESS, address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the server of other tests, started by them"]
fn serves_until_killed() {
    let (Ok(root), Ok(address)) = (std::env::var(ROOT), std::env::var(ADDRESS)) else { return };
    // A test that dies takes this process along: its end of the pipe closes.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.unwrap();
        let never = CancellationToken::new();
        embedded::serve(Path::new(&root), listener, &ACCESS.into(), &SECRET.into(), never).await.unwrap();
    });
}

pub fn free_ports<const N: usize>() -> [u16; N] {
    // Held together, so that they differ.
    let listeners: [_; N] = std::array::from_fn(|_| std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.each_ref().map(|listener| listener.local_addr().unwrap().port())
}

pub async fn wait_until(what: &str, bound: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + bound;
    while !holds().await {
        assert!(Instant::now() < end, "gave up waiting: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
