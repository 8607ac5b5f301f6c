//! How an attempt ends: what its record becomes, and what is then said of its hint. Pure.

use std::time::Duration;

use framemill_schemas::{
    failure::{Class, Failure},
    holder::Holder,
    job::{JobRecord, JobState},
    spec::JobOutput,
};

use crate::transition::{self, Refusal};

/// How long a job rests after a failure that may pass, doubled with each.
const RETRY: Duration = Duration::from_secs(1);
/// How long a job rests that this node lacked something for: another node takes it then.
const ELSEWHERE: Duration = Duration::from_millis(500);

/// What came of an attempt.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Made(Box<JobOutput>),
    Failed(Failure),
    /// The same, where no other node could have taken the job.
    FailedAlone(Failure),
    /// Given back; `rest` keeps the hint away from everybody for a while.
    Released {
        rest: Duration,
    },
}

/// What is said of the hint once the record is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// The job is done by us.
    Ack,
    /// The job is at another end.
    Term,
    /// The job may be run again, after a pause.
    Back(Option<Duration>),
}

/// What the record becomes, for a holder that still holds it.
pub(super) fn apply(job: JobRecord, holder: &Holder, outcome: &Outcome, now_ms: i64) -> Result<JobRecord, Refusal> {
    match outcome {
        Outcome::Made(output) => transition::commit(job, holder, (**output).clone(), now_ms),
        Outcome::Failed(failure) => transition::fail(job, holder, failure.clone(), now_ms),
        Outcome::FailedAlone(failure) => transition::fail_alone(job, holder, failure.clone(), now_ms),
        Outcome::Released { .. } => transition::release(job, holder, now_ms),
    }
}

/// Whether `found` is what we tried to store, perhaps at an earlier try, and perhaps with its events
/// sent since. The next claim changes the state, and the attempt for good.
pub(super) fn is_this(found: &JobRecord, next: &JobRecord) -> bool {
    let facts = |job: &JobRecord| (job.state, job.attempt, job.spent);
    facts(found) == facts(next) && found.holder == next.holder
}

/// What to say of the hint of a job that ended as `ended`.
pub(super) fn farewell(ended: &JobRecord, outcome: &Outcome) -> Farewell {
    match (ended.state, outcome) {
        (JobState::Done, _) => Farewell::Ack,
        (JobState::Ready, Outcome::Released { rest }) if rest.is_zero() => Farewell::Back(None),
        (JobState::Ready, Outcome::Released { rest }) => Farewell::Back(Some(*rest)),
        (JobState::Ready, Outcome::Failed(failure) | Outcome::FailedAlone(failure))
            if failure.class == Class::Resource =>
        {
            Farewell::Back(Some(ELSEWHERE))
        }
        (JobState::Ready, _) => Farewell::Back(Some(RETRY * 2_u32.pow(ended.spent.clamp(1, 4) - 1))),
        _ => Farewell::Term,
    }
}
