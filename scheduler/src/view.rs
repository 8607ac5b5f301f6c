//! What the records say, kept in memory by watching both buckets.
//!
//! The view is level-triggered: it holds the latest state of every record, and a set of assets
//! that changed since they were last looked at. Missing or repeated news changes nothing. Segment
//! indexes, which are most of a record, are counted and dropped: a scheduler stays small however
//! many jobs there are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use framemill_queue::{Change, LEASE};
use framemill_schemas::{
    api::{Scaling, Work},
    asset::{AssetRecord, AssetState},
    failure::Failure,
    finding::Report,
    holder::Holder,
    ids::{AssetId, JobId, NodeId, Tenant, Zone},
    job::{JobKind, JobRecord, JobState},
    ladder::VideoCodec,
    lane::{Demand, Lane},
    node::Waiting,
    presence::Heartbeat,
    probe::{Probe, Seek},
    spec::{JobOutput, JobSpec, PackageOutput},
    subject,
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{engine::Offered, gate::Counted, load::Load};

mod live;
mod purges;

pub use live::{ChannelEntry, Known, Log, Noted, Outcome, REMEMBERED, Word};
pub use purges::{Edges, PurgeEntry};

/// A worker that was silent for this long no longer counts.
const HEARD_WITHIN: Duration = Duration::from_secs(30);

/// An asset and the revision of its record.
#[derive(Clone, Debug, PartialEq)]
pub struct AssetEntry {
    /// The record.
    pub record: AssetRecord,
    /// Its revision: the fencing token of the next change.
    pub revision: u64,
}

/// A job without its bulk.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSummary {
    /// Revision of the record.
    pub revision: u64,
    /// The job.
    pub id: JobId,
    /// Its key.
    pub key: String,
    /// What it does.
    pub kind: JobKind,
    /// Whether it takes its unit over from an older generation instead of making it.
    pub carries: bool,
    /// What it is within the generation.
    pub unit: String,
    /// Its round.
    pub round: u32,
    /// Its generation.
    pub generation: u32,
    /// Its asset.
    pub asset: AssetId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Where it waits.
    pub lane: Lane,
    /// Where it is in its life.
    pub state: JobState,
    /// Claims so far.
    pub attempt: u32,
    /// Who runs it.
    pub holder: Option<Holder>,
    /// What went wrong.
    pub failures: Vec<Failure>,
    /// When it was last made ready, Unix milliseconds.
    pub ready_ms: i64,
    /// When it was last claimed, Unix milliseconds; 0 before.
    pub claimed_ms: i64,
    /// When it ended, Unix milliseconds; 0 before.
    pub ended_ms: i64,
    /// What it stored.
    pub made: Vec<Made>,
    /// What it found out.
    pub output: SummaryOutput,
}

/// How much of a rendition one job stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The rendition.
    pub rendition: String,
    /// Segments.
    pub segments: u64,
    /// Bytes of the segments.
    pub bytes: u64,
}

/// The part of a job's output that later decisions need.
#[derive(Clone, Debug, PartialEq)]
pub enum SummaryOutput {
    /// Nothing yet.
    None,
    /// Of a probe.
    Probe(Arc<Probe>),
    /// Segments; counted in `made`.
    Parts,
    /// Of a package job.
    Package(Box<PackageOutput>),
    /// Of a validation.
    Validation(Report),
}

impl JobSummary {
    /// Drops the bulk of a record.
    pub fn of(revision: u64, record: JobRecord) -> Self {
        let kind = record.kind();
        let carries = matches!(record.spec, JobSpec::Carry(_));
        let (made, output) = match record.output {
            None => (Vec::new(), SummaryOutput::None),
            Some(JobOutput::Probe(probe)) => (Vec::new(), SummaryOutput::Probe(Arc::new(probe))),
            Some(JobOutput::Package(package)) => (Vec::new(), SummaryOutput::Package(Box::new(package))),
            Some(JobOutput::Validation(report)) => (Vec::new(), SummaryOutput::Validation(report)),
            Some(JobOutput::Parts(parts)) => {
                let made = parts.into_iter().map(|part| Made {
                    segments: part.segments.len() as u64,
                    bytes: part.segments.iter().map(|segment| segment.object.bytes).sum(),
                    rendition: part.rendition,
                });
                (made.collect(), SummaryOutput::Parts)
            }
        };
        Self {
            revision,
            id: record.id,
            key: record.key,
            kind,
            carries,
            unit: record.unit,
            round: record.round,
            generation: record.generation,
            asset: record.asset,
            tenant: record.tenant,
            lane: record.lane,
            state: record.state,
            attempt: record.attempt,
            holder: record.holder,
            failures: record.failures,
            ready_ms: record.ready_ms,
            claimed_ms: record.claimed_ms,
            ended_ms: record.ended_ms,
            made,
            output,
        }
    }

