//! Sends the events that records hold. An event is decided in the same compare-and-set as the
//! change it tells of, so it cannot be lost between the two; it is sent at least once.

use std::{collections::BTreeSet, time::Duration};

use framemill_queue::{Queue, QueueError, RecordError, Records};
use framemill_schemas::event::Event;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::chain,
    view::{Unsent, View},
};

const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Runs until `stop`.
pub async fn run(queue: &Queue, view: &View, stop: &CancellationToken) {
    while let Some(records) = stop.run_until_cancelled(view.take_unsent()).await {
        if !tick(queue, view, records).await {
            let _ = stop.run_until_cancelled(tokio::time::sleep(AGAIN_AFTER)).await;
        }
    }
}

/// Sends the events of `records`; false where some have to be sent again later.
pub async fn tick(queue: &Queue, view: &View, records: BTreeSet<Unsent>) -> bool {
    let mut all = true;
    for record in records {
        let sent = match &record {
            Unsent::Asset(id) => send(queue, queue.assets(), &id.to_string(), |asset| &mut asset.unsent).await,
            Unsent::Job(key) => send(queue, queue.jobs(), key, |job| &mut job.unsent).await,
        };
        if let Err(error) = sent {
            tracing::warn!(error = %chain(&error), "events are sent again later");
            view.mark_unsent(record);
            all = false;
        }
    }
    all
}

/// Why events were not sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("cannot read or write the record")]
    Record(#[from] RecordError),
    #[error("cannot publish the event")]
    Queue(#[from] QueueError),
}

/// Sends what a record holds, then says so in the record. A record that changed meanwhile comes
/// back through the view.
async fn send<T>(
    queue: &Queue,
    records: &Records<T>,
    key: &str,
    unsent: impl Fn(&mut T) -> &mut Vec<Event>,
) -> Result<(), SendError>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let Some((mut record, revision)) = records.get(key).await? else { return Ok(()) };
    let events = std::mem::take(unsent(&mut record));
    if events.is_empty() {
        return Ok(());
    }
    for event in &events {
        queue.publish_event(event).await?;
    }
    match records.update(key, &record, revision).await {
        Ok(_) | Err(RecordError::Fenced) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
