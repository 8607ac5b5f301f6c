//! One node of a fleet: the real headroom and the real runner, GPUs out of a script, and work that only
//! takes its time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use framemill_queue::{
    LEASE, Queue, Standing,
    runner::{self, Attempt, Gate, Handler, RunnerConfig},
};
use framemill_schemas::{
    failure::{Class, Failure},
    ids::NodeId,
    inventory::Inventory,
    job::JobKind,
    lane::{Demand, Lane},
    spec::{JobOutput, JobSpec},
};
use framemill_worker::{
    gpu::GpuReading,
    headroom::{self, Devices, Headroom, HeadroomConfig},
    now::Now,
    script::{Description, Script},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{book::Book, share_of};

/// How long a process takes to its first picture.
const FIRST_PICTURE: Duration = Duration::from_millis(400);
/// The kinds of nodes, each so many of a hundred.
const KINDS: [(usize, &str); 5] = [
    (40, "gpus: [{ model: L4 }]"),
    (25, "gpus: [{ model: T4 }]"),
    (10, "gpus: [{ model: L40S, count: 2 }]"),
    (15, "gpus: [{ model: '4090', sessions: 8 }]"),
    (10, "gpus: [{ model: A10 }]"),
];
/// A node whose GPU opens fewer sessions for a while than its driver is known for.
const LIAR: &str = "gpus: [{ model: '4090', sessions: 8, faults: [{ at_s: 5, for_s: 15, sessions: 3 }] }]";

/// A device as it is seen from outside.
#[derive(Clone, Debug)]
pub(super) struct DeviceSeen {
    /// Its node.
    pub node: usize,
    /// What it does.
    pub reading: GpuReading,
    /// Sessions it opens at most.
    pub sessions: Option<u32>,
    /// Memory that may be used, bytes.
    pub memory_bytes: u64,
    /// Load its encoders may have, percent.
    pub encoder_percent: u32,
    /// Shortest time between two starts on it.
    pub gap: Duration,
}

/// A node that runs.
pub(super) struct Node {
    at: usize,
    script: Script,
    offer: headroom::Node,
    config: HeadroomConfig,
    served: JoinHandle<()>,
    read: JoinHandle<()>,
}

impl Node {
    pub fn start(at: usize, lies: bool, queue: Queue, book: Arc<Book>, drain: CancellationToken) -> Self {
        let description = if lies { LIAR } else { share_of(at, KINDS) };
        let description = Description::read(description).expect("the scripts here are right");
        let script = Script::start(description, Instant::now());
        let inventory = script.inventory(Inventory::default());
        let config = HeadroomConfig::default();
        let offer = headroom::Node::of(&inventory, &config, 0);
        let now = Now::default();
        let headroom = Headroom::new(offer.clone(), &config, now.clone());
        let read = tokio::spawn(read(script.clone(), now));
        let devices = Devices::new(headroom.clone(), Some(script.clone()));
        let hardware = offer.hardware();
        let serves = |lane: &Lane| {
            lane.demand() == Some(Demand::Nvenc) && lane.codec().is_some_and(|codec| hardware.contains(&codec))
        };
        let runner = RunnerConfig {
            node: NodeId::try_from(format!("sim-{at}")).expect("a name"),
            process: Uuid::new_v4(),
            role: "worker",
            lanes: Lane::all(&[JobKind::Transcode]).into_iter().filter(serves).collect(),
            slots: 1,
            encodes: Vec::new(),
            zone: None,
            lease: LEASE,
            gate: Gate::default(),
        };
        let handler = Arc::new(Work { at, devices, book });
        let served = tokio::spawn(async move {
            let (_said, standing) = watch::channel(Standing::FREE);
            let stop = CancellationToken::new();
            let room = headroom.room();
            if let Err(error) = runner::serve_within(queue, runner, room, standing, handler, drain, stop).await {
                tracing::error!(%error, "a node of the fleet ended");
            }
        });
        Self { at, script, offer, config, served, read }
    }

    /// What its devices do.
    pub fn look(&self, now: Instant) -> Vec<DeviceSeen> {
        let readings = self.script.read(now).into_iter().zip(&self.offer.devices);
        let seen = readings.map(|(reading, device)| DeviceSeen {
            node: self.at,
            sessions: device.sessions.or(self.offer.sessions),
            memory_bytes: device.memory_mib * 1024 * 1024 * u64::from(self.config.memory_percent) / 100,
            encoder_percent: self.config.encoder_percent,
            gap: Duration::from_millis(self.config.start_gap_ms),
            reading,
        });
        seen.collect()
    }

    pub async fn end(self) {
        // One that broke off has said so.
        let _ = self.served.await;
        self.read.abort();
    }
}

/// Reads the GPUs every second, as a worker does.
async fn read(script: Script, now: Now) {
    let mut timer = tokio::time::interval(Duration::from_secs(1));
    loop {
        timer.tick().await;
        let at = Instant::now();
        now.set_gpus(script.read(at), at);
    }
}

/// Work that takes as long as its share of the device says.
struct Work {
    at: usize,
    devices: Devices,
    book: Arc<Book>,
}

impl Handler for Work {
    async fn run(&self, attempt: &Attempt) -> Result<JobOutput, Failure> {
        let called_off = || Failure::new(Class::Transient, "cancelled", "the attempt was called off");
        let claim = attempt.job.holder.as_ref().map(|holder| holder.nonce).unwrap_or_default();
        let JobSpec::Transcode(spec) = &attempt.job.spec else { return Err(called_off()) };
        let mut seat = self.devices.start(claim, &attempt.cancel).await.ok_or_else(called_off)?;
        let Some(grant) = self.devices.headroom().grant(claim) else { return Err(called_off()) };
        let _session = self
            .devices
            .open_session(claim)
            .inspect_err(|failure| self.book.refused(attempt.job.id, &failure.code, Instant::now()))?;
        self.book.started(attempt.job.id, (self.at, grant.device), Instant::now());
        let length = Duration::from_millis(spec.grid.duration_ms() * 1000 / grant.pace_milli);
        tokio::time::sleep(FIRST_PICTURE).await;
        seat.first_picture();
        tokio::select! {
            () = attempt.cancel.cancelled() => return Err(called_off()),
            () = tokio::time::sleep(length.saturating_sub(FIRST_PICTURE)) => {}
        }
        self.book.ended(attempt.job.id, Instant::now());
        Ok(JobOutput::Parts(Vec::new()))
    }
}
