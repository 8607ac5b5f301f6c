//! What asks for a purge by itself: records whose change made bytes under a name that viewers know other ones, or
//! took them away. Pure.
//!
//! Each purge's id follows from the record and the change, so whoever looks at the record asks for the same purge; a
//! look that failed is made up for by the next.

use std::collections::BTreeSet;

use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    delivery::{PURGE_AGE_MAX, PURGE_VERSION, Purge, PurgeCause, PurgeId, TAGS_MAX},
    ids::Tenant,
    live::{ChannelRecord, Timelines, Wanted, folder_of},
    object::{MASTER_PLAYLIST, MPD, asset_folder},
};

/// The purge that the state of a title asks for.
///
/// * Removed after viewers had it: all of it, and refused. Its id is never used again.
/// * Published in a generation that took another one's place: its entry manifests. Asked for while they may still
///   be cached anywhere, which is far shorter than purges are kept.
pub(crate) fn of_asset(asset: &AssetRecord, now_ms: i64) -> Option<Purge> {
    let published = asset.published.as_ref()?;
    match asset.state {
        AssetState::Doomed => Some(Purge {
            refuse: true,
            ..purge(
                &format!("asset/{}/removed", asset.id),
                &asset.tenant,
                vec![format!("asset:{}", asset.id)],
                PurgeCause::Takedown,
                now_ms,
            )
        }),
        AssetState::Published if is_recent(asset.repaired_ms, now_ms) => {
            let folder = asset_folder(&asset.tenant, asset.id);
            let generation = &published.generation;
            Some(purge(
                &format!("asset/{}/g{}-{}", asset.id, generation.number, generation.random),
                &asset.tenant,
                vec![format!("object:{folder}/{MASTER_PLAYLIST}"), format!("object:{folder}/{MPD}")],
                PurgeCause::Published,
                now_ms,
            ))
        }
        _ => None,
    }
}

/// The purge of an entry manifest that was not what its record says, and was put right: `etag` is what it was.
pub(crate) fn of_mended(asset: &AssetRecord, key: &str, etag: &str, now_ms: i64) -> Purge {
    let id = format!("asset/{}/mended/{key}/{etag}", asset.id);
    purge(&id, &asset.tenant, vec![format!("object:{key}")], PurgeCause::Published, now_ms)
}

/// The purges of generations of a published title that are about to be collected: nobody needs them any more, and
/// caches need not keep them. Their bytes never change, so one that is fetched again meanwhile is as good as before.
pub(crate) fn of_collected(asset: &AssetRecord, generations: &BTreeSet<(u32, String)>, now_ms: i64) -> Vec<Purge> {
    let tags: Vec<String> =
        generations.iter().map(|(number, random)| format!("generation:{}/g{number}-{random}", asset.id)).collect();
    let of = |tags: &[String]| {
        let id = format!("asset/{}/collected/{}", asset.id, tags.join(" "));
        purge(&id, &asset.tenant, tags.to_vec(), PurgeCause::Collected, now_ms)
    };
    tags.chunks(TAGS_MAX).map(of).collect()
}

/// Whether a purge that was asked for then is still kept for certain: an older one is not asked for again.
fn is_recent(at_ms: i64, now_ms: i64) -> bool {
    let kept_ms = i64::try_from(PURGE_AGE_MAX.as_millis()).unwrap_or(i64::MAX);
    at_ms > 0 && now_ms - at_ms < kept_ms / 2
}

/// The purges that the state of a channel asks for: none before it is removed for good, then all of it. What lies on
/// its timelines is refused. Its playlists are only forgotten: another channel of the same name may come, and theirs
/// are the same names; they are deleted within seconds, and no cache keeps them for longer than that.
pub(crate) fn of_channel(channel: &ChannelRecord, timelines: &Timelines, now_ms: i64) -> Vec<Purge> {
    if channel.wanted != Wanted::Retired {
        return Vec::new();
    }
    let (tenant, name) = (&channel.tenant, format!("{}/{}", channel.tenant, channel.id));
    let cause = format!("channel/{}", channel.asset);
    let folders: Vec<String> =
        timelines.all.iter().map(|timeline| format!("timeline:{name}/{}", folder_of(timeline))).collect();
    let refused = folders.chunks(TAGS_MAX).zip(0..).map(|(tags, index)| Purge {
        refuse: true,
        ..purge(&format!("{cause}/refused/{index}"), tenant, tags.to_vec(), PurgeCause::Takedown, now_ms)
    });
    let playlists = vec![format!("channel:{name}")];
    refused.chain([purge(&cause, tenant, playlists, PurgeCause::Takedown, now_ms)]).collect()
}

