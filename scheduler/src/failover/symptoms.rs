//! Which replicas are lost, and by what it is seen.

use std::time::Duration;

use framemill_schemas::{
    failure::{Class, Failure},
    ids::{JobId, NodeId},
    job::JobState,
    live::{ChannelRecord, Flaw, Replica, ReplicaStatus},
};

use super::{
    Facts,
    memory::{FRESH, Memory, Seen},
    place,
};
use crate::{diagnose::SLOW_MILLI, view::JobSummary};

/// How long a replica may take to get going, at first and after whatever stopped it, at least; else three
/// segments.
const GRACE: Duration = Duration::from_secs(10);
/// How long nothing may be heard of a replica whose process beats.
const WORDLESS: Duration = Duration::from_secs(12);
/// How long a replica waits to be claimed before it is seen whether it waits at the wrong door.
const WAITS_MS: i64 = 5_000;
/// How long it waits for somebody in another zone, where one in its peer's could take it.
const WAITS_FAR_MS: i64 = 10_000;
/// Beyond a length of segments: words come once a second, and some come late.
const SLACK: Duration = Duration::from_secs(1);
/// Segments without a new number after which a replica stands still, beside a peer that goes on, and
/// alone: then the store, or what both depend on, may be to blame.
const STILL: u32 = 2;
const STILL_ALONE: u32 = 4;
/// Segments over which a replica was slow, or flawed.
const SLOW: u32 = 3;
/// Starts of an encoder within a minute.
const RESTARTS: u32 = 3;

/// Why a replica is let go.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub failure: Failure,
    pub blame: Blame,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// Its node's: others are tried first.
    Node,
    /// Its own, or its source's: on another node it would do no better.
    Job,
    /// Nobody's: it was given back.
    Nobody,
    /// Ours: nobody ran it yet, and it only goes elsewhere.
    Placement,
    /// The same, and zones are not looked at for a while.
    Zone,
}

/// The replicas that are to be let go. A symptom that both show is no replica's own.
pub(super) fn faults(record: &ChannelRecord, facts: &Facts<'_>, memory: &Memory) -> Vec<(JobId, Fault)> {
    let mut faults = Vec::new();
    for replica in &record.replicas {
        let Some(job) = facts.job(replica.job) else { continue };
        let fault = ended(replica, job)
            .or_else(|| lost(replica, job, facts))
            .or_else(|| misplaced(record, replica, job, facts))
            .or_else(|| ails(record, replica, job, facts, memory));
        faults.extend(fault.map(|fault| (replica.job, fault)));
    }
    if faults.is_empty() {
        faults.extend(together(record, facts));
    }
    faults
}

fn fault(replica: &Replica, code: &str, reason: String) -> Fault {
    let failure = Failure { node: replica.node.clone(), ..Failure::new(Class::Transient, code, reason) };
    Fault { failure, blame: Blame::Node }
}

fn on(replica: &Replica) -> String {
    replica.node.as_ref().map_or_else(|| "a node".to_owned(), ToString::to_string)
}

/// Its job ended, or was given back: a replica is run once.
fn ended(replica: &Replica, job: &JobSummary) -> Option<Fault> {
    let is_back = job.state == JobState::Ready && job.attempt > 0;
    if !is_back && !job.state.is_terminal() {
        return None;
    }
    let own = job.failures.last().filter(|failure| failure.attempt == job.attempt);
    let Some(own) = own else {
        let reason = format!("{} gave its replica back", on(replica));
        return Some(Fault { blame: Blame::Nobody, ..fault(replica, "replica-given-back", reason) });
    };
    let failure = Failure { node: own.node.clone().or_else(|| replica.node.clone()), ..own.clone() };
    let blame = if matches!(own.class, Class::Resource | Class::Transient) { Blame::Node } else { Blame::Job };
    Some(Fault { failure, blame })
}

/// Nothing is heard of whoever runs it.
fn lost(replica: &Replica, job: &JobSummary, facts: &Facts<'_>) -> Option<Fault> {
    let is_lost = job.state == JobState::Running && facts.silent.contains(&replica.job);
    let reason = || format!("nothing was heard of {} for a whole lease while it ran a replica", on(replica));
    is_lost.then(|| fault(replica, "replica-lost", reason()))
}

/// It waits where nobody can take it, and somebody could elsewhere.
fn misplaced(record: &ChannelRecord, replica: &Replica, job: &JobSummary, facts: &Facts<'_>) -> Option<Fault> {
    let waits_ms = facts.now_ms - job.ready_ms;
    if job.state != JobState::Ready || waits_ms < WAITS_MS {
        return None;
    }
    let has_door = |engine, apart: &[NodeId]| facts.fleet.with(engine).iter().any(|node| !apart.contains(node));
    let mut others = record.clone();
    others.replicas.retain(|other| other.job != replica.job);
    if has_door(replica.engine, &replica.apart) {
        // Whoever is there has no room, or does not look. A node of its peer's zone is better than none.
        others.upkeep.anywhere_ms = i64::MAX;
        let anywhere = place::choose(&others, facts).ok().filter(|_| waits_ms >= WAITS_FAR_MS)?;
        let near = |node: &NodeId| replica.apart.contains(node) && !anywhere.apart.contains(node);
        let has = facts.fleet.with(anywhere.engine).iter().any(near);
        let reason = || "nobody takes it in another zone than its peer's".to_owned();
        return has.then(|| Fault { blame: Blame::Zone, ..fault(replica, "replica-misplaced", reason()) });
    }
    let better = place::choose(&others, facts).ok()?;
    let has = has_door(better.engine, &better.apart);
    let reason = || "nobody is there to take it where it was placed".to_owned();
    has.then(|| Fault { blame: Blame::Placement, ..fault(replica, "replica-misplaced", reason()) })
}

