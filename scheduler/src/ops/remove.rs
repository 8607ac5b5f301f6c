//! `DELETE /v1/assets/{id}`.

use framemill_queue::Queue;
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    ids::{AssetId, Tenant},
};

use super::{Decision, OpError, change_asset, ended, now_ms};

/// Dooms an asset: viewers lose it now, the collector deletes its objects and then its record.
pub async fn remove(queue: &Queue, id: AssetId, visible: impl Fn(&Tenant) -> bool) -> Result<AssetRecord, OpError> {
    let now_ms = now_ms();
    change_asset(queue, id, visible, |asset, revision| Ok(decide(asset, revision, now_ms))).await
}

/// Takes an asset in any state.
/// Returns it doomed, with `asset.removed` to be sent, and `asset.cancelled` before it when it was
/// being made: publishing contends for the same record, so it is never both.
/// Guards: nothing leaves this state, so a second removal changes nothing.
fn decide(asset: &AssetRecord, revision: u64, now_ms: i64) -> Decision {
    let cancelled;
    let asset = match asset.state {
        AssetState::Doomed => return Decision::Already,
        AssetState::Accepted => {
            cancelled = ended(asset, AssetState::Cancelled, "cancelled", revision, now_ms);
            &cancelled
        }
        AssetState::Published | AssetState::Failed | AssetState::Cancelled => asset,
    };
    Decision::Change(Box::new(ended(asset, AssetState::Doomed, "removed", revision, now_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample::asset;

    #[test]
    fn everything_can_be_removed_once() {
        for (state, kinds) in [
            (AssetState::Accepted, vec!["asset.cancelled", "asset.removed"]),
            (AssetState::Published, vec!["asset.removed"]),
            (AssetState::Failed, vec!["asset.removed"]),
            (AssetState::Cancelled, vec!["asset.removed"]),
        ] {
            let Decision::Change(after) = decide(&asset(state), 3, 9) else { panic!("unchanged") };
            assert_eq!((after.state, after.ended_ms), (AssetState::Doomed, 9));
            assert_eq!(after.unsent.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), kinds);
        }
        assert_eq!(decide(&asset(AssetState::Doomed), 3, 9), Decision::Already);
    }
}
