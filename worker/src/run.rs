//! One worker, until told to stop.

use std::{num::NonZeroUsize, sync::Arc};

use framemill_media::toolchain::Toolchain;
use framemill_queue::{
    LEASE, Member, Queue, QueueError, Standing, run_node,
    runner::{self, Gate, RunnerConfig},
};
use framemill_schemas::{
    ids::{NodeId, Zone},
    inventory::{EncoderProof, Engine, Inventory},
    job::JobKind,
    ladder::VideoCodec,
    lane::{Demand, Lane},
    node::NodeRole,
};
use framemill_storage::Store;
use framemill_telemetry::shutdown::Shutdown;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::{
    canary,
    headroom::{self, Devices, Headroom, HeadroomConfig},
    held::Held,
    inventory,
    jobs::Jobs,
    live::{Ingest, LiveConfig},
    machine::{now::Now, readings, recheck::Checker, script::Script},
    metrics::Metrics,
    source::{SourceReader, SourcesConfig},
    upload::{HELD_KIB_MAX, Uploader},
};

/// What heartbeats and records of nodes call a worker.
const ROLE: &str = "worker";
/// Kinds a worker runs, in the order it prefers them: a probe holds up everything behind it, and
/// sound is one long job that should start early.
const KINDS: [JobKind; 4] = [JobKind::Live, JobKind::Probe, JobKind::Audio, JobKind::Transcode];

/// What a worker is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// Jobs at once that need no GPU; the number of processors where left out.
    pub slots: Option<NonZeroUsize>,
    /// What this machine shares with others that may fail together.
    pub zone: Option<Zone>,
    /// How far the machine may be filled.
    pub headroom: HeadroomConfig,
    /// What channels may read.
    pub live: LiveConfig,
}

impl WorkerConfig {
    /// Jobs at once.
    pub fn slots(&self) -> usize {
        let processors = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.slots.unwrap_or_else(processors).get()
    }
}

/// The machine a worker runs on.
pub struct Machine {
    /// Its name.
    pub node: NodeId,
    /// Its ffmpeg.
    pub tools: Toolchain,
    /// What it can encode with, as it was found just now.
    pub inventory: Inventory,
    /// GPUs that stand in for those of the machine.
    pub script: Option<Script>,
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
    /// Its machine.
    pub machine: Machine,
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
    let WorkerParts { config, sources, queue, store, machine, shutdown } = parts;
    let Machine { node, tools, mut inventory, script } = machine;
    // What is begun waits for a store that is away; nothing else is begun meanwhile.
    let store = store.patient();
    let reader =
        SourceReader::start(&sources, store.clone(), shutdown.stop.clone()).await.map_err(WorkerError::Reader)?;
    let gate = Gate::default();
    let _following = AbortOnDropHandle::new(tokio::spawn(follow_outages(store.clone(), gate.clone())));
    let slots = config.slots();
    tracing::info!(%node, slots, ffmpeg = tools.version(), "worker started");
    let now = Now::default();
    let (xids, mut reported) = mpsc::unbounded_channel();
    let source = script.clone().map_or(readings::Source::Driver, readings::Source::Script);
    let _readings = readings::start(source, &now, xids.clone());
    let metrics = Metrics::new();
    let held = Held::new(HELD_KIB_MAX, gate.clone(), metrics.clone());
    let headroom = Headroom::new(headroom::Node::of(&inventory, &config.headroom, slots), &config.headroom, now);
    let jobs = Arc::new(Jobs {
        tools: tools.clone(),
        uploader: Uploader::new(store.clone(), held),
        metrics,
        devices: Devices::new(headroom.clone(), script.clone()).checked_by(xids),
        queue: queue.clone(),
        ingest: Ingest::new(&tools, &reader, sources, config.live.clone()),
        store,
        reader,
    });
    let devices = headroom.node().devices;
    let checker = Checker { tools: tools.clone(), script, headroom: headroom.clone(), devices };
    let process = Uuid::new_v4();
    // Once more whenever an encoder of the processor works that did not.
    while !shutdown.drain.is_cancelled() {
        inventory.encoders.iter().for_each(warn);
        let encodes = inventory.encodes(Engine::Software);
        headroom.refit(headroom::Node::of(&inventory, &config.headroom, slots));
        for gpu in &inventory.gpus {
            gpu.fault.iter().for_each(|fault| headroom.shut(gpu.index, fault.clone()));
        }
        let hardware = headroom.node().hardware();
        let (says, standing) = watch::channel(Standing::UNKNOWN);
        let join = |inventory: &Inventory| {
            let (tools, encodes) = (tools.clone(), encodes.clone());
            let role = role(slots, encodes.clone(), config.zone.clone(), inventory.clone());
            let member = Member { node: node.clone(), role };
            let trial = move || canary::trial(&tools, &encodes);
            AbortOnDropHandle::new(tokio::spawn(run_node(queue.clone(), member, says.clone(), trial)))
        };
        let mut _member = join(&inventory);
        let runner = RunnerConfig {
            node: node.clone(),
            process,
            role: ROLE,
            lanes: lanes(&encodes, &hardware),
            slots,
            encodes: encodes.clone(),
            zone: config.zone.clone(),
            lease: LEASE,
            gate: gate.clone(),
        };
        let drain = shutdown.drain.child_token();
        let stop = shutdown.stop.clone();
        let room = headroom.room();
        let served =
            runner::serve_within(queue.clone(), runner, room, standing, jobs.clone(), drain.clone(), stop.clone());
        let mut served = std::pin::pin!(served);
        loop {
            tokio::select! {
                served = &mut served => return Ok(served?),
                mended = inventory::mended(&tools, &inventory, &stop) => {
                    inventory = mended;
                    break;
                }
                // One GPU of several: the others go on, and the record says so.
                changed = checker.changed(&mut reported, &inventory, &stop) => {
                    inventory = changed;
                    _member = join(&inventory);
                }
            }
        }
        tracing::info!("an encoder works that did not; what runs is finished first");
        drain.cancel();
        served.await?;
    }
    Ok(())
}

/// Says why an encoder does not work that every machine should have.
fn warn(proof: &EncoderProof) {
    if proof.is_broken_software() {
        tracing::warn!(encoder = proof.name, answer = proof.answer, "an encoder does not work; its jobs go elsewhere");
    }
}

/// What this process does for the farm.
fn role(slots: usize, encodes: Vec<VideoCodec>, zone: Option<Zone>, inventory: Inventory) -> NodeRole {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    NodeRole { role: ROLE.to_owned(), slots, encodes, zone, inventory: Some(inventory) }
}

/// Keeps the gate closed while the store is away.
async fn follow_outages(store: Store, gate: Gate) {
    const AWAY: &str = "the store is away";
    store.follow_outages(|away| if away { gate.close(AWAY) } else { gate.open(AWAY) }).await;
}

/// The lanes this node can serve: only codecs it proved it encodes, on a GPU or without one.
fn lanes(encodes: &[VideoCodec], hardware: &[VideoCodec]) -> Vec<Lane> {
    let serves = |lane: &Lane| match lane {
        Lane::Encode { engine: Demand::Nvenc, codec, .. } => hardware.contains(codec),
        Lane::Encode { engine: Demand::Any, codec, .. } => encodes.contains(codec),
        Lane::Plain { .. } => true,
    };
    Lane::all(&KINDS).into_iter().filter(serves).collect()
}
