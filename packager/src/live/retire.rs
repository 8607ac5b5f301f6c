//! A retired channel is removed with everything it published: its objects, its log, its timelines, and its
//! own record last, so that whoever comes later finds out what is left to do.
//!
//! Before anything is removed, the record is asked whether it still is that channel's: one who slept over the
//! end removes nothing of another channel of the same name.

use std::time::Duration;

use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    ids::AssetId,
    live::{ChannelRecord, Commit, Timelines, Wanted, commit_key, record_key},
    subject,
};
use framemill_storage::Store;
use tokio::time::sleep;

use super::{
    folding::{FoldError, remove},
    shards::Channel,
};

/// Pause before it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// A channel that is to be removed.
pub struct Retired<'a> {
    /// Where its records are.
    pub queue: &'a Queue,
    /// Where its objects are.
    pub store: &'a Store,
    /// Its names.
    pub channel: &'a Channel,
    /// What tells it from others of the same name.
    pub asset: AssetId,
}

impl Retired<'_> {
    /// Goes on until nothing is left of the channel.
    pub async fn run(&self) {
        let channel = self.channel;
        while let Err(error) = self.remove().await {
            tracing::warn!(tenant = %channel.tenant, channel = %channel.id, %error, "a retired channel is not removed yet");
            sleep(AGAIN).await;
        }
        tracing::info!(tenant = %channel.tenant, channel = %channel.id, "a retired channel was removed");
    }

    async fn remove(&self) -> Result<(), FoldError> {
        self.remove_objects().await?;
        let commits = self.queue.records::<Commit>(subject::COMMITS_BUCKET);
        let listed = commits.list(&commit_key(&self.channel.tenant, &self.channel.id, "*")).await?;
        let places = listed.into_iter().map(|(_, commit, revision)| (commit.number, revision)).collect();
        remove(self.queue, self.channel, places).await;
        let key = record_key(&self.channel.tenant, &self.channel.id);
        let timelines = self.queue.records::<Timelines>(subject::TIMELINES_BUCKET);
        let there = timelines.get(&key).await?;
        let Some(revision) = self.record().await? else { return Ok(()) };
        if let Some((_, revision)) = there {
            timelines.delete(&key, revision).await?;
        }
        // What a replica put in its last moment.
        self.remove_objects().await?;
        Ok(self.queue.records::<ChannelRecord>(subject::CHANNELS_BUCKET).delete(&key, revision).await?)
    }

    async fn remove_objects(&self) -> Result<(), FoldError> {
        let prefix = format!("{}/", self.channel.folder());
        loop {
            let page: Vec<String> = self.store.list_page(&prefix, None).await?.into_iter().map(|o| o.key).collect();
            // What was listed before the answer is this channel's.
            if page.is_empty() || self.record().await?.is_none() {
                return Ok(());
            }
            self.store.delete(&page).await?;
        }
    }

    /// Revision of the channel's record; `None` once it is gone, or another channel's.
    async fn record(&self) -> Result<Option<u64>, RecordError> {
        let records = self.queue.records::<ChannelRecord>(subject::CHANNELS_BUCKET);
        let found = records.get(&record_key(&self.channel.tenant, &self.channel.id)).await?;
        let is_it = |record: &ChannelRecord| record.asset == self.asset && record.wanted == Wanted::Retired;
        Ok(found.filter(|(record, _)| is_it(record)).map(|(_, revision)| revision))
    }
}
