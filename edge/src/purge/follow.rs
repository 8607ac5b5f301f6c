//! Applies the purges of the farm, and says how far this edge is.

use std::{sync::Arc, time::Duration};

use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    delivery::{EdgeRecord, Purge},
    subject::{EDGES_BUCKET, PURGES_BUCKET},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Table;
use crate::{
    clock::now_ms,
    follow::{Said, follow},
    metrics::Metrics,
};

/// Pause before NATS is asked again that did not answer.
const AGAIN: Duration = Duration::from_millis(200);
/// How often an edge looks whether its record is there: an operator may have removed it by mistake.
const LOOK: Duration = Duration::from_secs(30);

/// Applies every purge in order until it is stopped.
pub async fn apply(
    queue: Queue,
    table: Arc<Table>,
    metrics: Arc<Metrics>,
    heard: watch::Sender<Option<u64>>,
    stop: CancellationToken,
) {
    let hear = |said: Said<Purge>| match said {
        Said::Put { value, revision, new, .. } => {
            table.apply(&value, revision);
            if new {
                metrics.purged(now_ms().saturating_sub(value.requested_ms));
                tracing::info!(purge = %value.id, tags = value.tags.len(), refuse = value.refuse, "purged");
            }
        }
        Said::Deleted { .. } | Said::Current => {}
        Said::Unreadable(error) => {
            tracing::error!(%error, "a purge cannot be read: everything is taken for purged; bring the edge to the farm's version");
            table.distrust(now_ms());
        }
    };
    follow(&queue, PURGES_BUCKET, &heard, &stop, hear).await;
}

/// Writes how far this edge is, which acknowledges every purge up to there, until it is stopped; then removes its record,
/// since an edge that starts reads every purge before it serves.
pub async fn acknowledge(queue: Queue, table: Arc<Table>, own: EdgeRecord, stop: CancellationToken) {
    let records: Records<EdgeRecord> = queue.records(EDGES_BUCKET);
    let mut reached = table.reached();
    let mut seen = None;
    loop {
        let applied = *reached.borrow_and_update();
        let told = EdgeRecord { applied, applied_ms: now_ms(), ..own.clone() };
        match stop.run_until_cancelled(store(&records, &told, &mut seen)).await {
            None => break,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "how far this edge is could not be written");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        }
        let next = async {
            tokio::select! {
                changed = reached.changed() => changed.is_ok(),
                () = tokio::time::sleep(LOOK) => true,
            }
        };
        if stop.run_until_cancelled(next).await != Some(true) {
            break;
        }
    }
    if let Some(revision) = seen
        && let Err(error) = records.delete(own.edge.as_str(), revision).await
    {
        tracing::info!(%error, "the edge's record stays; framemill edge rm removes it");
    }
}

/// Stores an edge's own record where it differs from what is there. Somebody else's change since `seen` is another edge
/// of the same name, unless an operator removed the record.
async fn store(records: &Records<EdgeRecord>, own: &EdgeRecord, seen: &mut Option<u64>) -> Result<(), RecordError> {
    let key = own.edge.as_str();
    let found = records.get(key).await?;
    let written = match &found {
        Some((there, revision)) => {
            let is_ours = there.started_ms == own.started_ms;
            if seen.is_some() && !is_ours {
                tracing::error!(
                    edge = key,
                    "another edge has this name: purges are said to be complete when only one of the two has them; give \
                     each its own edge.name"
                );
            }
            if is_ours && there.applied == own.applied {
                *seen = Some(*revision);
                return Ok(());
            }
            records.update(key, own, *revision).await?
        }
        None => records.create(key, own).await?,
    };
    *seen = Some(written);
    Ok(())
}
