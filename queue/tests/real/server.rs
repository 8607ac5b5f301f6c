//! A nats-server of a test's own, that can be killed and started again on its data.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use framemill_queue::{NatsConfig, Queue};
use tempfile::TempDir;

/// Longest wait for anything in these tests.
pub const BOUND: Duration = Duration::from_secs(30);

pub struct Server {
    dir: TempDir,
    child: Option<Child>,
    port: u16,
    pub settings: &'static str,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with("max_payload: 8MB", true).await
    }

    pub async fn start_with(settings: &'static str, jetstream: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Self { dir, child: None, port: 0, settings };
        server.up(jetstream).await;
        server
    }

    /// Kills it like a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same port and data.
    pub async fn restart(&mut self) {
        self.up(true).await;
    }

    /// Stops it where it stands; connections stay open.
    #[allow(dead_code, reason = "for the recovery tests, which share this file")]
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    #[allow(dead_code, reason = "for the recovery tests, which share this file")]
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    #[allow(dead_code, reason = "for the recovery tests, which share this file")]
    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Processor time the server has used.
    pub fn cpu_ms(&self) -> u64 {
        let pid = self.child.as_ref().unwrap().id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |field: usize| fields[field].parse::<u64>().unwrap();
        // User and system time, in hundredths of a second (proc(5), USER_HZ).
        (ticks(11) + ticks(12)) * 10
    }

    pub fn config(&self) -> NatsConfig {
        NatsConfig { url: self.url(), ..NatsConfig::default() }
    }

    pub async fn connect(&self) -> Queue {
        Queue::connect(&self.config()).await.unwrap()
    }

    async fn up(&mut self, jetstream: bool) {
        let path = self.dir.path();
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let store = path.join("store");
        let stream = if jetstream {
            format!("jetstream {{ store_dir: {:?}, sync_interval: always }}", store.display().to_string())
        } else {
            String::new()
        };
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\nports_file_dir: {:?}\n{}\n{stream}\n",
            path.display().to_string(),
            self.settings
        );
        let file = path.join("nats.conf");
        fs::write(&file, config).unwrap();
        let child = Command::new(binary())
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(fs::File::create(path.join("log")).unwrap())
            .spawn()
            .unwrap();
        // Named after the executable, whatever that is called.
        let ports = format!("_{}.ports", child.id());
        self.child = Some(child);
        eventually("nats-server listens", async || {
            let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().ends_with(&ports);
            let file = fs::read_dir(path).ok()?.filter_map(Result::ok).find(named)?;
            let text = fs::read_to_string(file.path()).ok()?;
            let after = text.split("nats://127.0.0.1:").nth(1)?;
            self.port = after.split('"').next()?.parse().ok()?;
            Some(())
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("FRAMEMILL_NATS__SERVER") {
        return path.into();
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.framemill/tools/bin/nats-server");
    if own.exists() { own } else { "nats-server".into() }
}

/// Waits until `condition` gives something.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for a future.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}
