//! Reading back what was folded: the last index at once, because the chain is joined to it, and the others
//! while the live playlists are written already.

use std::time::Duration;

use framemill_schemas::live::Edition;
use framemill_storage::Store;
use futures_util::{StreamExt, stream};
use tokio::{sync::oneshot, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{
    chain::Entry,
    folding::{FoldError, read},
    index::Index,
    shards::Channel,
    sweep::list,
};

/// Indexes that are read at once.
const AT_ONCE: usize = 8;
/// Pause before the store is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// Keys of the indexes below the floor, oldest first.
///
/// # Errors
/// What the store refuses.
pub async fn below(store: &Store, channel: &Channel, floor: u64) -> Result<Vec<String>, FoldError> {
    let listed = list(store, &channel.folder()).await?;
    Ok(listed.into_iter().filter(|(first, _)| *first < floor).map(|(_, key)| key).collect())
}

/// What the last of them shows; nothing where there is none.
///
/// # Errors
/// What the store refuses, and an index that cannot be read.
pub async fn last(store: &Store, keys: &[String]) -> Result<Vec<Entry>, FoldError> {
    let Some(key) = keys.last() else { return Ok(Vec::new()) };
    Ok(read(store, key).await?.map(|index| index.replay()).unwrap_or_default())
}

/// Begins to read all but the last, newest first, until they reach back as far as the time shift.
pub fn begin(
    store: &Store,
    mut keys: Vec<String>,
    edition: Edition,
) -> (oneshot::Receiver<Vec<Entry>>, AbortOnDropHandle<()>) {
    let (says, older) = oneshot::channel();
    keys.pop();
    let store = store.patient();
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        let entries = if edition.timeshift_s == 0 { Vec::new() } else { read_all(&store, keys, &edition).await };
        // Nobody waits any more where the writer has ended.
        let _ = says.send(entries);
    }));
    (older, task)
}

async fn read_all(store: &Store, keys: Vec<String>, edition: &Edition) -> Vec<Entry> {
    let indexes = keys.into_iter().rev().map(|key| read_until_read(store, key));
    let mut indexes = stream::iter(indexes).buffered(AT_ONCE);
    let mut parts = Vec::new();
    let mut length_ms = 0;
    while let Some(index) = indexes.next().await {
        let Some(index) = index else { continue };
        let entries = index.replay();
        length_ms += entries.iter().map(Entry::millis).sum::<u64>();
        parts.push(entries);
        if length_ms > u64::from(edition.timeshift_s) * 1000 {
            break;
        }
    }
    parts.into_iter().rev().flatten().collect()
}

/// Reads an index, however long the store is away; `None` for one that is gone or cannot be read at all.
async fn read_until_read(store: &Store, key: String) -> Option<Index> {
    loop {
        match read(store, &key).await {
            Ok(index) => return index,
            Err(FoldError::Store(error)) if error.is_passing() => sleep(AGAIN).await,
            Err(error) => {
                tracing::warn!(key, %error, "a part of a time shift is left out");
                return None;
            }
        }
    }
}
