//! Sends the events that records hold. An event is decided in the same compare-and-set as the
//! change it tells of, so it cannot be lost between the two; it is sent at least once.

use std::{collections::BTreeSet, time::Duration};

use framemill_queue::Outbox;
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::chain,
    view::{Unsent, View},
};

const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Records whose events are under way at the same time: each waits for the server's disk.
const RECORDS_AT_ONCE: usize = 16;

/// Runs until `stop`.
pub async fn run(outbox: &Outbox, view: &View, stop: &CancellationToken) {
    while let Some(records) = stop.run_until_cancelled(view.take_unsent()).await {
        if !tick(outbox, view, records).await {
            let _ = stop.run_until_cancelled(tokio::time::sleep(AGAIN_AFTER)).await;
        }
    }
}

/// Sends the events of `records`; false where some have to be sent again later.
pub async fn tick(outbox: &Outbox, view: &View, records: BTreeSet<Unsent>) -> bool {
    let sends = stream::iter(records).map(|record| async move {
        let sent = match &record {
            Unsent::Asset(id) => outbox.send_asset(*id).await,
            Unsent::Job(key) => outbox.send_job(key).await,
            Unsent::Channel(key) => outbox.send_channel(key).await,
            Unsent::Purge(key) => outbox.send_purge(key).await,
        };
        match sent {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "events are sent again later");
                view.mark_unsent(record);
                false
            }
        }
    });
    // All of them, whatever became of the first.
    sends.buffer_unordered(RECORDS_AT_ONCE).fold(true, |all, sent| std::future::ready(all && sent)).await
}