/// Two replicas on one node: no redundancy. The later one goes.
fn together(record: &ChannelRecord, facts: &Facts<'_>) -> Option<(JobId, Fault)> {
    let running = |replica: &&Replica| facts.job(replica.job).is_some_and(|job| job.state == JobState::Running);
    let mut running: Vec<&Replica> = record.replicas.iter().filter(running).collect();
    running.sort_by_key(|replica| (!replica.proven, replica.placed_ms));
    let (first, second) = (running.first()?, running.get(1)?);
    let same = first.node.is_some() && first.node == second.node;
    let reason = || format!("both replicas run on {}", on(second));
    same.then(|| (second.job, Fault { blame: Blame::Nobody, ..fault(second, "replicas-together", reason()) }))
}

/// It runs, and does not do what it is for.
fn ails(
    record: &ChannelRecord,
    replica: &Replica,
    job: &JobSummary,
    facts: &Facts<'_>,
    memory: &Memory,
) -> Option<Fault> {
    let seen = memory.replica(replica.job).filter(|_| job.state == JobState::Running && facts.listening)?;
    let segment = Duration::from_millis(record.edition.segment_ms.into());
    let since = |at| facts.now.saturating_duration_since(at);
    let on = on(replica);
    let word = facts.known.words.get(&replica.job);
    let quiet = word.map_or(since(seen.running), |word| since(word.at));
    if quiet > WORDLESS {
        return Some(fault(
            replica,
            "replica-silent",
            format!("the replica on {on} says nothing, though its node does"),
        ));
    }
    let status = &word?.status;
    if seen.restarts() > RESTARTS {
        return Some(fault(replica, "replica-restarts", format!("the encoder on {on} was started again and again")));
    }
    if since(seen.settled) < GRACE.max(segment * SLOW) {
        return None;
    }
    let peer = peer_of(record, replica, facts, memory);
    if stands_still(seen, peer, segment, facts) {
        return Some(fault(
            replica,
            "replica-stalled",
            format!("no new segment comes from {on}, though its source does"),
        ));
    }
    let peer = peer?;
    let slow = seen.slow_from.zip(status.number).is_some_and(|(from, number)| number >= from + u64::from(SLOW));
    // A hiccup makes it slow for as long as it is remembered; only who stays behind keeps being slow.
    let behind_ms = status.lag_ms.unwrap_or_default() - peer.1.lag_ms.unwrap_or_default();
    let is_behind = behind_ms >= i64::from(record.edition.segment_ms / 4);
    if slow && is_behind && peer.1.speed_milli.is_some_and(|speed| speed >= SLOW_MILLI) {
        return Some(fault(replica, "replica-slow", format!("the replica on {on} is slower than real time")));
    }
    let flawed = seen.flawed.is_some_and(|at| since(at) > GRACE.max(segment * SLOW) && !is_flawed(peer.1));
    if flawed && active(status) == active(peer.1) {
        let flaws: Vec<_> = status.flaws.iter().map(|flaw| flaw.as_str()).collect();
        let reason = format!("the replica on {on} is {}, and its peer is not", flaws.join(", "));
        return Some(fault(replica, "replica-flawed", reason));
    }
    None
}

/// Whether no number follows the last, where others do, or where nobody could.
fn stands_still(seen: &Seen, peer: Option<(&Seen, &ReplicaStatus)>, segment: Duration, facts: &Facts<'_>) -> bool {
    let Some((number, since)) = seen.number else { return false };
    let still = facts.now.saturating_duration_since(since);
    let goes_on = peer.is_some_and(|(peer, _)| {
        peer.number.is_some_and(|(ahead, at)| {
            ahead > number && facts.now.saturating_duration_since(at) <= segment * STILL + SLACK
        })
    });
    let segments = match peer {
        Some(_) if goes_on => STILL,
        Some((peer, _)) if peer.number.is_some() => return false,
        _ => STILL_ALONE,
    };
    still > segment * segments + SLACK
}

/// The other replica, where it was heard lately.
fn peer_of<'a>(
    record: &ChannelRecord,
    replica: &Replica,
    facts: &Facts<'a>,
    memory: &'a Memory,
) -> Option<(&'a Seen, &'a ReplicaStatus)> {
    let peer = record.replicas.iter().find(|other| other.job != replica.job)?;
    let known = facts.known;
    let word = known.words.get(&peer.job)?;
    let fresh = facts.now.saturating_duration_since(word.at) < FRESH;
    (fresh && !facts.silent.contains(&peer.job)).then_some(())?;
    Some((memory.replica(peer.job)?, &word.status))
}

fn is_flawed(status: &ReplicaStatus) -> bool {
    status.flaws.iter().any(|flaw| matches!(flaw, Flaw::Black | Flaw::Frozen | Flaw::Silent))
}

fn active(status: &ReplicaStatus) -> Option<usize> {
    status.sources.iter().position(|source| source.active)
}
