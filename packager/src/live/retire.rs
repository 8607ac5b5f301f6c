//! A retired channel is removed with everything it published: its objects, its log, its timelines, and its
//! own record last, so that whoever comes later finds out what is left to do.

use std::time::Duration;

use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    live::{ChannelRecord, Commit, Timelines, Wanted, commit_key, record_key},
    subject,
};
use framemill_storage::Store;
use tokio::time::sleep;

use super::{
    folding::{FoldError, remove},
    shards::Channel,
    sweep::remove_below,
};

/// Pause before it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Goes on until nothing is left of the channel.
pub async fn run(queue: &Queue, store: &Store, channel: &Channel) {
    loop {
        match retire(queue, store, channel).await {
            Ok(()) => {
                tracing::info!(tenant = %channel.tenant, channel = %channel.id, "a retired channel was removed");
                return;
            }
            Err(error) => {
                tracing::warn!(channel = %channel.id, %error, "a retired channel could not be removed yet");
                sleep(AGAIN).await;
            }
        }
    }
}

async fn retire(queue: &Queue, store: &Store, channel: &Channel) -> Result<(), FoldError> {
    remove_below(store, &format!("{}/", channel.folder())).await?;
    let commits = queue.records::<Commit>(subject::COMMITS_BUCKET);
    let listed = commits.list(&commit_key(&channel.tenant, &channel.id, "*")).await?;
    remove(queue, channel, listed.into_iter().map(|(_, commit, revision)| (commit.number, revision)).collect()).await;
    let key = record_key(&channel.tenant, &channel.id);
    let timelines = queue.records::<Timelines>(subject::TIMELINES_BUCKET);
    if let Some((_, revision)) = timelines.get(&key).await? {
        timelines.delete(&key, revision).await?;
    }
    // What a replica put in its last moment.
    remove_below(store, &format!("{}/", channel.folder())).await?;
    let channels = queue.records::<ChannelRecord>(subject::CHANNELS_BUCKET);
    match channels.get(&key).await? {
        Some((record, revision)) if record.wanted == Wanted::Retired => Ok(channels.delete(&key, revision).await?),
        Some(_) => Err(RecordError::Fenced.into()),
        None => Ok(()),
    }
}
