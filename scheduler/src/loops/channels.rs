//! The failover controller: looks at every channel, decides what becomes of it, and does that. One
//! scheduler at a time does this; what it was about to do when it died, the next one finds to be done.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use framemill_queue::{Hearing, LEASE, Queue, QueueError, RecordError, transition};
use framemill_schemas::{
    ids::JobId,
    inventory::Engine,
    job::{JobKind, JobState},
    live::{ChannelRecord, ChannelState, Timelines, record_key},
    subject,
};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::chain,
    clock::now_ms,
    failover::{Facts, Fleet, Memory, chores, decide, job_of, lane_of},
    ops::channel::channels,
    purges,
    view::{ChannelEntry, View},
};

const EVERY: Duration = Duration::from_millis(500);
/// Shortest time between two looks, however much happens.
const PAUSE: Duration = Duration::from_millis(20);
/// Channels that are looked at side by side.
const CHANNELS_AT_ONCE: usize = 16;

/// What the controller remembers between two looks.
#[derive(Debug)]
pub struct Watch {
    hearing: Hearing,
    /// Since when everything that was said is heard.
    since: Instant,
    pulse: Instant,
    memories: HashMap<String, Memory>,
}

impl Watch {
    /// Starts to listen.
    pub fn new(now: Instant) -> Self {
        Self { hearing: Hearing::new(LEASE, now), since: now, pulse: now, memories: HashMap::new() }
    }

