//! One packager, until told to stop.

use std::sync::Arc;

use framemill_media::{canary, toolchain::Toolchain};
use framemill_queue::{
    LEASE, Member, Queue, QueueError, Standing, Trial, run_node,
    runner::{self, Gate, RunnerConfig},
};
use framemill_schemas::{ids::NodeId, job::JobKind, ladder::VideoCodec, lane::Lane, node::NodeRole};
use framemill_storage::Store;
use framemill_telemetry::Shutdown;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use crate::{
    handlers::{Handlers, LastIndex},
    live::{self, LiveParts, Sampler},
    metrics::Metrics,
};

/// Kinds a packager runs, in the order it prefers them: a package job is the last step but one
/// of its title and short.
const KINDS: [JobKind; 2] = [JobKind::Package, JobKind::Validate];

/// What heartbeats and records of nodes call a packager.
const ROLE: &str = "packager";

/// Section `[packager.live]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveConfig {
    /// How often a segment of each rendition of a channel is decoded and looked at, seconds; 0: never.
    pub sample_every_s: u32,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self { sample_every_s: 30 }
    }
}

/// Least seconds of [`LiveConfig::sample_every_s`], where it is not 0.
pub const SAMPLE_EVERY_S_MIN: u32 = 1;
/// Most seconds of it.
pub const SAMPLE_EVERY_S_MAX: u32 = 3600;

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
    /// How it looks at channels.
    pub live: LiveConfig,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// Runs until the shutdown says so: a drain finishes what runs, a stop hands it back.
pub async fn run(parts: PackagerParts) -> Result<(), QueueError> {
    let PackagerParts { queue, store, tools, node, slots, live, shutdown } = parts;
    tracing::info!(%node, slots, ffmpeg = tools.version(), "packager started");
    let (says, standing) = watch::channel(Standing::UNKNOWN);
    let role = NodeRole {
        role: ROLE.to_owned(),
        slots: u32::try_from(slots).unwrap_or(u32::MAX),
        encodes: Vec::new(),
        zone: None,
        inventory: None,
    };
    let trial = {
        let tools = tools.clone();
        move || trial(&tools)
    };
    let member = Member { node: node.clone(), role };
    let _member = AbortOnDropHandle::new(tokio::spawn(run_node(queue.clone(), member, says, trial)));
    let metrics = Arc::new(Metrics::new());
    let process = Uuid::new_v4();
    let live = LiveParts {
        queue: queue.clone(),
        store: store.clone(),
        node: node.clone(),
        process,
        metrics: metrics.clone(),
        sampler: Sampler::new(&tools, live.sample_every_s),
    };
    // A drain hands the channels over at once: what others can write is nothing to be finished.
    let handed_over = shutdown.drain.child_token();
    let live = live::run(live, handed_over.clone());
    // What is begun waits for a store that is away; nothing else is begun meanwhile.
    let store = store.patient();
    let gate = Gate::default();
    let _following = AbortOnDropHandle::new(tokio::spawn(follow_outages(store.clone(), gate.clone())));
    let handlers = Handlers { queue: queue.clone(), store, tools, metrics, last_index: LastIndex::default() };
    let runner = RunnerConfig {
        node,
        process,
        role: ROLE,
        lanes: Lane::all(&KINDS),
        slots,
        encodes: Vec::new(),
        zone: None,
        lease: LEASE,
        gate,
    };
    let jobs =
        runner::serve_as(queue, runner, standing, Arc::new(handlers), shutdown.drain.clone(), shutdown.stop.clone());
    let jobs = async {
        let served = jobs.await;
        handed_over.cancel();
        served
    };
    let (served, ()) = tokio::join!(jobs, live);
    served
}

/// Keeps the gate closed while the store is away.
async fn follow_outages(store: Store, gate: Gate) {
    const AWAY: &str = "the store is away";
    store.follow_outages(|away| if away { gate.close(AWAY) } else { gate.open(AWAY) }).await;
}

/// What a packager tries while its machine is quarantined: it decodes what its ffmpeg can encode.
fn trial(tools: &Toolchain) -> Trial {
    let tools = tools.clone();
    Box::pin(async move { canary::check(&tools, &[VideoCodec::H264], &CancellationToken::new()).await })
}
