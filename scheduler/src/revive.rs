//! Bringing jobs back with their asset, after a redrive.

use framemill_queue::{RecordError, transition};
use framemill_schemas::{
    asset::AssetRecord,
    ids::JobId,
    job::{JobRecord, JobState},
};

use crate::{
    act::{ActError, Actor, fenced_is_done},
    clock::now_ms,
    ops::job_event,
    view::AssetEntry,
};

impl Actor {
    /// Takes a job that ended without being done; returns it ready, and publishes its hint.
    pub(crate) async fn revive(&self, id: JobId) -> Result<(), ActError> {
        let Some(summary) = self.view.job(id) else { return Ok(()) };
        let key = &summary.record_key();
        let Some((record, revision)) = self.queue.jobs().get(key).await? else { return Ok(()) };
        let Some(ready) = revive(record, revision, now_ms()) else { return Ok(()) };
        // An old hint would stand in the new one's place.
        self.queue.undispatch(&ready).await?;
        match self.queue.jobs().update(key, &ready, revision).await {
            Ok(revision) => Ok(self.queue.dispatch(&ready, revision).await?),
            Err(RecordError::Fenced) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes an asset all of whose jobs are ready again; returns it without its failure.
    pub(crate) async fn go_on(&self, entry: &AssetEntry) -> Result<(), ActError> {
        let record = AssetRecord { failure: None, ..entry.record.clone() };
        fenced_is_done(self.queue.assets().update(&record.id.to_string(), &record, entry.revision).await)
    }
}

/// Takes a job that failed, died or was cancelled with its asset.
/// Returns it ready with all its attempts.
/// Guards: those states; a cancelled one is the queue's to bring back only here, where its asset
/// comes back too.
fn revive(job: JobRecord, revision: u64, now_ms: i64) -> Option<JobRecord> {
    match job.state {
        JobState::Failed | JobState::Dead => transition::redrive(job, now_ms).ok(),
        JobState::Cancelled => {
            let mut job =
                JobRecord { state: JobState::Ready, holder: None, spent: 0, ready_ms: now_ms, ended_ms: 0, ..job };
            let event = job_event(&job, "retried", revision, now_ms);
            job.unsent.push(event);
            Some(job)
        }
        JobState::Ready | JobState::Running | JobState::Done => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample::job;

    #[test]
    fn jobs_come_back_with_all_their_attempts() {
        for state in [JobState::Failed, JobState::Dead, JobState::Cancelled] {
            let ready = revive(JobRecord { spent: 3, attempt: 3, ..job(state) }, 5, 9).unwrap();
            assert_eq!((ready.state, ready.spent, ready.attempt, ready.ready_ms), (JobState::Ready, 0, 3, 9));
            assert_eq!(ready.unsent[0].kind, "probe.retried");
        }
        for state in [JobState::Ready, JobState::Running, JobState::Done] {
            assert_eq!(revive(job(state), 5, 9), None, "{state:?}");
        }
    }
}