    /// Listening was interrupted: nobody is judged by what was heard before.
    pub fn restart(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    fn pulse(&mut self, now: Instant) {
        if now.duration_since(self.pulse) > LEASE / 2 {
            self.restart(now);
        }
        self.pulse = now;
        self.hearing.pulse(now);
    }

    fn listens(&self, now: Instant) -> bool {
        now.duration_since(self.pulse) <= LEASE / 2 && now.duration_since(self.since) > LEASE
    }
}

/// Runs until `stop`; the caller holds the lease that makes it the only one.
pub async fn run(queue: &Queue, view: &View, stop: &CancellationToken) {
    let mut watch = Watch::new(Instant::now());
    let mut timer = super::timer(EVERY);
    loop {
        let beats = match stop.run_until_cancelled(queue.heartbeats()).await {
            None => return,
            Some(Ok(beats)) => beats,
            Some(Err(error)) => {
                tracing::warn!(error = %chain(&error), "heartbeats not heard");
                let _ = stop.run_until_cancelled(timer.tick()).await;
                continue;
            }
        };
        let mut beats = std::pin::pin!(beats);
        watch.restart(Instant::now());
        let mut reconnects = queue.reconnects();
        loop {
            tokio::select! {
                // What was heard counts before anybody is judged.
                biased;
                () = stop.cancelled() => return,
                beat = beats.next() => match beat {
                    Some(beat) => {
                        watch.hearing.hear(&beat.nonces, Instant::now());
                        continue;
                    }
                    None => break,
                },
                _ = timer.tick() => match stop.run_until_cancelled(queue.answers()).await {
                    None => return,
                    Some(true) => watch.pulse(Instant::now()),
                    Some(false) => {}
                },
                () = view.live_news() => {}
            }
            if !queue.is_connected() || queue.reconnects() != reconnects || !view.is_current() {
                reconnects = queue.reconnects();
                watch.restart(Instant::now());
            }
            if view.is_current() {
                tick(queue, view, &mut watch).await;
            }
            let _ = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    }
}

/// One look at every channel.
pub async fn tick(queue: &Queue, view: &View, watch: &mut Watch) {
    let now = Instant::now();
    let silent = silent(view, watch, now);
    let listening = watch.listens(now);
    let channels = view.channels();
    watch.memories.retain(|key, _| channels.iter().any(|entry| entry.key() == *key));
    let mut looks = Vec::new();
    for entry in channels {
        let memory = watch.memories.remove(&entry.key()).unwrap_or_default();
        looks.push((entry, memory));
    }
    let silent = &silent;
    let looks = stream::iter(looks).map(|(entry, mut memory)| async move {
        if let Err(error) = look(queue, view, &entry, &mut memory, silent, listening).await {
            let channel = &entry.record;
            tracing::warn!(channel = %channel.id, tenant = %channel.tenant, error = %chain(&error), "channel is looked at again");
        }
        (entry.key(), memory)
    });
    let looked: Vec<_> = looks.buffer_unordered(CHANNELS_AT_ONCE).collect().await;
    watch.memories.extend(looked);
}

/// Replicas whose holders were not heard for a lease.
fn silent(view: &View, watch: &mut Watch, now: Instant) -> HashSet<JobId> {
    let jobs = view.jobs_where(|job| job.kind == JobKind::Live && job.state == JobState::Running);
    let running: Vec<_> = jobs.iter().filter_map(|job| Some((job.id, job.holder.as_ref()?.nonce))).collect();
    watch.hearing.lost(&running, now).into_iter().map(|(job, _)| job).collect()
}

/// One look at one channel: its record first, then what follows from it.
async fn look(
    queue: &Queue,
    view: &View,
    entry: &Arc<ChannelEntry>,
    memory: &mut Memory,
    silent: &HashSet<JobId>,
    listening: bool,
) -> Result<(), QueueError> {
    let record = &entry.record;
    let (jobs, known) = (view.jobs_of(record.asset), view.known(entry));
    let fleet = Fleet {
        software: view.able(lane_of(&record.edition, Engine::Software)),
        hardware: view.able(lane_of(&record.edition, Engine::Nvenc)),
        zones: view.zones(),
    };
    let (now, now_ms) = (Instant::now(), now_ms());
    let revision = entry.revision;
    let facts = Facts { now, now_ms, revision, jobs: &jobs, known: &known, silent, listening, fleet: &fleet };
    memory.observe(record, &facts);
    let decided = decide(record, &facts, memory);
    if let Some(next) = &decided {
        if next.state == ChannelState::Retired && record.state != ChannelState::Retired {
            take_down(queue, view, record).await?;
        }
        match channels(queue).update(&entry.key(), next, revision).await {
            Ok(_) => note(record, next),
            // Somebody else changed it: the view brings what it is now.
            Err(RecordError::Fenced) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    carry_out(queue, view, entry, memory, decided.as_ref().unwrap_or(record), now_ms).await
}

/// Has a channel that is removed for good taken down. Before its record says that it is retired: from then on it is
/// deleted, and once it is gone nobody would ask for it.
async fn take_down(queue: &Queue, view: &View, channel: &ChannelRecord) -> Result<(), RecordError> {
    let timelines = queue.records::<Timelines>(subject::TIMELINES_BUCKET);
    let found = timelines.get(&record_key(&channel.tenant, &channel.id)).await?;
    let timelines = found.map(|(timelines, _)| timelines).unwrap_or_default();
    for purge in purges::of_channel(channel, &timelines, now_ms()) {
        purges::ensure(queue, view, &purge).await?;
    }
    Ok(())
}

/// Says in the log what was decided.
fn note(before: &ChannelRecord, now: &ChannelRecord) {
    let (channel, tenant) = (&now.id, &now.tenant);
    let is_in = |record: &ChannelRecord, job: JobId| record.replicas.iter().any(|replica| replica.job == job);
    for gone in before.replicas.iter().filter(|replica| !is_in(now, replica.job)) {
        let (job, node) = (gone.job, gone.node.as_ref().map(tracing::field::display));
        tracing::warn!(%channel, %tenant, %job, node, "a replica is let go of");
    }
    for new in now.replicas.iter().filter(|replica| !is_in(before, replica.job)) {
        tracing::info!(%channel, %tenant, job = %new.job, engine = new.engine.as_str(), "a replica is placed");
    }
    if before.state != now.state {
        let why = now.why.as_ref().map(|why| why.reason.as_str());
        tracing::info!(%channel, %tenant, state = now.state.as_str(), why, "channel changes");
    }
}

/// Does what a channel's record asks for. Who is let go of ends before another begins.
async fn carry_out(
    queue: &Queue,
    view: &View,
    entry: &ChannelEntry,
    memory: &mut Memory,
    channel: &ChannelRecord,
    now_ms: i64,
) -> Result<(), QueueError> {
    let todo = chores(channel, &view.jobs_of(channel.asset), now_ms);
    if !todo.cancel.is_empty() {
        // The view may be behind the record: only who is not placed now is let go of.
        let found = channels(queue).get(&entry.key()).await?;
        let placed: Vec<JobId> =
            found.into_iter().flat_map(|(now, _)| now.replicas).map(|replica| replica.job).collect();
        for job in todo.cancel.into_iter().filter(|job| !placed.contains(job)) {
            cancel(queue, &subject::job_record(channel.asset, job)).await?;
        }
    }
    for replica in channel.replicas.iter().filter(|replica| todo.create.contains(&replica.job)) {
        let timelines = view.known(entry).timelines;
        let Some(job) = job_of(channel, replica, timelines.last(), now_ms) else { continue };
        match queue.jobs().create(&subject::job_record(job.asset, job.id), &job).await {
            Ok(revision) => queue.dispatch(&job, revision).await?,
            // Another scheduler was first, or the view has not heard of it yet.
            Err(RecordError::Exists) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for job in todo.resend {
        if memory.offer(job, Instant::now()) {
            offer_again(queue, &subject::job_record(channel.asset, job)).await?;
        }
    }
    for job in todo.forget {
        forget(queue, &subject::job_record(channel.asset, job)).await?;
    }
    Ok(())
}

/// Cancels a job; its holder sees the change and stops its encoder.
async fn cancel(queue: &Queue, key: &str) -> Result<(), QueueError> {
    let Some((record, revision)) = queue.jobs().get(key).await? else { return Ok(()) };
    let Ok(cancelled) = transition::cancel(record, now_ms()) else { return Ok(()) };
    match queue.jobs().update(key, &cancelled, revision).await {
        // Left alone it would be delivered once more, to somebody who finds an ended job.
        Ok(_) => queue.undispatch(&cancelled).await,
        // Its holder, or whoever sends its events, was faster; the next look finds it again.
        Err(RecordError::Fenced) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes the hint of a job that nobody claims from whoever has it, and sends another.
async fn offer_again(queue: &Queue, key: &str) -> Result<(), QueueError> {
    let Some((record, revision)) = queue.jobs().get(key).await? else { return Ok(()) };
    if record.state == JobState::Ready {
        queue.undispatch(&record).await?;
        queue.dispatch(&record, revision).await?;
    }
    Ok(())
}

/// Deletes the record of a job that is at its end and has told so.
async fn forget(queue: &Queue, key: &str) -> Result<(), QueueError> {
    let Some((record, revision)) = queue.jobs().get(key).await? else { return Ok(()) };
    if !record.state.is_terminal() || !record.unsent.is_empty() {
        return Ok(());
    }
    match queue.jobs().delete(key, revision).await {
        Ok(()) | Err(RecordError::Fenced) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
