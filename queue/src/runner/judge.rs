//! What a hint is worth, given the record it points at. Pure.

use std::time::Duration;

use framemill_schemas::{
    failure::Class,
    holder::Holder,
    ids::NodeId,
    job::{Hint, JobRecord, JobState},
    spec::JobSpec,
};

use crate::transition;

/// Pause before a hint is looked at again.
const AGAIN: Duration = Duration::from_secs(1);
/// Deliveries after which a hint whose record is not there is dropped. A record is created
/// before its hint is sent, so one that is missing was removed.
const MISSING_DELIVERIES_MAX: i64 = 5;
/// How long a job that this node lacked the means for is left to others, after the first and
/// after further failures of that kind here.
const YIELD_MS: [i64; 2] = [5_000, 30_000];
/// How long a unit whose earlier round was rejected is left to other nodes than the one that made
/// it.
const AVOID_MS: i64 = 10_000;
/// How long a job on which an encoder broke here is left to other nodes, where there are any.
const ELSEWHERE_MS: i64 = 30_000;

/// What to do with a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Claim its job.
    Claim,
    /// Remove it: it says nothing true.
    Terminate(&'static str),
    /// Give it back, to be delivered after a pause.
    Later(Duration, &'static str),
}

/// Judges a hint that was delivered for the `delivered`th time on `node`.
pub(super) fn judge(
    hint: &Hint,
    found: Option<(&JobRecord, u64)>,
    delivered: i64,
    node: &NodeId,
    now_ms: i64,
) -> Verdict {
    let Some((job, revision)) = found else {
        return if delivered < MISSING_DELIVERIES_MAX {
            Verdict::Later(AGAIN, "its record is not there yet")
        } else {
            Verdict::Terminate("its record is not there")
        };
    };
    match job.state {
        _ if revision < hint.revision => Verdict::Later(AGAIN, "it is newer than the record"),
        JobState::Running => Verdict::Terminate("the job is held"),
        // Where its peers are may have changed since: the failover controller places another.
        JobState::Ready if is_spent_replica(job) => Verdict::Terminate("a channel's replica is run once"),
        JobState::Ready if is_apart(job, node) => Verdict::Later(AGAIN, "its peer is here, or it failed here"),
        JobState::Ready if yields(job, node, now_ms) => Verdict::Later(AGAIN, "another node should take it"),
        JobState::Ready => Verdict::Claim,
        _ => Verdict::Terminate("the job is at its end"),
    }
}

/// Whether it is a replica of a channel that somebody ran and gave back.
fn is_spent_replica(job: &JobRecord) -> bool {
    matches!(job.spec, JobSpec::Live(_)) && job.attempt > 0
}

/// Whether it is a replica of a channel that was placed apart from this node.
fn is_apart(job: &JobRecord, node: &NodeId) -> bool {
    matches!(&job.spec, JobSpec::Live(spec) if spec.apart.contains(node))
}

/// Whether an encoder just broke here on the job, in a way that only another node can say more
/// about: the source is to blame when it breaks there too, and this node when it does not.
pub(super) fn broke_here(job: &JobRecord, node: &NodeId, now_ms: i64) -> bool {
    let last = job.failures.last().filter(|_| job.spent > 0);
    last.is_some_and(|failure| transition::may_blame_source(failure) && failure.node.as_ref() == Some(node))
        && (0..ELSEWHERE_MS).contains(&(now_ms - job.ready_ms))
}

/// What a claim is worth, given the record as it was just read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It stands.
    Ours,
    /// The record was read before it was made.
    Older,
    /// Somebody else changed the record's fate, or it is gone.
    Lost,
}

/// Compares a claim made at `revision` by `holder` with its record.
pub(super) fn standing(found: Option<(&JobRecord, u64)>, holder: &Holder, revision: u64) -> Standing {
    match found {
        Some((_, found)) if found < revision => Standing::Older,
        Some((job, _)) if transition::is_held_by(job, holder) => Standing::Ours,
        _ => Standing::Lost,
    }
}

/// Whether this node, which lacked something for the job or made what was rejected, should leave
/// it to others for now.
fn yields(job: &JobRecord, node: &NodeId, now_ms: i64) -> bool {
    let waited = now_ms - job.ready_ms;
    if job.attempt == 0 && job.avoid.as_ref() == Some(node) && (0..AVOID_MS).contains(&waited) {
        return true;
    }
    let here = job
        .failures
        .iter()
        .rev()
        .take(job.spent as usize)
        .take_while(|failure| failure.class == Class::Resource && failure.node.as_ref() == Some(node))
        .count();
    let Some(last) = here.checked_sub(1) else { return false };
    (0..YIELD_MS[last.min(YIELD_MS.len() - 1)]).contains(&waited)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
