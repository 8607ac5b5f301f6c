//! What a hint is worth, given the record it points at. Pure.

use std::time::Duration;

use framemill_schemas::{
    failure::Class,
    ids::NodeId,
    job::{Hint, JobRecord, JobState},
};

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
        JobState::Ready if yields(job, node, now_ms) => Verdict::Later(AGAIN, "another node should take it"),
        JobState::Ready => Verdict::Claim,
        _ => Verdict::Terminate("the job is at its end"),
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
