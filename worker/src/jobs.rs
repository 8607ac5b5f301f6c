//! The jobs a worker runs: one file a kind.

mod audio;
mod live;
mod probe;
mod transcode;

use std::time::Instant;

use framemill_media::toolchain::Toolchain;
use framemill_queue::{
    Queue,
    runner::{Attempt, Handler},
};
use framemill_schemas::{
    failure::{Class, Failure},
    spec::{JobOutput, JobSpec},
};
use framemill_storage::Store;
use framemill_telemetry::span;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    headroom::Devices,
    live::Ingest,
    metrics::Metrics,
    source::{OpenSource, SourceReader},
    upload::{Uploader, called_off},
};

/// What jobs are run with.
pub(crate) struct Jobs {
    pub(crate) reader: SourceReader,
    pub(crate) tools: Toolchain,
    pub(crate) uploader: Uploader,
    pub(crate) metrics: Metrics,
    pub(crate) devices: Devices,
    pub(crate) queue: Queue,
    /// Waits for the end of outages.
    pub(crate) store: Store,
    /// What channels are read with.
    pub(crate) ingest: Ingest,
}

impl Handler for Jobs {
    async fn run(&self, attempt: &Attempt) -> Result<JobOutput, Failure> {
        let span = span::attempt(&attempt.job, attempt.fetched_ms);
        let started = Instant::now();
        let outcome = self.dispatch(attempt).instrument(span).await;
        let class = outcome.as_ref().map(|_| ()).map_err(|failure| failure.class);
        self.metrics.attempt(attempt.job.kind(), class, started.elapsed().as_secs_f64());
        outcome
    }
}

impl Jobs {
    async fn dispatch(&self, attempt: &Attempt) -> Result<JobOutput, Failure> {
        match &attempt.job.spec {
            JobSpec::Probe(spec) => self.probe(spec, attempt).await,
            JobSpec::Transcode(spec) => self.transcode(spec, attempt).await,
            JobSpec::Audio(spec) => self.audio(spec, attempt).await,
            JobSpec::Live(spec) => self.live(spec, attempt).await,
            JobSpec::Package(_)
            | JobSpec::ValidatePart(_)
            | JobSpec::ValidateWhole(_)
            | JobSpec::Carry(_)
            | JobSpec::Archive(_) => {
                let reason = format!("a {} job came to a worker", attempt.job.kind().as_str());
                Err(Failure::new(Class::Bug, "wrong-role", reason).mend("run workers and packagers of one version"))
            }
        }
    }
}

/// What went wrong with the source explains what went wrong with ffmpeg, except where we stopped
/// it ourselves.
fn blame(failure: Failure, source: &OpenSource, attempt: &Attempt) -> Failure {
    if attempt.cancel.is_cancelled() {
        return failure;
    }
    match source.explanation() {
        Some(fault) => Failure { evidence: failure.evidence, ..fault },
        None => failure,
    }
}

/// Does what has no child of its own until it is done or the attempt is called off: the store may
/// be waited for.
async fn until_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(called_off()),
        outcome = work => outcome,
    }
}

/// Runs `work` while telling the attempt's watchers how far it is, as parts of `total`.
async fn reporting<T>(attempt: &Attempt, total: u64, work: impl AsyncFnOnce(&watch::Sender<u64>) -> T) -> T {
    let (progress, mut done) = watch::channel(0_u64);
    let forward = async {
        while done.changed().await.is_ok() {
            let done = *done.borrow_and_update();
            attempt.progress.send_replace((done.min(total), total));
        }
        // The sender lives as long as the work: only the other branch ends this.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = work(&progress) => outcome,
        () = forward => unreachable!("the forwarder waits for ever"),
    }
}
