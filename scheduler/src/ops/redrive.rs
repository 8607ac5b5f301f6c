//! `POST /v1/dead/{job}/redrive` and `POST /v1/jobs/{id}/retry`.

use framemill_queue::{Queue, QueueError, RecordError, transition};
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    event::{Event, EventData},
    failure::Class,
    job::{JobRecord, JobState},
};

use super::{CAS_TRIES_MAX, Decision, OpError, asset_event, change_asset, now_ms, refuse};
use crate::view::{JobSummary, View};

/// Runs a job again that failed or whose attempts are spent, and lets its asset go on in the same
/// generation: what is stored of it is kept.
///
/// An asset is given up with its first hopeless job, and its other jobs are cancelled then. So
/// they come back together, in three steps that can be repeated after a crash: the asset is
/// accepted again but keeps its failure, which tells planners to wait; its jobs are made ready;
/// the failure is cleared.
pub async fn redrive(queue: &Queue, view: &View, job: &JobSummary) -> Result<(), OpError> {
    let now_ms = now_ms();
    if !matches!(job.state, JobState::Failed | JobState::Dead) {
        let detail = format!("the job {} is {}; only a failed or dead one is run again", job.id, job.state.as_str());
        return Err(OpError::Conflict(detail));
    }
    let visible = |_: &_| true;
    change_asset(queue, job.asset, visible, |asset, revision| reopen(asset, job.generation, revision, now_ms)).await?;
    for other in view.jobs_of(job.asset) {
        if other.generation == job.generation && is_revived(other.state) {
            make_ready(queue, &other.record_key, now_ms).await?;
        }
    }
    change_asset(queue, job.asset, visible, |asset, _| Ok(go_on(asset, job.generation))).await?;
    Ok(())
}

/// What an asset that goes on needs again.
const fn is_revived(state: JobState) -> bool {
    matches!(state, JobState::Failed | JobState::Dead | JobState::Cancelled)
}

/// Takes an asset and the generation of the job.
/// Returns it accepted again, its failure still written in it, with `asset.accepted` to be sent.
/// Guards: it failed, in this generation, and not by its source's fault: then its objects are
/// being collected. A redrive that was interrupted is taken up again.
fn reopen(asset: &AssetRecord, generation: u32, revision: u64, now_ms: i64) -> Result<Decision, OpError> {
    if asset.generation.number != generation {
        return Err(refuse(asset, "and has another generation by now; look at that one's jobs"));
    }
    match (asset.state, &asset.failure) {
        (AssetState::Accepted, Some(_)) => Ok(Decision::Already),
        (AssetState::Failed, Some(failure)) if failure.class == Class::Input => {
            Err(refuse(asset, "its source is at fault: mend it and retry the asset"))
        }
        (AssetState::Failed, Some(_)) => {
            let mut asset = AssetRecord { state: AssetState::Accepted, ended_ms: 0, ..asset.clone() };
            let event = asset_event(&asset, "accepted", revision, now_ms);
            asset.unsent.push(event);
            Ok(Decision::Change(Box::new(asset)))
        }
        _ => Err(refuse(asset, "only the jobs of a failed asset are run again; retry the asset")),
    }
}

/// Takes an asset whose jobs are ready again.
/// Returns it without its failure.
/// Guards: it is still being made in this generation; anything else was decided later.
fn go_on(asset: &AssetRecord, generation: u32) -> Decision {
    if asset.state == AssetState::Accepted && asset.generation.number == generation && asset.failure.is_some() {
        Decision::Change(Box::new(AssetRecord { failure: None, ..asset.clone() }))
    } else {
        Decision::Already
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

async fn make_ready(queue: &Queue, key: &str, now_ms: i64) -> Result<(), OpError> {
    let mut tries = 0;
    loop {
        let Some((record, revision)) = queue.jobs().get(key).await? else { return Ok(()) };
        let Some(ready) = revive(record, revision, now_ms) else { return Ok(()) };
        // An old hint would stand in the new one's place.
        queue.undispatch(&ready).await.map_err(unavailable)?;
        match queue.jobs().update(key, &ready, revision).await {
            // Without the hint it would wait for the sweep: slower, and never lost.
            Ok(revision) => return queue.dispatch(&ready, revision).await.map_err(unavailable),
            Err(RecordError::Fenced) if tries < CAS_TRIES_MAX => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn unavailable(error: QueueError) -> OpError {
    OpError::Records(RecordError::Unavailable(error.to_string()))
}

/// An event about a change of a job that was found at `revision`.
pub(super) fn job_event(job: &JobRecord, what: &str, revision: u64, now_ms: i64) -> Event {
    let data = EventData {
        asset_id: Some(job.asset),
        job_id: Some(job.id),
        profile: Some(job.unit.clone()),
        attempt: Some(job.attempt),
        status: Some(job.state.as_str().to_owned()),
        ..EventData::default()
    };
    let kind = format!("{}.{what}", job.kind().as_str());
    Event::derive(&job.id.to_string(), &format!("{kind}/{revision}"), kind, &job.tenant, now_ms, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample::{asset, job};
    use framemill_schemas::failure::Failure;

    fn failed(class: Class) -> AssetRecord {
        AssetRecord { failure: Some(Failure::new(class, "x", "y")), ..asset(AssetState::Failed) }
    }

    #[test]
    fn an_asset_waits_with_its_failure_until_its_jobs_are_ready() {
        let Ok(Decision::Change(open)) = reopen(&failed(Class::Transient), 1, 3, 9) else { panic!("refused") };
        assert_eq!((open.state, open.failure.is_some(), open.ended_ms), (AssetState::Accepted, true, 0));
        // Interrupted here, the next call takes it up.
        assert_eq!(reopen(&open, 1, 4, 9).unwrap(), Decision::Already);
        let Decision::Change(on) = go_on(&open, 1) else { panic!("unchanged") };
        assert_eq!((on.state, on.failure.clone()), (AssetState::Accepted, None));
        assert_eq!(go_on(&on, 1), Decision::Already);
    }

    #[test]
    fn only_what_may_go_on_is_reopened() {
        for (asset, generation) in [
            (failed(Class::Input), 1),
            (failed(Class::Transient), 2),
            (asset(AssetState::Accepted), 1),
            (asset(AssetState::Published), 1),
            (asset(AssetState::Cancelled), 1),
            (asset(AssetState::Doomed), 1),
        ] {
            assert!(matches!(reopen(&asset, generation, 3, 9), Err(OpError::Conflict(_))), "{:?}", asset.state);
        }
    }

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
