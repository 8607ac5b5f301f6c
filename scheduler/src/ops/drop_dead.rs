//! `DELETE /v1/dead/{job}`.

use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    ids::JobId,
    job::{JobRecord, JobState},
};

use super::{CAS_TRIES_MAX, OpError, job_event, now_ms};

/// Lets a dead job go: it leaves the list of what waits for an operator.
pub async fn drop_dead(queue: &Queue, key: &str, id: JobId) -> Result<(), OpError> {
    let now_ms = now_ms();
    let mut tries = 0;
    loop {
        let (record, revision) = queue.jobs().get(key).await?.ok_or(OpError::NoJob(id))?;
        let dropped = decide(record, revision, now_ms)?;
        match queue.jobs().update(key, &dropped, revision).await {
            Ok(_) => return Ok(()),
            Err(RecordError::Fenced) if tries < CAS_TRIES_MAX => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes a dead job.
/// Returns it cancelled, with `<kind>.cancelled` to be sent. Its asset has failed because of it and
/// stays as it is.
/// Guards: dead.
fn decide(mut job: JobRecord, revision: u64, now_ms: i64) -> Result<JobRecord, OpError> {
    if job.state != JobState::Dead {
        let detail = format!("the job {} is {}, not dead; list the dead ones", job.id, job.state.as_str());
        return Err(OpError::Conflict(detail));
    }
    job.state = JobState::Cancelled;
    job.ended_ms = now_ms;
    let event = job_event(&job, "cancelled", revision, now_ms);
    job.unsent.push(event);
    Ok(job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample::job;

    #[test]
    fn only_dead_jobs_are_dropped() {
        let dropped = decide(job(JobState::Dead), 5, 9).unwrap();
        assert_eq!((dropped.state, dropped.unsent[0].kind.as_str()), (JobState::Cancelled, "probe.cancelled"));
        for state in [JobState::Ready, JobState::Running, JobState::Done, JobState::Failed, JobState::Cancelled] {
            assert!(decide(job(state), 5, 9).is_err(), "{state:?}");
        }
    }
}