    /// Key of the record: not kept, a hundred bytes for every job.
    pub fn record_key(&self) -> String {
        subject::job_record(self.asset, self.id)
    }
}

/// A handle on the view; clones share it.
#[derive(Clone, Default)]
pub struct View {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    dirty: Notify,
    unsent: Notify,
    live: live::Shelf,
    purges: purges::Shelf,
}

struct State {
    assets: BTreeMap<AssetId, Arc<AssetEntry>>,
    jobs: HashMap<JobId, Arc<JobSummary>>,
    jobs_of: HashMap<AssetId, BTreeSet<JobId>>,
    dirty: BTreeSet<AssetId>,
    unsent: BTreeSet<Unsent>,
    /// Who was heard, by process.
    heard: HashMap<Uuid, Heard>,
    /// When somebody was heard last who encodes a codec on a GPU.
    gpus_heard: HashMap<VideoCodec, Instant>,
    /// Since when this view listens.
    since: Instant,
    load: Load,
    assets_current: bool,
    jobs_current: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            assets: BTreeMap::new(),
            jobs: HashMap::new(),
            jobs_of: HashMap::new(),
            dirty: BTreeSet::new(),
            unsent: BTreeSet::new(),
            heard: HashMap::new(),
            gpus_heard: HashMap::new(),
            since: Instant::now(),
            load: Load::default(),
            assets_current: false,
            jobs_current: false,
        }
    }
}

/// A process as its last heartbeat told.
struct Heard {
    node: NodeId,
    role: String,
    slots: u32,
    encodes: Vec<VideoCodec>,
    hardware: Vec<VideoCodec>,
    engines: u32,
    zone: Option<Zone>,
    waiting: Option<String>,
    at: Instant,
}

impl Heard {
    /// Whether it has what the jobs of a lane need.
    fn is_able(&self, lane: Lane) -> bool {
        let encoders = if lane.demand() == Some(Demand::Nvenc) { &self.hardware } else { &self.encodes };
        lane.codec().is_none_or(|codec| encoders.contains(&codec))
    }
}

impl State {
    /// Workers that count; what was heard longer ago is dropped only with the next heartbeat.
    fn workers(&self) -> impl Iterator<Item = &Heard> {
        self.heard.values().filter(|heard| heard.role == WORKER_ROLE && heard.at.elapsed() < HEARD_WITHIN)
    }

    /// Who lives: a process that ended a moment ago is not shown.
    fn alive(&self) -> impl Iterator<Item = &Heard> {
        self.heard.values().filter(|heard| heard.at.elapsed() < LEASE)
    }
}

impl State {
    /// Forgets how the sources of an asset's generations can be entered, except of the one that is
    /// being made and of one that may go on: most of what a probe finds, and only planning needs it.
    fn drop_seek_points(&mut self, asset: &AssetRecord) {
        let planned = match asset.state {
            AssetState::Failed => Some(&asset.generation),
            _ => asset.making(),
        };
        let Some(ids) = self.jobs_of.get(&asset.id) else { return };
        for id in ids {
            let Some(job) = self.jobs.get_mut(id) else { continue };
            if job.kind != JobKind::Probe || planned.is_some_and(|planned| planned.number == job.generation) {
                continue;
            }
            let SummaryOutput::Probe(probe) = &job.output else { continue };
            if matches!(&probe.video.seek, Seek::Points(points) if !points.is_empty()) {
                let mut probe = Probe::clone(probe);
                probe.video.seek = Seek::Points(Vec::new());
                Arc::make_mut(job).output = SummaryOutput::Probe(Arc::new(probe));
            }
        }
    }
}

/// A record that holds events to be sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unsent {
    /// An asset's.
    Asset(AssetId),
    /// A job's, by its record key.
    Job(String),
    /// A channel's, by its record key.
    Channel(String),
    /// A purge's, by the key of its status.
    Purge(String),
}

