//! One worker, until told to stop.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use framemill_media::toolchain::Toolchain;
use framemill_queue::{
    Queue, QueueError,
    runner::{self, RunnerConfig},
};
use framemill_schemas::{ids::NodeId, job::JobKind, ladder::VideoCodec, lane::Lane};
use framemill_storage::Store;
use framemill_telemetry::shutdown::Shutdown;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    jobs::Jobs,
    metrics::Metrics,
    source::{SourceReader, SourcesConfig},
    upload::Uploader,
};

/// For this long the farm waits for a silent worker before its jobs go to another.
pub const LEASE: Duration = Duration::from_secs(15);
/// Kinds a worker runs, in the order it prefers them: a probe holds up everything behind it, and
/// sound is one long job that should start early.
const KINDS: [JobKind; 3] = [JobKind::Probe, JobKind::Audio, JobKind::Transcode];

/// What a worker is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// Jobs at once; the number of processors where left out.
    pub slots: Option<NonZeroUsize>,
}

impl WorkerConfig {
    /// Jobs at once.
    pub fn slots(&self) -> usize {
        let processors = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.slots.unwrap_or_else(processors).get()
    }
}

/// What a worker is made of.
pub struct WorkerParts {
    /// What it is told.
    pub config: WorkerConfig,
    /// Which sources it may read.
    pub sources: SourcesConfig,
    /// Where it claims.
    pub queue: Queue,
    /// Where it puts.
    pub store: Store,
    /// Its ffmpeg.
    pub tools: Toolchain,
    /// Its machine.
    pub node: NodeId,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// Why a worker does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The queue.
    #[error("the worker cannot use NATS")]
    Queue(#[from] QueueError),
    /// The loopback reader.
    #[error("the worker's source reader cannot listen on the loopback interface")]
    Reader(#[source] std::io::Error),
}

/// Runs until the shutdown says so: a drain finishes what runs, a stop hands it back.
pub async fn run(parts: WorkerParts) -> Result<(), WorkerError> {
    let WorkerParts { config, sources, queue, store, tools, node, shutdown } = parts;
    let reader =
        SourceReader::start(&sources, store.clone(), shutdown.stop.clone()).await.map_err(WorkerError::Reader)?;
    let lanes = lanes(&tools);
    let slots = config.slots();
    tracing::info!(%node, slots, ffmpeg = tools.version(), "worker started");
    let jobs = Jobs { reader, tools, uploader: Uploader::new(store), metrics: Metrics::new() };
    let runner = RunnerConfig { node, process: Uuid::new_v4(), role: "worker", lanes, slots, lease: LEASE };
    runner::serve(queue, runner, Arc::new(jobs), shutdown.drain.clone(), shutdown.stop.clone()).await?;
    Ok(())
}

/// The lanes this node can serve: only codecs its ffmpeg encodes.
fn lanes(tools: &Toolchain) -> Vec<Lane> {
    let encodes: Vec<VideoCodec> = VideoCodec::ALL.into_iter().filter(|codec| tools.encodes(*codec)).collect();
    let serves = |lane: &Lane| match lane {
        Lane::Encode { codec, .. } => encodes.contains(codec),
        Lane::Plain { .. } => true,
    };
    Lane::all(&KINDS).into_iter().filter(serves).collect()
}
