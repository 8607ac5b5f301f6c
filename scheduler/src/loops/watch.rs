//! Feeds the view from both buckets and from heartbeats. A watch that ends is started anew; it
//! then delivers every record again, so nothing is missed.

use std::time::Duration;

use framemill_queue::{Change, Queue, RecordError, Records};
use framemill_schemas::wire::WireError;
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::{chain::chain, view::View};

/// Pause before a watch that ended is started anew.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Runs until `stop`.
pub async fn run(queue: &Queue, view: &View, stop: &CancellationToken) {
    tokio::join!(assets(queue, view, stop), jobs(queue, view, stop), workers(queue, view, stop));
}

async fn assets(queue: &Queue, view: &View, stop: &CancellationToken) {
    while stop.run_until_cancelled(feed(queue.assets(), view, View::put_asset)).await.is_some() {
        pause(stop).await;
    }
}

async fn jobs(queue: &Queue, view: &View, stop: &CancellationToken) {
    while stop.run_until_cancelled(feed(queue.jobs(), view, View::put_job)).await.is_some() {
        pause(stop).await;
    }
}

async fn workers(queue: &Queue, view: &View, stop: &CancellationToken) {
    while stop.run_until_cancelled(heartbeats(queue, view)).await.is_some() {
        pause(stop).await;
    }
}

async fn pause(stop: &CancellationToken) {
    let _ = stop.run_until_cancelled(tokio::time::sleep(AGAIN_AFTER)).await;
}

async fn feed<T>(records: &Records<T>, view: &View, put: fn(&View, Change<T>))
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    match records.watch(">").await {
        Ok(changes) => {
            let mut changes = std::pin::pin!(changes);
            while let Some(change) = changes.next().await {
                match change {
                    Ok(change) => put(view, change),
                    // Said once by the queue, not at each of its changes.
                    Err(RecordError::Wire(WireError::Newer { .. })) => {}
                    Err(error) => tracing::warn!(error = %chain(&error), "record skipped"),
                }
            }
        }
        Err(error) => tracing::warn!(error = %chain(&error), "watch not started"),
    }
}

async fn heartbeats(queue: &Queue, view: &View) {
    match queue.heartbeats().await {
        Ok(beats) => {
            let mut beats = std::pin::pin!(beats);
            while let Some(beat) = beats.next().await {
                view.put_heartbeat(&beat);
            }
        }
        Err(error) => tracing::warn!(error = %chain(&error), "heartbeats not heard"),
    }
}