impl View {
    /// The asset, if there is one.
    pub fn asset(&self, id: AssetId) -> Option<Arc<AssetEntry>> {
        self.state().assets.get(&id).cloned()
    }

    /// All assets, newest first.
    pub fn assets(&self) -> Vec<Arc<AssetEntry>> {
        self.state().assets.values().rev().cloned().collect()
    }

    /// An asset's jobs of all generations, in order of unit and round.
    pub fn jobs_of(&self, asset: AssetId) -> Vec<Arc<JobSummary>> {
        let state = self.state();
        let ids = state.jobs_of.get(&asset);
        let mut jobs: Vec<_> = ids.into_iter().flatten().filter_map(|id| state.jobs.get(id).cloned()).collect();
        jobs.sort_by(|a, b| (a.generation, &a.unit, a.round).cmp(&(b.generation, &b.unit, b.round)));
        jobs
    }

    /// The job, if there is one.
    pub fn job(&self, id: JobId) -> Option<Arc<JobSummary>> {
        self.state().jobs.get(&id).cloned()
    }

    /// Every job that is `wanted`; asked under the view's lock, so it only looks.
    pub fn jobs_where(&self, wanted: impl Fn(&JobSummary) -> bool) -> Vec<Arc<JobSummary>> {
        self.state().jobs.values().filter(|job| wanted(job)).cloned().collect()
    }

    /// Every job that is in one of `states`.
    pub fn jobs_in(&self, states: &[JobState]) -> Vec<Arc<JobSummary>> {
        self.state().jobs.values().filter(|job| states.contains(&job.state)).cloned().collect()
    }

    /// Jobs whose asset has no record.
    pub fn strays(&self) -> Vec<Arc<JobSummary>> {
        let state = self.state();
        let ids = state.jobs_of.iter().filter(|(asset, _)| !state.assets.contains_key(asset));
        ids.flat_map(|(_, jobs)| jobs).filter_map(|id| state.jobs.get(id).cloned()).collect()
    }

    /// What is open, as far as a submission of `tenant` is concerned.
    pub fn load(&self, tenant: &Tenant) -> Counted {
        let load = &self.state().load;
        Counted { assets: load.assets(), tenant: load.assets_of(tenant), ready: load.ready() }
    }

    /// Encoders of all workers that were heard lately, of their GPUs or of their processors; `None`
    /// while there is none.
    pub fn slots(&self, hardware: bool) -> Option<u32> {
        let state = self.state();
        let able = state.workers().filter(|worker| worker.slots > 0);
        let slots = if hardware {
            able.map(|worker| worker.engines).sum()
        } else {
            able.filter(|worker| !worker.encodes.is_empty()).map(|worker| worker.slots).sum()
        };
        Some(slots).filter(|slots| *slots > 0)
    }

    /// What the fleet's GPUs offer for a codec.
    pub fn offered(&self, codec: VideoCodec, now_ms: i64) -> Offered {
        let state = self.state();
        let able = || state.workers().filter(|worker| worker.hardware.contains(&codec));
        let last = state.gpus_heard.get(&codec).copied().unwrap_or(state.since);
        let unheard_ms = i64::try_from(last.elapsed().as_millis()).unwrap_or(i64::MAX);
        // Not every job is looked at where nobody has a GPU.
        if able().next().is_none() {
            return Offered { unheard_ms, ..Offered::default() };
        }
        let demands = |job: &&Arc<JobSummary>| {
            job.state == JobState::Ready && (job.lane.demand(), job.lane.codec()) == (Some(Demand::Nvenc), Some(codec))
        };
        let oldest = state.jobs.values().filter(demands).map(|job| job.ready_ms).min();
        Offered {
            takes: able().any(|worker| worker.slots > 0),
            known: true,
            unheard_ms,
            oldest_wait_ms: oldest.map_or(0, |ready_ms| now_ms - ready_ms),
        }
    }

    /// Whether some worker encodes a codec; `None` while no worker is heard at all, which says
    /// nothing about those that will come.
    pub fn encodes(&self, codec: VideoCodec) -> Option<bool> {
        let state = self.state();
        let mut workers = state.workers().peekable();
        workers.peek()?;
        Some(workers.any(|worker| worker.encodes.contains(&codec) || worker.hardware.contains(&codec)))
    }