fn purge(id: &str, tenant: &Tenant, tags: Vec<String>, cause: PurgeCause, now_ms: i64) -> Purge {
    Purge {
        v: PURGE_VERSION,
        id: PurgeId::derive(id),
        tenant: tenant.clone(),
        tags,
        refuse: false,
        cause,
        requested_ms: now_ms,
    }
}

#[cfg(test)]
mod tests {
    use framemill_schemas::{asset::Published, live::TIMELINES_VERSION, object::StoredObject, rate::Ratio};

    use super::*;
    use crate::ops::sample;

    const NOW_MS: i64 = 1_800_000_000_000;
    const RATE: Ratio = Ratio { num: 25, den: 1 };

    fn asset(state: AssetState, is_published: bool, repaired_ms: i64) -> AssetRecord {
        let asset = sample::asset(state);
        let object = StoredObject { key: "x".to_owned(), bytes: 1, digest: "d".to_owned(), etag: "e".to_owned() };
        let generation = asset.generation.clone();
        let published = Published { generation, master: object.clone(), mpd: object, index: None };
        AssetRecord { published: is_published.then_some(published), repaired_ms, ..asset }
    }

    #[test]
    fn a_title_is_purged_when_viewers_had_something_else_of_it() {
        use AssetState::{Accepted, Doomed, Failed, Published};
        for (state, is_published, repaired_ms, tags) in [
            (Accepted, false, 0, 0),
            (Failed, false, 0, 0),
            // Nobody knows its names before.
            (Published, true, 0, 0),
            (Published, true, NOW_MS - 1000, 2),
            // Long over: no cache has it, and the purge that was asked for then is kept no more.
            (Published, true, NOW_MS - 5 * 24 * 3_600_000, 0),
            (Doomed, false, 0, 0),
            (Doomed, true, 0, 1),
        ] {
            let asset = asset(state, is_published, repaired_ms);
            let purge = of_asset(&asset, NOW_MS);
            assert_eq!(purge.as_ref().map_or(0, |purge| purge.tags.len()), tags, "{state:?} {repaired_ms}");
            if let Some(purge) = purge {
                assert_eq!(purge.refuse, state == Doomed);
                assert_eq!(
                    Some(purge.id),
                    of_asset(&asset, NOW_MS + 1000).map(|again| again.id),
                    "asked twice it is one"
                );
            }
        }
        let (mut second, first) = (asset(Published, true, NOW_MS), asset(Published, true, NOW_MS));
        second.published.as_mut().unwrap().generation.number += 1;
        assert_ne!(of_asset(&first, NOW_MS).map(|purge| purge.id), of_asset(&second, NOW_MS).map(|purge| purge.id));
    }

    #[test]
    fn what_is_collected_is_named_by_its_generations() {
        let asset = asset(AssetState::Published, true, NOW_MS);
        let generations = BTreeSet::from([(1, "00c0ffee".to_owned()), (2, "00c0ffef".to_owned())]);
        let purges = of_collected(&asset, &generations, NOW_MS);
        assert_eq!((purges.len(), purges[0].tags.len(), purges[0].refuse), (1, 2, false));
        assert!(purges[0].tags.iter().all(|tag| crate::purges::owner_of(tag).is_some()), "{:?}", purges[0].tags);
        assert!(of_collected(&asset, &BTreeSet::new(), NOW_MS).is_empty());
        let mended = |etag| of_mended(&asset, "vod/x/master.m3u8", etag, NOW_MS).id;
        assert!(mended("a") == mended("a") && mended("a") != mended("b"), "each change is mended once");
    }

    #[test]
    fn a_channel_is_refused_by_its_timelines_and_forgotten_by_its_name() {
        let all = vec![sample::timeline(RATE, 1), sample::timeline(RATE, 9)];
        let timelines = Timelines { v: TIMELINES_VERSION, all, floor: 0, breaks: 0 };
        for wanted in [Wanted::Running, Wanted::Stopped] {
            assert!(of_channel(&sample::channel(wanted), &timelines, NOW_MS).is_empty());
        }
        let channel = sample::channel(Wanted::Retired);
        let purges = of_channel(&channel, &timelines, NOW_MS);
        let shape: Vec<_> = purges.iter().map(|purge| (purge.refuse, purge.tags.len())).collect();
        assert_eq!(shape, [(true, 2), (false, 1)]);
        assert!(purges[0].tags.iter().all(|tag| crate::purges::owner_of(tag).is_some()), "{:?}", purges[0].tags);
        assert_eq!(purges[1].tags, [format!("channel:{}/{}", channel.tenant, channel.id)]);
        assert_eq!(of_channel(&channel, &Timelines::default(), NOW_MS).len(), 1, "one that never was on air");
    }
}
