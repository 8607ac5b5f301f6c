//! Deleting objects, behind a guard of its own. Whatever was decided, and however long ago: before
//! each batch the asset's record is read from the leader, and nothing is deleted that it shows to
//! viewers, is making, or may go on with. A record that cannot be read protects everything.

use std::collections::BTreeMap;

use framemill_queue::Queue;
use framemill_schemas::{
    api::GarbageObject,
    asset::{AssetRecord, AssetState},
    ids::AssetId,
    object::{asset_folder, content_type, place},
};
use framemill_storage::Store;

use crate::loops::collect::CollectError;

/// Keys of one request.
const BATCH: usize = 500;

/// Deletes what was decided to be garbage; returns how much of it is gone.
///
/// # Errors
/// [`CollectError::Protected`] where the decision was wrong: nothing of that asset's batch is
/// deleted.
pub async fn shred(queue: &Queue, store: &Store, objects: &[GarbageObject]) -> Result<u64, CollectError> {
    let mut of_asset: BTreeMap<AssetId, Vec<String>> = BTreeMap::new();
    for object in objects {
        let place = place(&object.key).ok_or_else(|| CollectError::Protected { key: object.key.clone() })?;
        of_asset.entry(place.asset).or_default().push(object.key.clone());
    }
    let mut gone = 0;
    for (asset, mut keys) in of_asset {
        // Manifests first: nobody is to find one whose segments are gone.
        keys.sort_by_key(|key| content_type(key).starts_with("video/"));
        for batch in keys.chunks(BATCH) {
            let record = queue.assets().get(&asset.to_string()).await?;
            if let Some((record, _)) = &record
                && let Some(key) = batch.iter().find(|key| is_protected(record, key))
            {
                tracing::error!(%asset, key, "the collector was about to delete what is in use");
                return Err(CollectError::Protected { key: key.clone() });
            }
            fail::fail_point!("collect/between", |_| std::process::abort());
            store.delete(batch).await?;
            gone += batch.len() as u64;
        }
    }
    Ok(gone)
}

/// Whether a record forbids that an object is deleted. Says it in its own words, not in those of
/// the decision it guards against.
fn is_protected(asset: &AssetRecord, key: &str) -> bool {
    let home = asset_folder(&asset.tenant, asset.id);
    let Some(rest) = key.strip_prefix(&home).and_then(|rest| rest.strip_prefix('/')) else {
        // Of another tenant's folder than the record says: nothing is known about it.
        return true;
    };
    if asset.state == AssetState::Doomed {
        return false;
    }
    if let Some(published) = &asset.published {
        let named = [Some(&published.master), Some(&published.mpd), published.index.as_ref()];
        if !rest.contains('/') && !rest.starts_with('g') || named.into_iter().flatten().any(|object| object.key == key)
        {
            return true;
        }
    }
    let in_use = [
        asset.published.as_ref().map(|published| &published.generation),
        asset.repair.as_ref().filter(|repair| repair.failure.is_none()).map(|repair| &repair.generation),
        matches!(asset.state, AssetState::Accepted).then_some(&asset.generation),
    ];
    in_use.into_iter().flatten().any(|generation| {
        let name = format!("g{}-{}", generation.number, generation.random);
        // Its folder, and the entry manifests beside it.
        rest.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['/', '.']))
    })
}

#[cfg(test)]
mod tests {
    use framemill_schemas::{
        asset::{Published, Repair},
        object::{Generation, StoredObject},
    };

    use super::*;
    use crate::ops::sample;

    fn generation(number: u32) -> Generation {
        Generation { number, random: format!("{number:08x}") }
    }

    fn object(key: String) -> StoredObject {
        StoredObject { key, bytes: 1, digest: String::new(), etag: String::new() }
    }

    #[test]
    fn what_is_in_use_is_protected_whatever_was_decided() {
        let asset = |state| AssetRecord { generation: generation(2), ..sample::asset(state) };
        let home = asset_folder(&asset(AssetState::Published).tenant, asset(AssetState::Published).id);
        let published = |state| AssetRecord {
            published: Some(Published {
                generation: generation(2),
                master: object(format!("{home}/g2-00000002.m3u8")),
                mpd: object(format!("{home}/g2-00000002.mpd")),
                index: None,
            }),
            ..asset(state)
        };
        let repair = |failure: Option<framemill_schemas::failure::Failure>| AssetRecord {
            repair: Some(Repair {
                generation: generation(3),
                index: object("i".to_owned()),
                damaged: Vec::new(),
                anew: false,
                since_ms: 0,
                failure,
            }),
            ..published(AssetState::Published)
        };
        let failed = framemill_schemas::failure::Failure::input("x", "y");
        for (asset, key, expected) in [
            (published(AssetState::Published), "g2-00000002/720p/1.m4s", true),
            (published(AssetState::Published), "g2-00000002.mpd", true),
            (published(AssetState::Published), "master.m3u8", true),
            (published(AssetState::Published), "g1-00000001/720p/1.m4s", false),
            // Another generation of the same number, as after a restore from an old copy.
            (published(AssetState::Published), "g2-00000003/720p/1.m4s", false),
            (published(AssetState::Published), "g22-00000002/720p/1.m4s", false),
            (published(AssetState::Doomed), "g2-00000002/720p/1.m4s", false),
            // Whatever state follows: what was published stays until the asset is removed.
            (published(AssetState::Failed), "g2-00000002/720p/1.m4s", true),
            (repair(None), "g3-00000003/720p/1.m4s", true),
            (repair(None), "g2-00000002/720p/1.m4s", true),
            (repair(Some(failed)), "g3-00000003/720p/1.m4s", false),
            (asset(AssetState::Accepted), "g2-00000002/720p/1.m4s", true),
            (asset(AssetState::Accepted), "g1-00000001/720p/1.m4s", false),
            (asset(AssetState::Cancelled), "g2-00000002/720p/1.m4s", false),
            (asset(AssetState::Failed), "g2-00000002/720p/1.m4s", false),
            (asset(AssetState::Cancelled), "master.m3u8", false),
        ] {
            assert_eq!(is_protected(&asset, &format!("{home}/{key}")), expected, "{:?} {key}", asset.state);
        }
        let elsewhere = "vod/other/0198c0de-0000-7000-8000-000000000000/g1-00000001/x";
        assert!(is_protected(&asset(AssetState::Doomed), elsewhere));
    }
}
