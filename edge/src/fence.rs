//! Whether this edge may serve: not before it knows what it could have missed of keys, revocations and purges.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use framemill_queue::{Extent, Queue, RecordError, Records};
use framemill_schemas::{
    delivery::{Purge, Revocation, TokenKey},
    subject::{PURGES_BUCKET, REVOCATIONS_BUCKET, TOKEN_KEYS_BUCKET},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::purge::Table;

/// Pause before NATS is asked again that did not answer.
const AGAIN: Duration = Duration::from_millis(200);

/// Stands between a connection to NATS and the viewers.
///
/// Without a connection the edge serves what it has, once it has begun: purges cannot reach it, and viewers should not
/// pay for that. With one it serves only when everything up to that connection is known.
#[derive(Clone)]
pub struct Fence {
    queue: Queue,
    /// The connection that was caught up with; 0: none yet.
    caught_up: Arc<AtomicU64>,
}

impl Fence {
    /// One that lets nothing through yet.
    pub fn new(queue: Queue) -> Self {
        Self { queue, caught_up: Arc::default() }
    }

    /// Whether viewers may be served.
    pub fn is_open(&self) -> bool {
        may_serve(self.caught_up.load(Ordering::Acquire), self.queue.connection())
    }

    /// Opens for each connection once what was there when it was made is known here; until it is stopped.
    pub(crate) async fn run(self, mut heard: Heard, table: Arc<Table>, stop: CancellationToken) {
        loop {
            if let Some(connection) = self.queue.connection() {
                let ended = tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.queue.connection_changed() => continue,
                    ended = self.catch_up(&mut heard, &table) => ended,
                };
                match ended {
                    Ok(true) => self.caught_up.store(connection, Ordering::Release),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%error, "whether anything was missed is not known yet");
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                }
            }
            if stop.run_until_cancelled(self.queue.connection_changed()).await.is_none() {
                return;
            }
        }
    }

    /// Waits until everything that was there is known; whether it can be.
    async fn catch_up(&self, heard: &mut Heard, table: &Table) -> Result<bool, RecordError> {
        let purges = self.extent::<Purge>(PURGES_BUCKET).await?;
        if purges.last < table.place() {
            tracing::error!(
                last = purges.last,
                place = table.place(),
                "NATS has an older state than this edge: it serves nothing until it is restarted, without its disk cache"
            );
            return Ok(false);
        }
        let keys = self.extent::<TokenKey>(TOKEN_KEYS_BUCKET).await?;
        let revocations = self.extent::<Revocation>(REVOCATIONS_BUCKET).await?;
        for (heard, extent) in
            [(&mut heard.purges, purges), (&mut heard.keys, keys), (&mut heard.revocations, revocations)]
        {
            // The other end lives as long as the edge.
            let _ = heard.wait_for(|heard| heard.is_some_and(|revision| revision >= extent.kept)).await;
        }
        // Nothing is left of what lies between.
        table.reach(purges.last);
        Ok(true)
    }

    async fn extent<T: Serialize + DeserializeOwned>(&self, bucket: &'static str) -> Result<Extent, RecordError> {
        let records: Records<T> = self.queue.records(bucket);
        records.extent().await
    }
}

/// How far each bucket has been heard; `None` before all that was there at the beginning has been.
pub(crate) struct Heard {
    pub purges: watch::Receiver<Option<u64>>,
    pub keys: watch::Receiver<Option<u64>>,
    pub revocations: watch::Receiver<Option<u64>>,
}

/// Takes the connection that was caught up with (0: none), and the one there is.
fn may_serve(caught_up: u64, connection: Option<u64>) -> bool {
    caught_up > 0 && connection.is_none_or(|connection| connection <= caught_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_serves_once_it_has_caught_up_and_while_it_is_cut_off() {
        for (caught_up, connection, serves) in [
            (0, None, false),
            (0, Some(1), false),
            (1, Some(1), true),
            (1, None, true),
            (1, Some(2), false),
            (2, Some(2), true),
        ] {
            assert_eq!(may_serve(caught_up, connection), serves, "{caught_up} {connection:?}");
        }
    }
}
