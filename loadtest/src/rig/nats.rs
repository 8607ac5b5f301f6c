//! The farm's NATS server: a child that can be killed and started again on the same data.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream;

use super::process::{Launch, Process};
use crate::machine::free_port;

/// How long a server may take to listen.
const LISTENS: Duration = Duration::from_secs(60);

/// What makes a server.
#[derive(Debug)]
pub struct Nats {
    /// Where it listens, on loopback.
    pub port: u16,
    /// The child.
    pub process: Process,
}

impl Nats {
    /// One whose data are in `folder`.
    pub fn prepare(server: &Path, folder: &Path, launch: Launch) -> Result<Self> {
        let port = free_port()?;
        let config = folder.join("nats.conf");
        let store = folder.join("nats");
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\nmax_payload: 8MB\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
            store.display().to_string()
        );
        std::fs::write(&config, text).context("cannot write the configuration of nats-server")?;
        let args = vec!["-c".to_owned(), config.display().to_string()];
        Ok(Self { port, process: Process::new(Launch { program: server.to_owned(), args, ..launch }) })
    }

    /// Waits until it listens.
    pub async fn listens(&self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + LISTENS;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            let log = self.process.launch.log.display();
            ensure!(tokio::time::Instant::now() < deadline, "nats-server does not listen; see {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}
