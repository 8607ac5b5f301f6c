//! Folding a stretch of the log into an object: store it, move the floor, remove the records. Each step may
//! be the last one before a crash, and the next packager goes on from there.

use bytes::Bytes;
use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    live::{Commit, Timelines, commit_key, record_key},
    object::{CACHE_IMMUTABLE, content_type},
    subject,
};
use framemill_storage::{Meta, Put, Store, StoreError};
use futures_util::{StreamExt, stream};

use super::{
    index::{self, Index},
    shards::Channel,
};

/// Times that the timelines may be changed by others before the next fold is left to do it.
const RACES_MAX: usize = 8;
/// Records that are removed at once.
const AT_ONCE: usize = 8;

/// Why a stretch was not folded. It stays in the log, and is folded another time.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record could not be read or changed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The stored index is none.
    #[error("the index {key} cannot be read: {reason}; remove it to have it written anew")]
    Index {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Folds what was planned. `revisions` are the numbers of the log and their places.
///
/// # Errors
/// What the store and NATS refuse; everything may be done again.
pub async fn fold(
    queue: &Queue,
    store: &Store,
    channel: &Channel,
    plan: Index,
    revisions: Vec<(u64, u64)>,
) -> Result<(), FoldError> {
    let index = put(store, channel, plan).await?;
    fail::fail_point!("fold/stored", |_| std::process::abort());
    let breaks = index.replay().last().map_or(index.breaks, |entry| entry.mark.breaks);
    raise(queue, channel, index.end, breaks).await?;
    fail::fail_point!("fold/raised", |_| std::process::abort());
    remove(queue, channel, revisions.into_iter().filter(|(number, _)| *number < index.end).collect()).await;
    Ok(())
}

/// Stores the index. Where one with its first number is there, that is the one.
async fn put(store: &Store, channel: &Channel, plan: Index) -> Result<Index, FoldError> {
    let key = index::key(&channel.folder(), plan.first);
    let body = Bytes::from(serde_json::to_vec(&plan).expect("an index is plain data"));
    let meta = Meta {
        content_type: content_type(&key).to_owned(),
        cache_control: CACHE_IMMUTABLE.to_owned(),
        tags: channel.tags(),
        ..Meta::default()
    };
    match store.put_new(&key, body, &meta).await? {
        Put::Created(_) => Ok(plan),
        Put::Exists { .. } => read(store, &key).await?.ok_or_else(|| StoreError::Contended { key }.into()),
    }
}

/// Reads an index; `None` when there is none.
///
/// # Errors
/// What the store refuses, and bytes that are no index.
pub async fn read(store: &Store, key: &str) -> Result<Option<Index>, FoldError> {
    let Some(object) = store.get(key).await? else { return Ok(None) };
    Index::read(&object.body).map(Some).map_err(|reason| FoldError::Index { key: key.to_owned(), reason })
}

/// Moves the floor up, unless it is there already.
async fn raise(queue: &Queue, channel: &Channel, floor: u64, breaks: u64) -> Result<(), FoldError> {
    let records = queue.records::<Timelines>(subject::TIMELINES_BUCKET);
    let key = record_key(&channel.tenant, &channel.id);
    for _ in 0..RACES_MAX {
        let Some((timelines, revision)) = records.get(&key).await? else { return Ok(()) };
        if timelines.floor >= floor {
            return Ok(());
        }
        match records.update(&key, &Timelines { floor, breaks, ..timelines }, revision).await {
            Err(RecordError::Fenced) => {}
            settled => return Ok(settled.map(|_| ())?),
        }
    }
    Err(RecordError::Fenced.into())
}

/// Removes records of the log that lie below its floor. One that stays is removed when the channel is read
/// the next time.
pub async fn remove(queue: &Queue, channel: &Channel, revisions: Vec<(u64, u64)>) {
    let records = &queue.records::<Commit>(subject::COMMITS_BUCKET);
    let delete = |(number, revision): (u64, u64)| async move {
        let key = commit_key(&channel.tenant, &channel.id, number);
        match records.delete(&key, revision).await {
            Ok(()) | Err(RecordError::Fenced) => {}
            Err(error) => tracing::debug!(key, %error, "a folded commit could not be removed"),
        }
    };
    stream::iter(revisions).map(delete).buffer_unordered(AT_ONCE).collect::<()>().await;
}
