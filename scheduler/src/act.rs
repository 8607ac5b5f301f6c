//! Carries decisions out. Each is one compare-and-set that any scheduler may win; whoever loses
//! has nothing left to do.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use framemill_queue::{Queue, QueueError, RecordError, transition};
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    failure::Failure,
    ids::{AssetId, JobId},
    job::{JobRecord, JobState},
    key::job_key,
    lane::Demand,
    object::Generation,
    subject,
    trace::TraceContext,
};
use framemill_storage::{Store, StoreError};
use framemill_telemetry::span;

use crate::{
    advance::{Action, NewJob},
    clock::now_ms,
    engine::{self, Choice},
    ops::{ended, generation},
    repair::planned_anew,
    view::{AssetEntry, JobSummary, View},
};

/// Why an asset is driven again later.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The records.
    #[error("cannot read or write a record")]
    Record(#[from] RecordError),
    /// The queue.
    #[error("cannot publish a hint")]
    Queue(#[from] QueueError),
    /// The store.
    #[error("cannot read or write an object")]
    Store(#[from] StoreError),
}

/// What carrying out needs.
pub struct Actor {
    /// Records and hints.
    pub queue: Queue,
    /// Objects: listed before publishing.
    pub store: Store,
    /// What the records say.
    pub view: View,
    /// How long GPUs that nobody has any more are waited for, milliseconds.
    pub hardware_wait_ms: i64,
    /// Generations whose entry manifests this process has seen to be right.
    pub(crate) entries_right: Mutex<HashSet<(AssetId, Generation)>>,
}

impl Actor {
    /// An actor that has seen nothing yet.
    pub fn new(queue: Queue, store: Store, view: View) -> Self {
        let hardware_wait_ms = engine::HARDWARE_WAIT_MS;
        Self { queue, store, view, hardware_wait_ms, entries_right: Mutex::default() }
    }

    /// Carries out what was decided about an asset.
    pub async fn carry_out(&self, entry: &AssetEntry, actions: Vec<Action>) -> Result<(), ActError> {
        let creates = actions.iter().any(|action| matches!(action, Action::Create(_)));
        let plan = if creates {
            let span = tracing::info_span!("plan", asset = %entry.record.id);
            span::adopt(&span, &entry.record.trace);
            span
        } else {
            tracing::Span::none()
        };
        let trace = if creates { span::context(&plan) } else { TraceContext::default() };
        for action in actions {
            match action {
                Action::Create(job) => self.create(entry, job, &trace).await?,
                Action::Cancel(job) => self.cancel(job).await?,
                Action::Revive(job) => self.revive(job).await?,
                Action::GoOn => self.go_on(entry).await?,
                Action::Size => self.size(entry).await?,
                Action::Fail(failure) => self.fail(entry, failure).await?,
                Action::Seed => self.seed(entry).await?,
                Action::Anew(units) => self.anew(entry, units).await?,
                Action::Publish(candidate) => self.publish(entry, &candidate).await?,
            }
        }
        self.mend_entries(entry).await
    }

    /// Takes a job that is wanted; creates its record if absent, and publishes its hint.
    async fn create(&self, entry: &AssetEntry, job: NewJob, trace: &TraceContext) -> Result<(), ActError> {
        let asset = &entry.record;
        let Some(making) = asset.making() else { return Ok(()) };
        let record = ready_record(asset, making.number, job, trace.clone(), now_ms());
        match self.queue.jobs().create(&subject::job_record(asset.id, record.id), &record).await {
            Ok(revision) => Ok(self.queue.dispatch(&record, revision).await?),
            // Another scheduler was first, and publishes the hint; if it dies before, the sweep does.
            Err(RecordError::Exists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a job that is not terminal; its holder sees the change and stops its ffmpeg.
    async fn cancel(&self, id: JobId) -> Result<(), ActError> {
        let Some(summary) = self.view.job(id) else { return Ok(()) };
        // Decided a while ago, perhaps: an asset that goes on meanwhile wants its jobs.
        let wanted =
            |entry: &AssetEntry| entry.record.making().is_some_and(|making| making.number == summary.generation);
        if self.view.asset(summary.asset).is_some_and(|entry| wanted(&entry)) {
            return Ok(());
        }
        let key = summary.record_key();
        let Some((record, revision)) = self.queue.jobs().get(&key).await? else { return Ok(()) };
        let Ok(cancelled) = transition::cancel(record, now_ms()) else { return Ok(()) };
        fenced_is_done(self.queue.jobs().update(&key, &cancelled, revision).await)?;
        Ok(self.queue.undispatch(&cancelled).await?)
    }

    /// Takes an asset that was probed; returns it with what encodes it, and the farm's slots for that.
    /// While no worker is heard it waits, and while a GPU is waited for: the view marks it when one
    /// comes.
    async fn size(&self, entry: &AssetEntry) -> Result<(), ActError> {
        let asset = &entry.record;
        let now_ms = now_ms();
        let offered = |codec| self.view.offered(codec, now_ms);
        let hardware = match engine::choose(&asset.ladder, offered, now_ms - asset.submitted_ms) {
            Choice::Planned(hardware) => hardware,
            Choice::Wait => return Ok(()),
            Choice::Refused(failure) => return self.fail(entry, failure).await,
        };
        let Some(slots) = self.view.slots(!hardware.is_empty()) else { return Ok(()) };
        let v = AssetRecord::version_for(&asset.source, &hardware);
        let record = AssetRecord { v, slots, hardware, ..asset.clone() };
        fenced_is_done(self.queue.assets().update(&record.id.to_string(), &record, entry.revision).await)
    }

    /// Takes an asset whose jobs wait for GPUs that nobody has any more; returns it in the next generation,
    /// to be planned for what there is. Once: a fleet whose GPUs come and go must not plan for ever.
    pub(crate) async fn leave_gpus(&self, entry: &AssetEntry, jobs: &[Arc<JobSummary>]) -> Result<(), ActError> {
        let asset = &entry.record;
        if asset.state != AssetState::Accepted || asset.hardware.is_empty() || asset.anew > 0 {
            return Ok(());
        }
        let now_ms = now_ms();
        let waits = |job: &&Arc<JobSummary>| {
            let generation = asset.generation.number;
            (job.state, job.lane.demand(), job.generation) == (JobState::Ready, Some(Demand::Nvenc), generation)
                && now_ms - job.ready_ms >= self.hardware_wait_ms
        };
        let waiting: Vec<_> = jobs.iter().filter(waits).filter_map(|job| job.lane.codec()).collect();
        let offered = |codec| self.view.offered(codec, now_ms);
        if !engine::is_deserted(&asset.ladder, &waiting, offered, self.hardware_wait_ms) {
            return Ok(());
        }
        tracing::warn!(asset = %asset.id, "planned anew: no worker is left that encodes it on a GPU");
        let Some(anew) = planned_anew(asset, Vec::new(), generation) else { return Ok(()) };
        let v = AssetRecord::version_for(&asset.source, &[]);
        let anew = AssetRecord { v, slots: 0, hardware: Vec::new(), ..anew };
        fenced_is_done(self.queue.assets().update(&asset.id.to_string(), &anew, entry.revision).await)
    }

    /// Takes an accepted asset; returns it failed, with its event. A repair that fails leaves what
    /// is published as it is.
    pub(crate) async fn fail(&self, entry: &AssetEntry, failure: Failure) -> Result<(), ActError> {
        if entry.record.repairing().is_some() {
            return self.give_repair_up(entry, failure).await;
        }
        let asset = AssetRecord { failure: Some(failure), ..entry.record.clone() };
        self.end(entry, &asset, AssetState::Failed, "failed").await
    }

    /// Brings an accepted asset to its end, unless a newer decision was faster.
    pub(crate) async fn end(
        &self,
        entry: &AssetEntry,
        asset: &AssetRecord,
        state: AssetState,
        what: &str,
    ) -> Result<(), ActError> {
        let ended = ended(asset, state, what, entry.revision, now_ms());
        fenced_is_done(self.queue.assets().update(&asset.id.to_string(), &ended, entry.revision).await)
    }
}

/// The record of a job of an asset's generation that nobody has claimed yet.
pub(crate) fn ready_record(
    asset: &AssetRecord,
    generation: u32,
    job: NewJob,
    trace: TraceContext,
    now_ms: i64,
) -> JobRecord {
    let (id, round, avoid, key) = (job.id, job.round, job.avoid, job_key(&job.spec, job.round));
    let first = JobRecord::ready(asset.id, generation, job.unit, asset.tenant.clone(), job.lane, job.spec, now_ms);
    JobRecord { id, key, round, trace, avoid, ..first }
}

/// Whoever is fenced off lost against a newer decision, which the view brings.
pub(crate) fn fenced_is_done(outcome: Result<u64, RecordError>) -> Result<(), ActError> {
    match outcome {
        Ok(_) | Err(RecordError::Fenced) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
