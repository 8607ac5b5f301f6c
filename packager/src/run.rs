//! One packager, until told to stop.

use std::{sync::Arc, time::Duration};

use framemill_media::toolchain::Toolchain;
use framemill_queue::{
    Queue, QueueError,
    runner::{self, RunnerConfig},
};
use framemill_schemas::{ids::NodeId, job::JobKind, lane::Lane};
use framemill_storage::Store;
use framemill_telemetry::Shutdown;
use uuid::Uuid;

use crate::{handlers::Handlers, metrics::Metrics};

/// For this long the farm waits for a silent packager before its jobs go to another.
pub const LEASE: Duration = Duration::from_secs(15);
/// Kinds a packager runs, in the order it prefers them: a package job is the last step but one
/// of its title and short.
const KINDS: [JobKind; 2] = [JobKind::Package, JobKind::Validate];

/// What a packager is made of.
pub struct PackagerParts {
    /// Where it claims.
    pub queue: Queue,
    /// Where it reads segments and puts manifests.
    pub store: Store,
    /// Its ffmpeg, for strict decoding.
    pub tools: Toolchain,
    /// Its machine.
    pub node: NodeId,
    /// Jobs at once.
    pub slots: usize,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// Runs until the shutdown says so: a drain finishes what runs, a stop hands it back.
pub async fn run(parts: PackagerParts) -> Result<(), QueueError> {
    let PackagerParts { queue, store, tools, node, slots, shutdown } = parts;
    tracing::info!(%node, slots, ffmpeg = tools.version(), "packager started");
    let handlers = Handlers { queue: queue.clone(), store, tools, metrics: Metrics::new() };
    let runner =
        RunnerConfig { node, process: Uuid::new_v4(), role: "packager", lanes: Lane::all(&KINDS), slots, lease: LEASE };
    runner::serve(queue, runner, Arc::new(handlers), shutdown.drain.clone(), shutdown.stop.clone()).await
}
