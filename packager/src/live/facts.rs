//! What the inits of a channel say: each is read from the store once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use framemill_media::boxes::{InitFacts, read_init};
use framemill_storage::Store;
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::{chain::Entry, hls::init_address};

/// What the inits say, by their key below the channel's folder.
pub type Facts = BTreeMap<String, InitFacts>;

/// Inits that are read at once.
const AT_ONCE: usize = 8;
/// Longest time for all of them: playlists do not wait for longer.
const READ_MAX: Duration = Duration::from_secs(2);

/// The inits that entries need.
pub fn needed(entries: &[Entry]) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for stretch in entries.chunk_by(|a, b| a.mark.stretch == b.mark.stretch) {
        let Some(first) = stretch.first().filter(|entry| !entry.mark.gap) else { continue };
        let Some(media) = &first.mark.media else { continue };
        needed.extend(first.timeline.renditions().filter_map(|name| init_address(&first.timeline, media, name)));
    }
    needed
}

/// Reads the inits that are not known yet, and forgets those that nobody needs any more. What cannot be read
/// now is asked for again next time.
pub async fn learn(store: &Store, folder: &str, needed: BTreeSet<String>, facts: &mut Facts) {
    facts.retain(|key, _| needed.contains(key));
    let missing: Vec<String> = needed.into_iter().filter(|key| !facts.contains_key(key)).collect();
    let reads = missing.into_iter().map(|key| async move {
        let facts = read(store, &format!("{folder}/{key}")).await?;
        Some((key, facts))
    });
    let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
    let all = async {
        while let Some(read) = reads.next().await {
            facts.extend(read);
        }
    };
    if timeout(READ_MAX, all).await.is_err() {
        tracing::warn!(folder, "inits of a channel could not be read in time");
    }
}

async fn read(store: &Store, key: &str) -> Option<InitFacts> {
    let object = match store.get(key).await {
        Ok(Some(object)) => object,
        Ok(None) => {
            tracing::warn!(key, "an init that was committed is not in the store");
            return None;
        }
        Err(error) => {
            tracing::warn!(key, %error, "an init could not be read");
            return None;
        }
    };
    read_init(&object.body).inspect_err(|error| tracing::warn!(key, %error, "an init is none")).ok()
}
