//! Following a bucket: what there is, then every change, and how far that is.

use std::time::Duration;

use framemill_queue::{Change, Queue, RecordError};
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Pause before NATS is asked again that did not answer.
const AGAIN: Duration = Duration::from_millis(200);

/// What is heard of a bucket.
pub enum Said<T> {
    /// A record is there, or was changed.
    Put {
        /// Its key.
        key: String,
        /// Its value.
        value: Box<T>,
        /// Its revision.
        revision: u64,
        /// Whether it came after all that was there at the beginning.
        new: bool,
    },
    /// A record was removed.
    Deleted {
        /// Its key.
        key: String,
    },
    /// All that was there at the beginning has been said.
    Current,
    /// Something that this version cannot read.
    Unreadable(RecordError),
}

/// Follows a bucket until it is stopped; tells in `heard` up to which revision everything has been said.
pub async fn follow<T: Serialize + DeserializeOwned + Send + 'static>(
    queue: &Queue,
    bucket: &'static str,
    heard: &watch::Sender<Option<u64>>,
    stop: &CancellationToken,
    mut hear: impl FnMut(Said<T>),
) {
    let records = queue.records::<T>(bucket);
    let opened = async {
        loop {
            // The extent first: what is between the two comes with the watch.
            let found = async { Ok::<_, RecordError>((records.extent().await?, records.watch(">").await?)) };
            match found.await {
                Ok(opened) => return opened,
                Err(error) => tracing::warn!(%error, bucket, "a bucket cannot be followed yet"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    let Some((extent, mut changes)) = stop.run_until_cancelled(opened).await else { return };
    let mut new = false;
    let mut reached = 0;
    while let Some(Some(change)) = stop.run_until_cancelled(changes.next()).await {
        match change {
            Ok(Change::Put { key, value, revision }) => {
                reached = revision.max(reached);
                hear(Said::Put { key, value, revision, new });
            }
            Ok(Change::Deleted { key, revision }) => {
                reached = revision.max(reached);
                hear(Said::Deleted { key });
            }
            Ok(Change::Current) => {
                new = true;
                reached = extent.last.max(reached);
                hear(Said::Current);
            }
            Err(error) => hear(Said::Unreadable(error)),
        }
        if new {
            heard.send_replace(Some(reached));
        }
    }
}
