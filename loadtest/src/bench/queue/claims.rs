//! A worker whose jobs do nothing, and when it claimed them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use framemill_queue::{
    Queue,
    runner::{self, Attempt, Gate, Handler, RunnerConfig},
};
use framemill_schemas::{
    failure::Failure, ids::NodeId, job::JobRecord, ladder::VideoCodec, lane::Lane, spec::JobOutput,
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longest wait for the next claim.
const STUCK: Duration = Duration::from_secs(120);
const LEASE: Duration = Duration::from_secs(15);

/// What a handler that does nothing delivers.
pub type Deliver = fn(&JobRecord) -> JobOutput;

/// A worker that does nothing.
pub struct Claims {
    claims: mpsc::Receiver<Instant>,
    stop: CancellationToken,
    drain: CancellationToken,
    served: JoinHandle<()>,
}

impl Claims {
    /// Starts one; it goes on only as its claims are looked at.
    pub fn start(queue: Queue, lanes: Vec<Lane>, slots: usize, deliver: Deliver) -> Result<Self> {
        let (sender, claims) = mpsc::channel(slots);
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        let config = RunnerConfig {
            node: NodeId::try_from("bench".to_owned())?,
            process: Uuid::new_v4(),
            role: "worker",
            lanes,
            slots,
            encodes: VideoCodec::ALL.to_vec(),
            zone: None,
            lease: LEASE,
            gate: Gate::default(),
        };
        let serve = runner::serve(queue, config, Arc::new(NoWork { sender, deliver }), drain.clone(), stop.clone());
        let served = tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "the runner ended");
            }
        });
        Ok(Self { claims, stop, drain, served })
    }

    /// When the next job was claimed.
    pub async fn next(&mut self) -> Result<Instant> {
        let claim = timeout(STUCK, self.claims.recv()).await.context("no job was claimed for two minutes")?;
        claim.context("the worker ended")
    }

    /// Ends it; a job it holds is handed back.
    pub async fn stop(mut self) {
        self.drain.cancel();
        self.claims.close();
        self.stop.cancel();
        // A runner that broke off has said so.
        let _ = self.served.await;
    }
}

struct NoWork {
    sender: mpsc::Sender<Instant>,
    deliver: Deliver,
}

impl Handler for NoWork {
    async fn run(&self, attempt: &Attempt) -> Result<JobOutput, Failure> {
        // Nobody listens any more when the benchmark is over.
        let _ = self.sender.send(Instant::now()).await;
        Ok((self.deliver)(&attempt.job))
    }
}
