//! What the records say while it happens: who holds what, what was committed, and how long a job
//! of a killed worker waits until another claims it. Looks on from a connection of its own that
//! no fault touches but a dead NATS; changes nothing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use framemill_queue::{Change, Queue, RecordError};
use framemill_schemas::{
    asset::AssetRecord,
    ids::{AssetId, JobId},
    job::{JobKind, JobRecord, JobState},
    object::StoredObject,
    spec::JobOutput,
};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

/// All that was seen.
#[derive(Debug, Default)]
pub struct Witness {
    seen: Mutex<Seen>,
}

/// What was seen of the records. Pure.
#[derive(Debug, Default)]
pub struct Seen {
    /// Assets as they were last.
    pub assets: HashMap<AssetId, AssetRecord>,
    /// Jobs as they were last.
    pub jobs: HashMap<JobId, JobRecord>,
    /// Digests of all objects that commits named, by key.
    pub committed: BTreeMap<String, String>,
    /// Commits that were seen, by job: each change of a record to done.
    pub commits: HashMap<JobId, u32>,
    losses: Vec<Loss>,
    /// Jobs of killed workers that were claimed again.
    pub recoveries: Vec<Recovery>,
}

/// A job whose holder was killed.
#[derive(Clone, Debug)]
struct Loss {
    job: JobId,
    attempt: u32,
    killed_ms: i64,
    had_room: bool,
}

/// A job that was claimed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// When its holder was killed, Unix milliseconds.
    pub killed_ms: i64,
    /// When it was claimed again.
    pub claimed_ms: i64,
    /// Whether another worker had a free slot when it happened.
    pub had_room: bool,
}

impl Seen {
    /// A job's record changed.
    pub fn job(&mut self, job: JobRecord) {
        let known = self.jobs.get(&job.id);
        if job.state == JobState::Done && known.is_none_or(|known| known.state != JobState::Done) {
            *self.commits.entry(job.id).or_default() += 1;
        }
        for object in job.output.iter().flat_map(objects) {
            self.committed.insert(object.key.clone(), object.digest.clone());
        }
        if let Some(at) = self.losses.iter().position(|loss| loss.job == job.id) {
            let claimed = job.state == JobState::Running && job.attempt > self.losses[at].attempt;
            if claimed || job.state.is_terminal() {
                let loss = self.losses.swap_remove(at);
                if claimed {
                    let Loss { killed_ms, had_room, .. } = loss;
                    self.recoveries.push(Recovery { killed_ms, claimed_ms: job.claimed_ms, had_room });
                }
            }
        }
        self.jobs.insert(job.id, job);
    }

    /// How many jobs each node holds.
    pub fn held(&self) -> BTreeMap<String, u64> {
        let mut held = BTreeMap::new();
        for holder in self.running().filter_map(|job| job.holder.as_ref()) {
            *held.entry(holder.node.to_string()).or_default() += 1;
        }
        held
    }

    /// A worker is about to be killed; `had_room` says whether another could take its jobs at
    /// once.
    pub fn killing(&mut self, node: &str, killed_ms: i64, had_room: bool) {
        let lost: Vec<_> = self
            .running()
            .filter(|job| matches!(job.kind(), JobKind::Probe | JobKind::Transcode | JobKind::Audio))
            .filter(|job| job.holder.as_ref().is_some_and(|holder| holder.node.as_str() == node))
            .map(|job| Loss { job: job.id, attempt: job.attempt, killed_ms, had_room })
            .collect();
        self.losses.retain(|loss| lost.iter().all(|new| new.job != loss.job));
        self.losses.extend(lost);
    }

    /// Assets that are not at an end.
    pub fn open(&self) -> usize {
        self.assets.values().filter(|asset| !asset.state.is_terminal()).count()
    }

    fn running(&self) -> impl Iterator<Item = &JobRecord> {
        self.jobs.values().filter(|job| job.state == JobState::Running)
    }
}

/// What an output names.
fn objects(output: &JobOutput) -> Vec<&StoredObject> {
    match output {
        JobOutput::Parts(parts) => parts
            .iter()
            .flat_map(|part| std::iter::once(&part.init).chain(part.segments.iter().map(|segment| &segment.object)))
            .collect(),
        JobOutput::Package(package) => [&package.master, &package.mpd, &package.entry_master, &package.entry_mpd]
            .into_iter()
            .chain(&package.playlists)
            .collect(),
        JobOutput::Probe(_) | JobOutput::Validation(_) => Vec::new(),
    }
}

impl Witness {
    /// What was seen so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks on until `stop`.
    pub async fn run(&self, queue: &Queue, stop: &CancellationToken) -> Result<(), RecordError> {
        let mut assets = queue.assets().watch(">").await?;
        let mut jobs = queue.jobs().watch(">").await?;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(change) = assets.next() => if let Change::Put { value, .. } = change? {
                    self.seen().assets.insert(value.id, *value);
                },
                Some(change) = jobs.next() => if let Change::Put { value, .. } = change? {
                    self.seen().job(*value);
                },
            }
        }
    }
}
