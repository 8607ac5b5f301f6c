//! The jobs a packager runs: one file a kind.

mod archive;
mod carry;
mod decode;
mod package;
mod part;
mod whole;

use std::{sync::Arc, time::Instant};

use framemill_media::toolchain::Toolchain;
use framemill_queue::{
    Queue,
    runner::{Attempt, Handler},
};
use framemill_schemas::{
    failure::{Class, Failure},
    finding::Report,
    spec::{JobOutput, JobSpec},
};
use framemill_storage::Store;
use framemill_telemetry::span;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::metrics::Metrics;

pub(crate) use carry::LastIndex;

/// Objects copied at once by one job: each is held in memory whole.
const COPIES_AT_ONCE: usize = 4;

/// What jobs are run with.
pub(crate) struct Handlers {
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    pub(crate) tools: Toolchain,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) last_index: LastIndex,
}

impl Handler for Handlers {
    async fn run(&self, attempt: &Attempt) -> Result<JobOutput, Failure> {
        let span = span::attempt(&attempt.job, attempt.fetched_ms);
        let started = Instant::now();
        let outcome = self.dispatch(attempt).instrument(span).await;
        let class = outcome.as_ref().map(|_| ()).map_err(|failure| failure.class);
        self.metrics.attempt(attempt.job.kind(), class, started.elapsed().as_secs_f64());
        outcome
    }
}

impl Handlers {
    async fn dispatch(&self, attempt: &Attempt) -> Result<JobOutput, Failure> {
        match &attempt.job.spec {
            JobSpec::Package(spec) => self.package(spec, attempt).await.map(JobOutput::Package),
            JobSpec::Carry(spec) => self.carry(spec, attempt).await.map(JobOutput::Parts),
            JobSpec::Archive(spec) => self.archive(spec, attempt).await.map(JobOutput::Parts),
            JobSpec::ValidatePart(spec) => self.validate_part(spec, attempt).await.map(|report| self.judged(report)),
            JobSpec::ValidateWhole(spec) => self.validate_whole(spec, attempt).await.map(|report| self.judged(report)),
            JobSpec::Probe(_) | JobSpec::Transcode(_) | JobSpec::Audio(_) | JobSpec::Live(_) => {
                let reason = format!("a {} job came to a packager", attempt.job.kind().as_str());
                Err(Failure::new(Class::Bug, "wrong-role", reason).mend("run workers and packagers of one version"))
            }
        }
    }

    fn judged(&self, report: Report) -> JobOutput {
        self.metrics.report(&report);
        JobOutput::Validation(report)
    }
}

/// Runs store work until it is done or the attempt is called off.
async fn until_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Failure::new(Class::Transient, "cancelled", "the attempt was called off")),
        outcome = work => outcome,
    }
}
