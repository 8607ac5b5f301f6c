//! Sending the events that records hold. An event is decided in the same compare-and-set as the
//! change it tells of, so it cannot be lost between the two; it is sent from there at least once.
//!
//! A running job's record is left alone: its holder changes it next, and would be in the way of a
//! change made only to say that something was sent. What was sent is remembered here until then;
//! whoever forgets it, because it died, sends it again under the same id.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use framemill_schemas::{
    delivery::PurgeStatus,
    event::Event,
    ids::{AssetId, NodeId},
    job::{JobRecord, JobState},
    live::ChannelRecord,
    subject,
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    error::{QueueError, RecordError},
    queue::Queue,
    records::Records,
};

/// Records whose sent events are remembered. Beyond it all are forgotten: then some are sent
/// twice, which is allowed.
const REMEMBERED_MAX: usize = 65_536;

/// Sends events for one process, and remembers what it sent.
pub struct Outbox {
    queue: Queue,
    sent: Mutex<HashMap<String, HashSet<Uuid>>>,
}

impl Outbox {
    /// One that has sent nothing yet.
    pub fn new(queue: Queue) -> Self {
        Self { queue, sent: Mutex::default() }
    }

    /// Sends what an asset's record holds, then says so in the record.
    pub async fn send_asset(&self, id: AssetId) -> Result<(), QueueError> {
        self.send(self.queue.assets(), &id.to_string(), |asset| &mut asset.unsent, |_| true).await
    }

    /// Sends what a job's record holds, then says so in the record, unless the job is running.
    pub async fn send_job(&self, key: &str) -> Result<(), QueueError> {
        let settled = |job: &JobRecord| job.state != JobState::Running;
        self.send(self.queue.jobs(), key, |job| &mut job.unsent, settled).await
    }

    /// Sends what a node's record holds, then says so in the record.
    pub async fn send_node(&self, id: &NodeId) -> Result<(), QueueError> {
        self.send(&self.queue.nodes(), id.as_str(), |node| &mut node.unsent, |_| true).await
    }

    /// Sends what a channel's record holds, then says so in the record.
    pub async fn send_channel(&self, key: &str) -> Result<(), QueueError> {
        let channels = self.queue.records::<ChannelRecord>(subject::CHANNELS_BUCKET);
        self.send(&channels, key, |channel| &mut channel.unsent, |_| true).await
    }

    /// Sends what a purge's status holds, then says so in it.
    pub async fn send_purge(&self, key: &str) -> Result<(), QueueError> {
        let states = self.queue.records::<PurgeStatus>(subject::PURGE_STATES_BUCKET);
        self.send(&states, key, |status| &mut status.unsent, |_| true).await
    }

    /// Events of one record go out in their order. A record that changes meanwhile is somebody's
    /// to bring back: whoever watches it.
    async fn send<T>(
        &self,
        records: &Records<T>,
        key: &str,
        unsent: impl Fn(&mut T) -> &mut Vec<Event>,
        settled: impl Fn(&T) -> bool,
    ) -> Result<(), QueueError>
    where
        T: Serialize + DeserializeOwned,
    {
        let Some((mut record, revision)) = records.get(key).await? else {
            self.sent().remove(key);
            return Ok(());
        };
        let events = std::mem::take(unsent(&mut record));
        let known = self.sent().get(key).cloned().unwrap_or_default();
        let fresh: Vec<&Event> = events.iter().filter(|event| !known.contains(&event.id)).collect();
        if !fresh.is_empty() {
            fail::fail_point!("event/before", |_| std::process::abort());
            self.queue.publish_events(&fresh).await?;
            fail::fail_point!("event/sent", |_| std::process::abort());
        }
        if events.is_empty() {
            self.sent().remove(key);
            return Ok(());
        }
        if settled(&record) {
            match records.update(key, &record, revision).await {
                Ok(_) => {
                    self.sent().remove(key);
                    return Ok(());
                }
                // It comes again, with these events and perhaps others.
                Err(RecordError::Fenced | RecordError::Exists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut sent = self.sent();
        if sent.len() >= REMEMBERED_MAX {
            sent.clear();
        }
        sent.insert(key.to_owned(), events.iter().map(|event| event.id).collect());
        Ok(())
    }

    fn sent(&self) -> MutexGuard<'_, HashMap<String, HashSet<Uuid>>> {
        // Plain values: a panic elsewhere cannot have left them half-changed.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
