//! What a channel knows of a span: its timelines, its log, and what was folded out of that.

use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    ids::{ChannelId, Tenant},
    live::{
        Commit, Cut, Folded, Stretch, Timelines, channel_folder, commit_key, folded_folder, folded_sorted, record_key,
        segment_key,
    },
    subject,
};
use framemill_storage::{Store, StoreError};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::resolve::{Known, Span};
use crate::ops::OpError;

/// Indexes that are read at once.
const AT_ONCE: usize = 8;
/// Most indexes that a span may take: each has up to sixty numbers.
const INDEXES_MAX: usize = 256;
/// How far the times of neighbouring timelines may overlap, milliseconds.
const OVERLAP_MS: i64 = 120_000;
/// How often the log is read again because it was folded meanwhile.
const TRIES_MAX: usize = 5;

/// Reads what is known of a span; nothing where the channel never published anything.
///
/// # Errors
/// NATS or the store in trouble, and a log that is folded away faster than it is read.
pub async fn read(
    queue: &Queue,
    store: &Store,
    tenant: &Tenant,
    channel: &ChannelId,
    span: Span,
) -> Result<Known, OpError> {
    for _ in 0..TRIES_MAX {
        let before = timelines(queue, tenant, channel).await?;
        let log = queue.records::<Commit>(subject::COMMITS_BUCKET).list(&commit_key(tenant, channel, "*")).await?;
        let folded = folded(store, &channel_folder(tenant, channel), before.floor, span).await?;
        // What was folded between the two is in neither.
        let after = timelines(queue, tenant, channel).await?;
        if after.floor != before.floor {
            continue;
        }
        let mut known = Known { floor: after.floor, ..Known::default() };
        known.oldest = folded.iter().flat_map(|folded| &folded.commits).map(|commit| commit.number).min().unwrap_or(0);
        for folded in folded {
            known.timelines.extend(folded.timelines.into_iter().map(|timeline| (timeline.id, timeline)));
            known.commits.extend(folded.commits.into_iter().map(|commit| (commit.number, commit)));
        }
        known.timelines.extend(after.all.into_iter().map(|timeline| (timeline.id, timeline)));
        let log = log.into_iter().map(|(_, commit, _)| commit).filter(|commit| commit.number >= after.floor);
        known.commits.extend(log.map(|commit| (commit.number, commit)));
        if known.oldest == 0 {
            known.oldest = known.commits.keys().next().copied().unwrap_or(0);
        }
        return Ok(known);
    }
    Err(OpError::Conflict("the channel's log is folded faster than it is read; try again in a moment".to_owned()))
}

async fn timelines(queue: &Queue, tenant: &Tenant, channel: &ChannelId) -> Result<Timelines, RecordError> {
    let records = queue.records::<Timelines>(subject::TIMELINES_BUCKET);
    let found = records.get(&record_key(tenant, channel)).await?;
    Ok(found.map(|(timelines, _)| timelines).unwrap_or_default())
}

/// The oldest index, which tells since when the channel is kept, and those around the span.
async fn folded(store: &Store, folder: &str, floor: u64, span: Span) -> Result<Vec<Folded>, OpError> {
    let listed = store.list(&folded_folder(folder)).await?;
    let keys = folded_sorted(listed.into_iter().map(|object| object.key)).into_iter();
    let keys: Vec<String> = keys.filter(|(first, _)| *first < floor).map(|(_, key)| key).collect();
    let Some(oldest) = keys.first() else { return Ok(Vec::new()) };
    let mut found: Vec<Folded> = one(store, oldest).await?.into_iter().collect();

    // The first that may reach into the span. Times follow numbers but for what timelines overlap.
    let (mut low, mut high) = (1, keys.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let ends_ms = one(store, &keys[middle]).await?.and_then(|folded| ends_ms(&folded));
        if ends_ms.is_none_or(|ends_ms| ends_ms + OVERLAP_MS < span.from_ms) { low = middle + 1 } else { high = middle }
    }
    let reads = keys.into_iter().skip(low).map(|key| async move { one(store, &key).await });
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    while let Some(read) = reads.try_next().await? {
        let Some(folded) = read else { continue };
        let begins_ms = begins_ms(&folded);
        found.push(folded);
        if begins_ms.is_some_and(|begins_ms| begins_ms > span.to_ms + OVERLAP_MS) || found.len() > INDEXES_MAX {
            break;
        }
    }
    Ok(found)
}

/// Reads an index; nothing where it has gone meanwhile, or cannot be read: that is a hole in the time shift too.
async fn one(store: &Store, key: &str) -> Result<Option<Folded>, StoreError> {
    let Some(object) = store.get(key).await? else { return Ok(None) };
    let folded = Folded::read(&object.body);
    Ok(folded.inspect_err(|reason| tracing::warn!(key, reason, "a part of a channel's past cannot be read")).ok())
}

fn time_of(folded: &Folded, commit: Option<&Commit>) -> Option<std::ops::Range<i64>> {
    let number = commit?.number;
    Some(folded.timelines.iter().rfind(|timeline| timeline.first <= number)?.time_ms(number))
}

fn begins_ms(folded: &Folded) -> Option<i64> {
    time_of(folded, folded.commits.first()).map(|time| time.start)
}

fn ends_ms(folded: &Folded) -> Option<i64> {
    time_of(folded, folded.commits.last()).map(|time| time.end)
}

/// Whether a channel still has these stretches: its oldest segments go first.
///
/// # Errors
/// What the store refuses.
pub async fn is_kept(store: &Store, cut: &Cut, stretches: &[Stretch]) -> Result<bool, StoreError> {
    let Some(rendition) = cut.rungs.first() else { return Ok(false) };
    for stretch in stretches {
        if store.head(&segment_key(&stretch.folder, &rendition.name, stretch.first)).await?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}
