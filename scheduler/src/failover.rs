//! What becomes of a channel: where its replicas are, whether one is lost and another takes its place,
//! how it is, and what is told of it. Pure: a record and what is known of its farm go in, the next record
//! comes out, with the events that were decided together with it.
//!
//! Never here: what replicas do about their sources, and what is published; that goes on whether
//! somebody looks at it here or not.

mod chores;
mod gaps;
mod memory;
mod place;
mod published;
mod sources;
mod state;
mod symptoms;
mod tail;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Instant,
};

use framemill_schemas::{
    failure::Failure,
    ids::{JobId, NodeId, Zone},
    inventory::Engine,
    live::{ChannelRecord, ChannelState, Replica, Wanted},
};

use crate::{
    on_air,
    ops::channel::{Told, begun, channel_event, push_event},
    view::{JobSummary, Known},
};

pub use chores::{Chores, chores, job_of};
pub use memory::Memory;
pub use place::lane_of;

/// Nodes that could run replicas of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// On their processors.
    pub software: BTreeSet<NodeId>,
    /// On GPUs.
    pub hardware: BTreeSet<NodeId>,
    /// What nodes share that may fail together. One that is not here shares nothing with any other.
    pub zones: BTreeMap<NodeId, Zone>,
}

impl Fleet {
    /// Those with this engine.
    pub const fn with(&self, engine: Engine) -> &BTreeSet<NodeId> {
        match engine {
            Engine::Software => &self.software,
            Engine::Nvenc | Engine::Vaapi | Engine::Qsv => &self.hardware,
        }
    }

    /// The zone that two nodes share.
    pub fn shared_zone(&self, one: &NodeId, other: &NodeId) -> Option<&Zone> {
        let zone = self.zones.get(one)?;
        (self.zones.get(other) == Some(zone)).then_some(zone)
    }
}

/// What is known when a channel is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// By this process's monotonic clock.
    pub now: Instant,
    /// Unix milliseconds.
    pub now_ms: i64,
    /// Revision of the record.
    pub revision: u64,
    /// The channel's jobs.
    pub jobs: &'a [Arc<JobSummary>],
    /// Its log, its timelines, and what its replicas said.
    pub known: &'a Known,
    /// Running jobs that no heartbeat has listed for a lease.
    pub silent: &'a HashSet<JobId>,
    /// Whether everything that was said for a lease was heard: else silence says nothing.
    pub listening: bool,
    /// Who could run a replica.
    pub fleet: &'a Fleet,
}

impl Facts<'_> {
    fn job(&self, id: JobId) -> Option<&JobSummary> {
        self.jobs.iter().find(|job| job.id == id).map(|job| &**job)
    }
}

/// Looks at a channel once. Takes its record; returns what it becomes, or nothing where it stays as it is.
pub fn decide(record: &ChannelRecord, facts: &Facts<'_>, memory: &Memory) -> Option<ChannelRecord> {
    let mut next = record.clone();
    if on_air::is_due(record, facts.now_ms) || tail::goes_on(record, facts) {
        if record.state == ChannelState::Scheduled {
            next = begun(record, facts.revision, facts.now_ms);
        }
        let before = next.state;
        find_nodes(&mut next, facts);
        prove(&mut next, facts);
        sources::look(&mut next, facts, memory);
        gaps::look(&mut next, facts);
        published::look(&mut next, facts);
        let fault = let_go(&mut next, facts, memory);
        let placed = place::place(&mut next, facts);
        state::settle(&mut next, before, fault, placed, facts);
        place::forgive(&mut next, facts.now_ms);
    } else {
        gaps::end(&mut next, facts);
        go_off_air(&mut next, facts);
    }
    (next != *record).then_some(next)
}

/// Writes down where replicas run.
fn find_nodes(next: &mut ChannelRecord, facts: &Facts<'_>) {
    for replica in &mut next.replicas {
        let holder = facts.job(replica.job).and_then(|job| job.holder.as_ref());
        if let Some(holder) = holder {
            replica.node = Some(holder.node.clone());
        }
    }
}

