//! `POST /v1/assets/{id}/retry`.

use framemill_queue::Queue;
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    ids::{AssetId, Tenant},
    object::Generation,
};

use super::{Decision, OpError, asset_event, change_asset, generation, now_ms, refuse};

/// Makes an asset anew, in a generation of its own: nothing of the old one is reused, so whatever
/// spoilt it cannot spoil the new one.
pub async fn retry(queue: &Queue, id: AssetId, visible: impl Fn(&Tenant) -> bool) -> Result<AssetRecord, OpError> {
    let now_ms = now_ms();
    let decide = |asset: &AssetRecord, revision: u64| {
        decide(asset, generation(asset.generation.number.saturating_add(1)), revision, now_ms)
    };
    change_asset(queue, id, visible, decide).await
}

/// Takes an asset that failed or was cancelled, and the name of the next generation.
/// Returns it accepted again in that generation, without its failure, with `asset.accepted` to be
/// sent. Its trace goes on: one asset is one trace.
/// Guards: one that is being made is made already; a published one is what viewers watch, and a
/// second result of the same source is a second asset: submit it again.
fn decide(asset: &AssetRecord, generation: Generation, revision: u64, now_ms: i64) -> Result<Decision, OpError> {
    match asset.state {
        AssetState::Failed | AssetState::Cancelled => {
            let mut asset = AssetRecord {
                state: AssetState::Accepted,
                generation,
                slots: 0,
                v: AssetRecord::version_for(&asset.source, &[]),
                hardware: Vec::new(),
                failure: None,
                ended_ms: 0,
                ..asset.clone()
            };
            let event = asset_event(&asset, "accepted", revision, now_ms);
            asset.unsent.push(event);
            Ok(Decision::Change(Box::new(asset)))
        }
        AssetState::Accepted => Err(refuse(asset, "it is being made; cancel it first")),
        AssetState::Published => Err(refuse(asset, "submit its source again to make another")),
        AssetState::Doomed => Err(refuse(asset, "it is being removed; submit its source again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample::asset;
    use framemill_schemas::failure::Failure;

    #[test]
    fn what_failed_is_made_anew_in_a_generation_of_its_own() {
        for state in [AssetState::Failed, AssetState::Cancelled] {
            let mut before = asset(state);
            before.failure = Some(Failure::input("x", "y"));
            let Ok(Decision::Change(after)) = decide(&before, generation(2), 3, 9) else { panic!("refused") };
            assert_eq!((after.state, after.generation.number, after.slots), (AssetState::Accepted, 2, 0));
            assert_ne!(after.generation.random, before.generation.random);
            assert_eq!((&after.failure, after.ended_ms, after.submitted_ms), (&None, 0, before.submitted_ms));
            assert_eq!(after.unsent[0].kind, "asset.accepted");
        }
        for state in [AssetState::Accepted, AssetState::Published, AssetState::Doomed] {
            assert!(matches!(decide(&asset(state), generation(2), 3, 9), Err(OpError::Conflict(_))), "{state:?}");
        }
    }
}