    /// Whether every record that was stored at the start has been seen.
    pub fn is_current(&self) -> bool {
        let state = self.state();
        let current = state.assets_current && state.jobs_current;
        drop(state);
        current && self.shared.live.is_current()
    }

    /// Takes in a change of an asset record.
    pub fn put_asset(&self, change: Change<AssetRecord>) {
        let mut state = self.state();
        match change {
            Change::Put { value, revision, .. } => {
                let id = value.id;
                if !value.unsent.is_empty() && state.unsent.insert(Unsent::Asset(id)) {
                    self.shared.unsent.notify_one();
                }
                let entry = Arc::new(AssetEntry { record: *value, revision });
                let before = state.assets.insert(id, entry.clone());
                state.load.asset(before.as_ref().map(|entry| &entry.record), Some(&entry.record));
                state.drop_seek_points(&entry.record);
                state.dirty.insert(id);
            }
            Change::Deleted { key, .. } => {
                if let Ok(id) = key.parse::<AssetId>() {
                    let before = state.assets.remove(&id);
                    state.load.asset(before.as_ref().map(|entry| &entry.record), None);
                    state.dirty.insert(id);
                }
            }
            Change::Current => state.assets_current = true,
        }
        drop(state);
        self.shared.dirty.notify_one();
    }

    /// Takes in a change of a job record.
    pub fn put_job(&self, change: Change<JobRecord>) {
        let mut state = self.state();
        match change {
            Change::Put { key, value, revision } => {
                if !value.unsent.is_empty() && state.unsent.insert(Unsent::Job(key.clone())) {
                    self.shared.unsent.notify_one();
                }
                let summary = JobSummary::of(revision, *value);
                if summary.kind == JobKind::Live {
                    self.shared.live.tell();
                }
                state.dirty.insert(summary.asset);
                state.jobs_of.entry(summary.asset).or_default().insert(summary.id);
                let (now, asset) = (summary.state, summary.asset);
                let before = state.jobs.insert(summary.id, Arc::new(summary));
                state.load.job(before.map(|job| job.state), Some(now));
                if let Some(entry) = state.assets.get(&asset).cloned() {
                    state.drop_seek_points(&entry.record);
                }
            }
            Change::Deleted { key, .. } => {
                let ids = key.split_once('.').and_then(|(asset, job)| Some((asset.parse().ok()?, job.parse().ok()?)));
                if let Some((asset, job)) = ids {
                    let before = state.jobs.remove(&job);
                    state.load.job(before.map(|job| job.state), None);
                    if let Some(jobs) = state.jobs_of.get_mut(&asset) {
                        jobs.remove(&job);
                        if jobs.is_empty() {
                            state.jobs_of.remove(&asset);
                        }
                    }
                    state.dirty.insert(asset);
                }
            }
            Change::Current => state.jobs_current = true,
        }
        drop(state);
        self.shared.dirty.notify_one();
    }

    /// Why nobody who was heard lately could run a job of a lane; nothing where somebody could.
    pub fn unserved(&self, lane: Lane) -> Option<String> {
        let role = match lane.kind() {
            JobKind::Probe | JobKind::Audio | JobKind::Transcode | JobKind::Live => WORKER_ROLE,
            JobKind::Package | JobKind::Validate => PACKAGER_ROLE,
        };
        let state = self.state();
        let members: Vec<&Heard> = state.alive().filter(|heard| heard.role == role).collect();
        if members.is_empty() {
            return Some(format!("no {role} is heard"));
        }
        let able: Vec<_> = members.iter().filter(|heard| heard.is_able(lane)).collect();
        let on = if lane.demand() == Some(Demand::Nvenc) { " on a GPU" } else { "" };
        let encodes = lane.codec().map_or_else(String::new, |codec| format!(" that encodes {}{on}", codec.as_str()));
        if able.is_empty() {
            return Some(format!("no {role} is there{encodes}"));
        }
        able.iter().all(|heard| heard.slots == 0).then(|| format!("every {role}{encodes} is out of service"))
    }

