//! Feeds the view from the buckets of records, from heartbeats and from what replicas say. A watch that ends is started anew; it
//! then delivers every record again, so nothing is missed.

use std::time::Duration;

use framemill_queue::{Change, Queue, RecordError, Records};
use framemill_schemas::{
    subject::{
        CHANNELS_BUCKET, COMMITS_BUCKET, EDGE_LOADS_BUCKET, EDGES_BUCKET, PURGE_STATES_BUCKET, PURGES_BUCKET,
        TIMELINES_BUCKET,
    },
    wire::WireError,
};
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::{chain::chain, clock::now_ms, view::View};

/// Pause before a watch that ended is started anew.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Runs until `stop`.
pub async fn run(queue: &Queue, view: &View, stop: &CancellationToken) {
    tokio::join!(
        assets(queue, view, stop),
        jobs(queue, view, stop),
        workers(queue, view, stop),
        channels(queue, view, stop),
        timelines(queue, view, stop),
        commits(queue, view, stop),
        replicas(queue, view, stop),
        playlists(queue, view, stop),
        purges(queue, view, stop),
        purge_states(queue, view, stop),
        edges(queue, view, stop),
        edge_loads(queue, view, stop),
    );
}

async fn channels(queue: &Queue, view: &View, stop: &CancellationToken) {
    let records = queue.records(CHANNELS_BUCKET);
    while stop.run_until_cancelled(feed(&records, view, View::put_channel)).await.is_some() {
        pause(stop).await;
    }
}

async fn timelines(queue: &Queue, view: &View, stop: &CancellationToken) {
    let records = queue.records(TIMELINES_BUCKET);
    while stop.run_until_cancelled(feed(&records, view, View::put_timelines)).await.is_some() {
        pause(stop).await;
    }
}

async fn commits(queue: &Queue, view: &View, stop: &CancellationToken) {
    let records = queue.records(COMMITS_BUCKET);
    let put = |view: &View, change| view.put_commit(change, now_ms());
    while stop.run_until_cancelled(feed(&records, view, put)).await.is_some() {
        pause(stop).await;
    }
}

async fn purges(queue: &Queue, view: &View, stop: &CancellationToken) {
    let records = queue.records(PURGES_BUCKET);
    while stop.run_until_cancelled(feed(&records, view, View::put_purge)).await.is_some() {
        pause(stop).await;
    }
}

async fn purge_states(queue: &Queue, view: &View, stop: &CancellationToken) {
    let records = queue.records(PURGE_STATES_BUCKET);
    while stop.run_until_cancelled(feed(&records, view, View::put_purge_status)).await.is_some() {
        pause(stop).await;
    }
}

async fn edges(queue: &Queue, view: &View, stop: &CancellationToken) {
    let records = queue.records(EDGES_BUCKET);
    while stop.run_until_cancelled(feed(&records, view, View::put_edge)).await.is_some() {
        pause(stop).await;
    }
}

async fn edge_loads(queue: &Queue, view: &View, stop: &CancellationToken) {
    let records = queue.records(EDGE_LOADS_BUCKET);
    while stop.run_until_cancelled(feed(&records, view, View::put_edge_load)).await.is_some() {
        pause(stop).await;
    }
}

async fn replicas(queue: &Queue, view: &View, stop: &CancellationToken) {
    while stop.run_until_cancelled(statuses(queue, view)).await.is_some() {
        pause(stop).await;
    }
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

async fn playlists(queue: &Queue, view: &View, stop: &CancellationToken) {
    while stop.run_until_cancelled(playlist_statuses(queue, view)).await.is_some() {
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

async fn statuses(queue: &Queue, view: &View) {
    match queue.replicas().await {
        Ok(statuses) => {
            let mut statuses = std::pin::pin!(statuses);
            while let Some(status) = statuses.next().await {
                view.put_replica(status);
            }
        }
        Err(error) => tracing::warn!(error = %chain(&error), "replicas not heard"),
    }
}

async fn playlist_statuses(queue: &Queue, view: &View) {
    match queue.playlists().await {
        Ok(statuses) => {
            let mut statuses = std::pin::pin!(statuses);
            while let Some(status) = statuses.next().await {
                view.put_playlist(status);
            }
        }
        Err(error) => tracing::warn!(error = %chain(&error), "packagers not heard"),
    }
}
