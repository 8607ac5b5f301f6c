//! Segments that nobody can see any more leave the store: those of an index that lies further back than the
//! time shift and two windows, then the index itself.

use std::collections::BTreeSet;

use framemill_schemas::live::{Timeline, filler_key, folded_sorted, folder_of, segment_key};
use framemill_storage::Store;

use super::{
    chain::Entry,
    folding::{FoldError, read},
    index::{self, Index},
    shards::Channel,
};

/// Indexes whose segments are removed in one pass: the rest has time until the next.
const PASS_MAX: usize = 8;

/// Removes what ended before a time of the channel's clock, Unix milliseconds. The last index stays: what
/// comes later is joined to it.
///
/// # Errors
/// What the store refuses; everything may be done again.
pub async fn sweep(store: &Store, channel: &Channel, before_ms: i64) -> Result<(), FoldError> {
    let folder = channel.folder();
    let mut keys = list(store, &folder).await?.into_iter().take(PASS_MAX + 1).map(|(_, key)| key);
    let Some(mut key) = keys.next() else { return Ok(()) };
    let mut oldest = read(store, &key).await?;
    for next_key in keys {
        let next = read(store, &next_key).await?;
        if let Some(index) = oldest {
            if ends_ms(&index) >= before_ms {
                return Ok(());
            }
            store.delete(&segments(&folder, &index)).await?;
            let stays = next.iter().flat_map(|next| &next.timelines).map(|timeline| timeline.id).collect();
            remove_timelines(store, &folder, &index, &stays).await?;
            store.delete(&[key]).await?;
        }
        (oldest, key) = (next, next_key);
    }
    Ok(())
}

/// The indexes of a channel with their first numbers, oldest first.
///
/// # Errors
/// What the store refuses.
pub async fn list(store: &Store, folder: &str) -> Result<Vec<(u64, String)>, FoldError> {
    let listed = store.list(&index::folder(folder)).await?;
    Ok(folded_sorted(listed.into_iter().map(|object| object.key)))
}

/// When the last number of an index ends on the channel's clock, Unix milliseconds.
fn ends_ms(index: &Index) -> i64 {
    let last = index.replay().pop();
    last.map_or(i64::MIN, |entry: Entry| entry.timeline.time_ms(entry.number()).end)
}

/// Every object that the numbers of an index may have. Of a gap there may be a segment that came too late, and
/// of a segment the filler that did not stand in for it.
fn segments(folder: &str, index: &Index) -> Vec<String> {
    let mut keys = Vec::new();
    for commit in &index.commits {
        let may_hold = |timeline: &&Timeline| timeline.id == commit.timeline || timeline.first <= commit.number;
        for timeline in index.timelines.iter().filter(may_hold) {
            let below = format!("{folder}/{}", folder_of(timeline));
            for rendition in timeline.renditions() {
                keys.push(segment_key(&below, rendition, commit.number));
                keys.push(filler_key(&below, rendition, commit.number));
            }
        }
    }
    keys
}

/// Removes the folders of an index's timelines but those that stay: their inits, and what nobody committed.
async fn remove_timelines(store: &Store, folder: &str, index: &Index, stays: &BTreeSet<u32>) -> Result<(), FoldError> {
    for timeline in index.timelines.iter().filter(|timeline| !stays.contains(&timeline.id)) {
        remove_below(store, &format!("{folder}/{}/", folder_of(timeline))).await?;
    }
    Ok(())
}

/// Removes everything below a prefix.
async fn remove_below(store: &Store, prefix: &str) -> Result<(), FoldError> {
    loop {
        let page: Vec<String> = store.list_page(prefix, None).await?.into_iter().map(|object| object.key).collect();
        if page.is_empty() {
            return Ok(());
        }
        store.delete(&page).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{
        fold::plan,
        sample::{edition, stage},
    };

    #[test]
    fn every_object_of_an_index_is_named() {
        let index = plan(&stage(&format!("s-f{}", "s".repeat(150))), &edition(60, 0)).unwrap();
        let keys = segments("live/demo/news", &index);
        assert_eq!(keys.len(), 20 * 3 * 2);
        for key in ["360p/448750000.m4s", "180p/448750001.m4s", "stereo/448750002-filler.m4s"] {
            assert!(keys.contains(&format!("live/demo/news/t1-00000001/{key}")), "{key}");
        }
        assert_eq!(ends_ms(&index), super::super::sample::START_MS + 20 * 4000);
    }
}
