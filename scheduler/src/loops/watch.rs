//! Feeds the view from both buckets and from heartbeats. A watch that ends is started anew; it
//! then delivers every record again, so nothing is missed.

use std::{future::Future, time::Duration};

use framemill_queue::{Change, Queue, Records};
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::view::View;

/// Pause before a watch that ended is started anew.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Runs until `stop`.
pub async fn run(queue: &Queue, view: &View, stop: &CancellationToken) {
    tokio::join!(
        again(stop, || feed(queue.assets(), |change| view.put_asset(change))),
        again(stop, || feed(queue.jobs(), |change| view.put_job(change))),
        again(stop, || heartbeats(queue, view)),
    );
}

async fn again<F: Future<Output = ()>>(stop: &CancellationToken, start: impl Fn() -> F) {
    while stop.run_until_cancelled(start()).await.is_some() {
        let _ = stop.run_until_cancelled(tokio::time::sleep(AGAIN_AFTER)).await;
    }
}

async fn feed<T>(records: &Records<T>, put: impl Fn(Change<T>))
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    match records.watch(">").await {
        Ok(changes) => {
            let mut changes = std::pin::pin!(changes);
            while let Some(change) = changes.next().await {
                match change {
                    Ok(change) => put(change),
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

/// An error with its causes, for a log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