/// Writes down which replicas were seen to publish, or to be as far as who does.
fn prove(next: &mut ChannelRecord, facts: &Facts<'_>) {
    for replica in &mut next.replicas {
        if !replica.proven && is_proven(replica, facts) {
            replica.proven = true;
            next.upkeep.strikes = 0;
        }
    }
}

fn is_proven(replica: &Replica, facts: &Facts<'_>) -> bool {
    let known = facts.known;
    if known.log.values().any(|noted| noted.by.as_ref().is_some_and(|(job, _)| *job == replica.job)) {
        return true;
    }
    let Some(word) = known.words.get(&replica.job) else { return false };
    let Some(timeline) = known.timelines.last() else { return false };
    if timeline.owner.is_some_and(|owner| owner != replica.job) {
        // It stands by: that it gets its source is all there is to see.
        return word.status.sources.iter().any(|source| source.reachable);
    }
    let head = known.log.last_key_value().map(|(number, _)| *number);
    word.status.timeline == Some(timeline.id)
        && word.status.number.zip(head).is_some_and(|(number, head)| number + 1 >= head)
}

/// Lets replicas go that are lost, or that are too many; returns why the first was lost.
fn let_go(next: &mut ChannelRecord, facts: &Facts<'_>, memory: &Memory) -> Option<Failure> {
    let was_on_air = next.state != ChannelState::Starting;
    let mut first = None;
    let faults = symptoms::faults(next, facts, memory);
    for (job, fault) in faults {
        let Some(at) = next.replicas.iter().position(|replica| replica.job == job) else { continue };
        let replica = next.replicas.remove(at);
        match fault.blame {
            symptoms::Blame::Placement => continue,
            symptoms::Blame::Zone => {
                next.upkeep.anywhere_ms = facts.now_ms + place::ANYWHERE_MS;
                continue;
            }
            _ => {}
        }
        place::rest_after(next, &replica, fault.blame, facts.now_ms);
        next.upkeep.lost += u32::from(was_on_air);
        first.get_or_insert(fault.failure);
    }
    while next.replicas.len() > next.edition.redundancy as usize {
        // The one that publishes stays; else the older one.
        let unproven = next.replicas.iter().rposition(|replica| !replica.proven);
        next.replicas.remove(unproven.unwrap_or(next.replicas.len() - 1));
    }
    first
}

/// Takes a channel that is not wanted, by its operator or by its schedule; returns it without replicas, and
/// told that it is off air.
fn go_off_air(next: &mut ChannelRecord, facts: &Facts<'_>) {
    let (state, why) = match next.wanted {
        Wanted::Retired => (ChannelState::Retired, None),
        Wanted::Stopped => (ChannelState::Stopped, None),
        Wanted::Running => (ChannelState::Scheduled, Some(on_air::off_air(next, facts.now_ms))),
    };
    next.replicas.clear();
    next.shunned.clear();
    (next.upkeep.lost, next.upkeep.strikes, next.upkeep.rest_ms) = (0, 0, 0);
    next.upkeep.dark.clear();
    next.upkeep.shown.clear();
    state::explain(next, why, facts.now_ms);
    if next.state == state {
        return;
    }
    use ChannelState::{Retired, Scheduled, Stopped};
    let was_on = !matches!(next.state, Stopped | Scheduled | Retired);
    (next.state, next.since_ms) = (state, facts.now_ms);
    if was_on {
        let mut event = channel_event(next, "stopped", "", Told::default(), facts.revision, facts.now_ms);
        // That its time is over is no failure: the words without the class.
        event.data.reason = next.why.as_ref().map(|why| why.reason.clone());
        push_event(next, event);
    }
}

/// Adds an event to a record.
fn tell(next: &mut ChannelRecord, what: &str, about: &str, told: Told<'_>, facts: &Facts<'_>) {
    let event = channel_event(next, what, about, told, facts.revision, facts.now_ms);
    push_event(next, event);
}

#[cfg(test)]
mod tests;
