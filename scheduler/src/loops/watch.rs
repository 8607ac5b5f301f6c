//! Feeds the view from both buckets and from heartbeats. A watch that ends is started anew; it
//! then delivers every record again, so nothing is missed.

use std::time::Duration;

use framemill_queue::{Queue, Records};
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::view::View;

/// Pause before a watch that ended is started anew.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Runs until `stop`.
pub async fn run(queue: &Queue, view: &View, stop: &CancellationToken) {
    tokio::join!(
        watch(queue.assets(), stop, |change| view.put_asset(change)),
        watch(queue.jobs(), stop, |change| view.put_job(change)),
        heartbeats(queue, view, stop),
    );
}

async fn watch<T>(records: &Records<T>, stop: &CancellationToken, put: impl Fn(framemill_queue::Change<T>))
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let feed = async || match records.watch(">").await {
        Ok(mut changes) => {
            while let Some(change) = changes.next().await {
                match change {
                    Ok(change) => put(change),
                    Err(error) => tracing::warn!(error = %chain(&error), "record skipped"),
                }
            }
        }
        Err(error) => tracing::warn!(error = %chain(&error), "watch not started"),
    };
    while stop.run_until_cancelled(feed()).await.is_some() {
        let _ = stop.run_until_cancelled(tokio::time::sleep(AGAIN_AFTER)).await;
    }
}

async fn heartbeats(queue: &Queue, view: &View, stop: &CancellationToken) {
    let feed = async || match queue.heartbeats().await {
        Ok(beats) => {
            let mut beats = std::pin::pin!(beats);
            while let Some(beat) = beats.next().await {
                view.put_heartbeat(&beat);
            }
        }
        Err(error) => tracing::warn!(error = %chain(&error), "heartbeats not heard"),
    };
    while stop.run_until_cancelled(feed()).await.is_some() {
        let _ = stop.run_until_cancelled(tokio::time::sleep(AGAIN_AFTER)).await;
    }
}

/// An error with its causes, for a log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
