//! Follows the purges of the farm, and says how far this edge is.

use std::{sync::Arc, time::Duration};

use framemill_queue::{Change, Queue, RecordError, Records};
use framemill_schemas::{
    delivery::{EdgeRecord, Purge},
    subject::{EDGES_BUCKET, PURGES_BUCKET},
};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Table;
use crate::{clock::now_ms, fence::Fence, metrics::Metrics};

/// Pause before NATS is asked again that did not answer.
const AGAIN: Duration = Duration::from_millis(200);

/// What following purges needs.
#[derive(Clone)]
pub struct Following {
    /// The farm.
    pub queue: Queue,
    /// Where they are applied.
    pub table: Arc<Table>,
    /// Opened when what was missed is applied.
    pub fence: Arc<Fence>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What this edge says of itself, but for how far it is.
    pub own: EdgeRecord,
    /// When to stop.
    pub stop: CancellationToken,
}

impl Following {
    /// Follows until it is stopped.
    pub async fn run(self) {
        let reached = self.table.reached();
        tokio::join!(self.apply(), self.catch_up(reached.clone()), self.acknowledge(reached));
    }

    /// Applies every purge in order.
    async fn apply(&self) {
        let records: Records<Purge> = self.queue.records(PURGES_BUCKET);
        let mut purges = loop {
            let Some(opened) = self.stop.run_until_cancelled(records.watch(">")).await else { return };
            match opened {
                Ok(purges) => break purges,
                Err(error) => tracing::warn!(%error, "purges cannot be followed yet"),
            }
            tokio::time::sleep(AGAIN).await;
        };
        while let Some(Some(change)) = self.stop.run_until_cancelled(purges.next()).await {
            match change {
                Ok(Change::Put { value, revision, .. }) => {
                    self.table.apply(&value, revision);
                    self.metrics.purged(now_ms().saturating_sub(value.requested_ms));
                    tracing::info!(purge = %value.id, tags = value.tags.len(), refuse = value.refuse, "purged");
                }
                Ok(Change::Deleted { revision, .. }) => self.table.reach(revision),
                Ok(Change::Current) => {}
                Err(error) => {
                    tracing::error!(%error, "a purge cannot be read: everything is taken for purged");
                    match records.newest().await {
                        Ok(newest) => self.table.apply_unknown(newest),
                        Err(_) => self.table.apply_unknown(self.table.place().saturating_add(1)),
                    }
                }
            }
        }
    }

    /// Opens the fence for each connection once what was there when it was made is applied.
    async fn catch_up(&self, mut reached: watch::Receiver<u64>) {
        let records: Records<Purge> = self.queue.records(PURGES_BUCKET);
        loop {
            let Some(connection) = self.queue.connection() else {
                if self.stop.run_until_cancelled(self.queue.connection_changed()).await.is_none() {
                    return;
                }
                continue;
            };
            let caught_up = async {
                let newest = records.newest().await?;
                // The table lives as long as this loop.
                let _ = reached.wait_for(|place| *place >= newest).await;
                Ok::<_, RecordError>(())
            };
            let ended = tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.queue.connection_changed() => continue,
                ended = caught_up => ended,
            };
            match ended {
                Ok(()) => {
                    self.fence.open(connection);
                    if self.stop.run_until_cancelled(self.queue.connection_changed()).await.is_none() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "whether purges were missed is not known yet");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Writes how far this edge is: the acknowledgement of every purge up to there.
    async fn acknowledge(&self, mut reached: watch::Receiver<u64>) {
        let records: Records<EdgeRecord> = self.queue.records(EDGES_BUCKET);
        let mut written = None;
        loop {
            let applied = *reached.borrow_and_update();
            if written != Some(applied) {
                let own = EdgeRecord { applied, applied_ms: now_ms(), ..self.own.clone() };
                match self.stop.run_until_cancelled(store(&records, &own)).await {
                    None => return,
                    Some(Ok(())) => written = Some(applied),
                    Some(Err(error)) => {
                        tracing::warn!(%error, "how far this edge is could not be written");
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                }
            }
            match self.stop.run_until_cancelled(reached.changed()).await {
                Some(Ok(())) => {}
                _ => return,
            }
        }
    }
}

/// Stores an edge's own record over whatever is there: nobody else writes it, an operator may remove it.
async fn store(records: &Records<EdgeRecord>, own: &EdgeRecord) -> Result<(), RecordError> {
    let key = own.edge.as_str();
    match records.get(key).await? {
        Some((_, revision)) => records.update(key, own, revision).await.map(|_| ()),
        None => records.create(key, own).await.map(|_| ()),
    }
}
