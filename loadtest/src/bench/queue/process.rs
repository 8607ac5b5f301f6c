//! A scheduler as a process of its own: its address, its memory, whether it is ready.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::{Client, StatusCode};
use tokio::process::{Child, Command};

use crate::machine::{free_port, resident_bytes};

/// Longest wait for a scheduler to be ready, or to end.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is asked.
const ASK: Duration = Duration::from_millis(20);
/// Its memory has settled when it is the same for this long.
const STEADY: Duration = Duration::from_secs(2);
/// The same: within a hundredth.
const STEADY_SHARE: u64 = 100;

/// How to start one.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The `framemill` binary.
    pub framemill: PathBuf,
    /// Where NATS and the store are, as environment variables.
    pub environment: Vec<(String, String)>,
    /// A folder of its own, without a configuration file.
    pub folder: PathBuf,
}

/// A scheduler that runs.
pub struct Scheduler {
    child: Child,
    client: Client,
    /// Address of its API.
    pub api: String,
    /// How long it took from its start until it was ready.
    pub ready: Duration,
}

impl Scheduler {
    /// Starts one and waits until it is ready.
    pub async fn start(launch: &Launch) -> Result<Self> {
        let (listen, health) = (free_port()?, free_port()?);
        let log = std::fs::File::create(launch.folder.join("scheduler.log"))?;
        let started = Instant::now();
        let child = Command::new(&launch.framemill)
            .args(["scheduler", "--listen", &format!("127.0.0.1:{listen}")])
            .args(["--health", &format!("127.0.0.1:{health}")])
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&launch.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", launch.framemill.display()))?;
        let client = Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?;
        let api = format!("http://127.0.0.1:{listen}");
        let mut scheduler = Self { child, client, api, ready: Duration::ZERO };
        let health = format!("http://127.0.0.1:{health}/readyz");
        loop {
            let asked = scheduler.client.get(&health).timeout(Duration::from_secs(2)).send().await;
            if asked.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                scheduler.ready = started.elapsed();
                return Ok(scheduler);
            }
            if let Some(status) = scheduler.child.try_wait()? {
                bail!("the scheduler ended with {status}: {}", tail(&launch.folder));
            }
            ensure!(started.elapsed() < PATIENCE, "the scheduler is not ready: {}", tail(&launch.folder));
            tokio::time::sleep(ASK).await;
        }
    }

    /// Submits a title.
    pub async fn submit(&self, source: &str) -> Result<()> {
        let body = serde_json::json!({ "source": source }).to_string();
        let request = self.client.post(format!("{}/v1/assets", self.api)).header("Content-Type", "application/json");
        let answer = request.body(body).send().await.context("the scheduler does not answer")?;
        let status = answer.status();
        ensure!(status == StatusCode::ACCEPTED, "{source} was not accepted: {status} {}", answer.text().await?);
        Ok(())
    }

    /// Resident memory in bytes, once it no longer changes.
    pub async fn settled_bytes(&self) -> Result<u64> {
        let begun = Instant::now();
        let (mut since, mut last) = (Instant::now(), self.resident_bytes()?);
        while since.elapsed() < STEADY && begun.elapsed() < PATIENCE {
            tokio::time::sleep(ASK * 5).await;
            let now = self.resident_bytes()?;
            if now.abs_diff(last) > last / STEADY_SHARE {
                (since, last) = (Instant::now(), now);
            }
        }
        self.resident_bytes()
    }

    fn resident_bytes(&self) -> Result<u64> {
        self.child.id().and_then(resident_bytes).context("the scheduler ended")
    }

    /// Asks it to end, and waits.
    pub async fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.child.id().context("the scheduler ended by itself")?)?;
        kill(Pid::from_raw(id), Signal::SIGTERM)?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.context("the scheduler does not end")??;
        Ok(())
    }
}

fn tail(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("scheduler.log")).unwrap_or_default();
    let lines: Vec<_> = log.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
