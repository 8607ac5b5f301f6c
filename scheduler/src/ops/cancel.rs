//! `POST /v1/assets/{id}/cancel`.

use framemill_queue::{Queue, RecordError, transition};
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    ids::{AssetId, Tenant},
    job::JobState,
};
use futures_util::{StreamExt, stream};

use super::{CAS_TRIES_MAX, Decision, OpError, change_asset, ended, now_ms, refuse};
use crate::view::View;

/// Jobs that are cancelled side by side.
const STOPS_AT_ONCE: usize = 16;

/// Gives an asset up on its owner's word. Its jobs follow: the driver cancels what belongs to an
/// asset that is not being made.
pub async fn cancel(queue: &Queue, id: AssetId, visible: impl Fn(&Tenant) -> bool) -> Result<AssetRecord, OpError> {
    let now_ms = now_ms();
    change_asset(queue, id, visible, |asset, revision| decide(asset, revision, now_ms)).await
}

/// Cancels the jobs of an asset that is not being made any more, those that run first: their holders
/// are given notice by the records, and kill their ffmpeg. The driver does the same from the
/// records alone; this only spares them its queue. What fails here is done there.
pub async fn stop_jobs(queue: &Queue, view: &View, asset: &AssetRecord) {
    let mut jobs = view.jobs_of(asset.id);
    jobs.retain(|job| !job.state.is_terminal() && job.generation <= asset.generation.number);
    jobs.sort_by_key(|job| job.state != JobState::Running);
    let stops = jobs.into_iter().map(|job| async move {
        if let Err(error) = stop_job(queue, &job.record_key()).await {
            tracing::debug!(job = %job.id, %error, "the driver cancels this job");
        }
    });
    stream::iter(stops).buffer_unordered(STOPS_AT_ONCE).collect::<()>().await;
}

async fn stop_job(queue: &Queue, key: &str) -> Result<(), RecordError> {
    let mut tries = 0;
    loop {
        let Some((record, revision)) = queue.jobs().get(key).await? else { return Ok(()) };
        let Ok(cancelled) = transition::cancel(record, now_ms()) else { return Ok(()) };
        match queue.jobs().update(key, &cancelled, revision).await {
            Ok(_) => {
                // Left alone it would be delivered once more, to somebody who finds an ended job.
                let _ = queue.undispatch(&cancelled).await;
                return Ok(());
            }
            // An event of it was ticked off, perhaps.
            Err(RecordError::Fenced) if tries < CAS_TRIES_MAX => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Takes an asset that is being made.
/// Returns it cancelled, with `asset.cancelled` to be sent.
/// Guards: one that is cancelled already stays as it is; any other end is not undone.
fn decide(asset: &AssetRecord, revision: u64, now_ms: i64) -> Result<Decision, OpError> {
    match asset.state {
        AssetState::Accepted => {
            // A redrive that was under way leaves its reason in the record; this is a new end.
            let asset = AssetRecord { failure: None, ..asset.clone() };
            Ok(Decision::Change(Box::new(ended(&asset, AssetState::Cancelled, "cancelled", revision, now_ms))))
        }
        AssetState::Cancelled => Ok(Decision::Already),
        AssetState::Published | AssetState::Failed => Err(refuse(asset, "only what is being made can be cancelled")),
        AssetState::Doomed => Err(refuse(asset, "it is being removed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample::asset;

    #[test]
    fn only_what_is_being_made_is_cancelled() {
        let Ok(Decision::Change(cancelled)) = decide(&asset(AssetState::Accepted), 3, 9) else { panic!("refused") };
        assert_eq!((cancelled.state, cancelled.ended_ms), (AssetState::Cancelled, 9));
        assert_eq!(cancelled.unsent[0].kind, "asset.cancelled");
        assert_eq!(decide(&asset(AssetState::Cancelled), 3, 9).unwrap(), Decision::Already);
        for state in [AssetState::Published, AssetState::Failed, AssetState::Doomed] {
            assert!(matches!(decide(&asset(state), 3, 9), Err(OpError::Conflict(_))), "{state:?}");
        }
    }

    #[test]
    fn deciding_twice_is_one_event() {
        let event = |revision| match decide(&asset(AssetState::Accepted), revision, 9).unwrap() {
            Decision::Change(asset) => asset.unsent[0].id,
            Decision::Already => panic!("not cancelled"),
        };
        assert_eq!(event(3), event(3));
        assert_ne!(event(3), event(4));
    }
}