    /// Whether the fleet should grow or may shrink, for each kind of work in the order of [`Work::ALL`].
    pub fn scaling(&self, now_ms: i64) -> [Scaling; 3] {
        let state = self.state();
        let mut all = [Scaling::default(); 3];
        for job in state.jobs.values() {
            let scaling = &mut all[Work::of(job.lane) as usize];
            match job.state {
                JobState::Ready => {
                    scaling.waiting += 1;
                    let waits_s = u64::try_from((now_ms - job.ready_ms) / 1000).unwrap_or_default();
                    scaling.oldest_wait_s = scaling.oldest_wait_s.max(waits_s);
                }
                JobState::Running => scaling.running += 1,
                _ => {}
            }
        }
        for heard in state.alive().filter(|heard| heard.slots > 0) {
            let is_worker = heard.role == WORKER_ROLE;
            let able = [!heard.hardware.is_empty(), is_worker, heard.role == PACKAGER_ROLE];
            for (scaling, _) in all.iter_mut().zip(able).filter(|(_, able)| *able) {
                scaling.nodes += 1;
                scaling.free_nodes += u64::from(heard.waiting.is_none());
            }
        }
        all
    }

    /// Why processes of a node take no job now, of those that were heard lately.
    pub fn waiting(&self, node: &NodeId) -> Vec<Waiting> {
        let state = self.state();
        let on_it = state.alive().filter(|heard| heard.node == *node);
        let reasons = on_it.filter_map(|heard| Some(Waiting { role: heard.role.clone(), why: heard.waiting.clone()? }));
        let mut waiting: Vec<Waiting> = reasons.collect();
        waiting.sort();
        waiting
    }

    /// Takes in a heartbeat.
    pub fn put_heartbeat(&self, beat: &Heartbeat) {
        let heard = Heard {
            node: beat.node.clone(),
            role: beat.role.clone(),
            slots: beat.slots,
            encodes: beat.encodes.clone(),
            hardware: beat.hardware.clone(),
            engines: beat.engines,
            zone: beat.zone.clone(),
            waiting: beat.waiting.clone(),
            at: Instant::now(),
        };
        let mut state = self.state();
        state.heard.retain(|_, heard| heard.at.elapsed() < HEARD_WITHIN);
        state.gpus_heard.extend(beat.hardware.iter().map(|codec| (*codec, Instant::now())));
        let before = state.heard.insert(beat.process, heard);
        // Only workers encode.
        let comes = beat.slots > 0 && before.is_none_or(|before| before.slots == 0);
        if beat.role == WORKER_ROLE && comes {
            // Assets that wait to be planned for somebody can be now.
            let waiting = state.assets.values().filter(|entry| entry.record.state == AssetState::Accepted);
            let waiting: Vec<_> = waiting.map(|entry| entry.record.id).collect();
            state.dirty.extend(waiting);
            drop(state);
            self.shared.dirty.notify_one();
            self.shared.live.tell();
        }
    }

    /// Says that an asset should be looked at again.
    pub fn mark_dirty(&self, asset: AssetId) {
        self.state().dirty.insert(asset);
        self.shared.dirty.notify_one();
    }

    /// Marks every asset: what the periodic look at everything does.
    pub fn mark_all_dirty(&self) {
        let mut state = self.state();
        let all: Vec<_> = state.assets.keys().copied().collect();
        state.dirty.extend(all);
        drop(state);
        self.shared.dirty.notify_one();
    }

    /// Waits until some asset is dirty and the view is current, and takes all that are.
    pub async fn take_dirty(&self) -> BTreeSet<AssetId> {
        loop {
            let waiting = self.shared.dirty.notified();
            {
                let mut state = self.state();
                if state.assets_current && state.jobs_current && !state.dirty.is_empty() {
                    return std::mem::take(&mut state.dirty);
                }
            }
            waiting.await;
        }
    }

    /// Waits until some record holds events to be sent, and takes the names of all that do.
    pub async fn take_unsent(&self) -> BTreeSet<Unsent> {
        loop {
            let waiting = self.shared.unsent.notified();
            {
                let mut state = self.state();
                if !state.unsent.is_empty() {
                    return std::mem::take(&mut state.unsent);
                }
            }
            waiting.await;
        }
    }

    /// Puts a record back whose events could not be sent.
    pub fn mark_unsent(&self, record: Unsent) {
        self.state().unsent.insert(record);
        self.shared.unsent.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held leaves a state that the next change puts right.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Role name in the heartbeats of workers.
const WORKER_ROLE: &str = "worker";
/// Role name in the heartbeats of packagers.
const PACKAGER_ROLE: &str = "packager";
