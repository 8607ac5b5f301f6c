//! `POST /v1/dead/{job}/redrive` and `POST /v1/jobs/{id}/retry`.

use framemill_queue::Queue;
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    event::{Event, EventData},
    failure::Class,
    job::{JobKind, JobRecord, JobState},
    spec::JobSpec,
};

use super::{Decision, OpError, asset_event, change_asset, now_ms, refuse};
use crate::view::JobSummary;

/// Runs a job again that failed or whose attempts are spent, and lets its asset go on in the same
/// generation: what is stored of it is kept.
///
/// An asset is given up with its first hopeless job, and its other jobs are cancelled then, so they
/// come back together. This only accepts the asset again and leaves its failure in place, which
/// tells every planner what to do: the driver makes the jobs ready and clears the failure last. It
/// looks at records, so a crash anywhere in between changes nothing.
pub async fn redrive(queue: &Queue, job: &JobSummary) -> Result<(), OpError> {
    if job.kind == JobKind::Live {
        let detail = format!("the job {} is a channel's replica: the farm places another by itself", job.id);
        return Err(OpError::Conflict(detail));
    }
    let now_ms = now_ms();
    let reopen = |asset: &AssetRecord, revision| reopen(asset, job.generation, job.state, revision, now_ms);
    change_asset(queue, job.asset, |_| true, reopen).await?;
    Ok(())
}

/// Whether [`redrive`] would let the asset of a job go on, as it is now.
pub fn may_redrive(asset: &AssetRecord, job: &JobSummary) -> Result<(), OpError> {
    reopen(asset, job.generation, job.state, 0, 0).map(|_| ())
}

/// Takes an asset and the generation of the job.
/// Returns it accepted again, its failure still written in it, with `asset.accepted` to be sent.
/// Guards: it failed, in this generation, and not by its source's fault: then its objects are
/// being collected; and the job is one that failed. A redrive under way is left to itself.
fn reopen(
    asset: &AssetRecord,
    generation: u32,
    job: JobState,
    revision: u64,
    now_ms: i64,
) -> Result<Decision, OpError> {
    if asset.generation.number != generation {
        return Err(refuse(asset, "and has another generation by now; look at that one's jobs"));
    }
    if let (AssetState::Accepted, Some(_)) = (asset.state, &asset.failure) {
        return Ok(Decision::Already);
    }
    if !matches!(job, JobState::Failed | JobState::Dead) {
        let detail = format!("the job is {}; only a failed or dead one is run again", job.as_str());
        return Err(OpError::Conflict(detail));
    }
    match (asset.state, &asset.failure) {
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

/// An event about a change of a job that was found at `revision`.
pub(crate) fn job_event(job: &JobRecord, what: &str, revision: u64, now_ms: i64) -> Event {
    let channel_id = match &job.spec {
        JobSpec::Live(spec) => Some(spec.channel.clone()),
        _ => None,
    };
    let data = EventData {
        // A channel's jobs are filed under an id that nobody else knows.
        asset_id: channel_id.is_none().then_some(job.asset),
        channel_id,
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
    use crate::ops::sample::asset;
    use framemill_schemas::failure::Failure;

    fn failed(class: Class) -> AssetRecord {
        AssetRecord { failure: Some(Failure::new(class, "x", "y")), ..asset(AssetState::Failed) }
    }

    #[test]
    fn an_asset_is_accepted_again_and_keeps_its_failure() {
        let before = failed(Class::Transient);
        let Ok(Decision::Change(open)) = reopen(&before, 1, JobState::Dead, 3, 9) else { panic!("refused") };
        assert_eq!((open.state, open.failure.is_some(), open.ended_ms), (AssetState::Accepted, true, 0));
        // Asked again while it is under way, whatever became of the job by then.
        assert_eq!(reopen(&open, 1, JobState::Ready, 4, 9).unwrap(), Decision::Already);
        assert!(matches!(reopen(&before, 1, JobState::Cancelled, 3, 9), Err(OpError::Conflict(_))));
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
            assert!(
                matches!(reopen(&asset, generation, JobState::Dead, 3, 9), Err(OpError::Conflict(_))),
                "{:?}",
                asset.state
            );
        }
    }
}
