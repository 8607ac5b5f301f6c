//! Follows purges to their end: writes how far each is, as edges acknowledge it, with the events that say so. One
//! scheduler at a time does this; a look repeated, or taken over by another, decides the same.
//!
//! Never here: what an edge does with a purge, and what asks for one.

use std::time::Duration;

use framemill_queue::{Queue, RecordError};
use framemill_schemas::delivery::PurgeStatus;
use futures_util::{StreamExt, future::join_all, stream};
use opentelemetry::metrics::Histogram;
use tokio_util::sync::CancellationToken;

use super::caches;
use crate::{
    chain::chain,
    clock::now_ms,
    metrics,
    purges::{Caches, Facts, give_up, next, states},
    view::{PurgeEntry, View},
};

/// How often it is written who is waited for, whatever happens.
const EVERY: Duration = Duration::from_millis(500);
/// Statuses that are written side by side.
const WRITES_AT_ONCE: usize = 32;

/// Runs until `stop`; the caller holds the lease that makes it the only one.
pub async fn run(queue: &Queue, view: &View, purged: &Caches, stop: &CancellationToken) {
    let others = join_all(purged.senders().iter().map(|sender| caches::run(queue, view, sender, stop)));
    tokio::join!(follow(queue, view, purged.names(), stop), others);
}

async fn follow(queue: &Queue, view: &View, adapters: &[String], stop: &CancellationToken) {
    let mut timer = super::timer(EVERY);
    let mut news = view.purge_news();
    let seconds = metrics::purge_seconds();
    loop {
        let refresh = tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => true,
            heard = news.changed() => match heard {
                Ok(()) => false,
                // The view lives as long as this loop.
                Err(_) => return,
            },
        };
        if view.purges_are_current() {
            let _ = stop.run_until_cancelled(tick(queue, view, adapters, refresh, &seconds)).await;
        }
    }
}

/// One look at every purge that is not at its end. `refresh`: whether it is written who is waited for though nothing
/// else changes.
async fn tick(queue: &Queue, view: &View, adapters: &[String], refresh: bool, seconds: &Histogram<f64>) {
    let (open, edges) = (view.open_purges(), view.edges());
    let facts = Facts { edges: &edges, adapters, now_ms: now_ms(), refresh };
    let decide = |entry: PurgeEntry| {
        let before = entry.status.as_ref().map(|(status, _)| status);
        let gone = || give_up(&entry.purge, before?, adapters, facts.now_ms);
        let status = next(&entry, &facts).or_else(gone)?;
        Some((entry, status))
    };
    let decided: Vec<(PurgeEntry, PurgeStatus)> = open.into_iter().filter_map(decide).collect();
    let writes = decided.into_iter().map(|(entry, status)| async move {
        let written = write(queue, &entry, &status).await;
        if written.is_ok()
            && entry.status.as_ref().is_none_or(|(before, _)| before.completed_ms.is_none())
            && let Some(completed_ms) = status.completed_ms
        {
            seconds.record((completed_ms - status.requested_ms).max(0) as f64 / 1000.0, &[]);
        }
        note(&entry, written);
    });
    stream::iter(writes).buffer_unordered(WRITES_AT_ONCE).collect::<()>().await;
}

async fn write(queue: &Queue, entry: &PurgeEntry, status: &PurgeStatus) -> Result<u64, RecordError> {
    let (records, key) = (states(queue), entry.purge.id.to_string());
    match &entry.status {
        None => records.create(&key, status).await,
        Some((_, revision)) => records.update(&key, status, *revision).await,
    }
}

/// What became of a write. A status that changed meanwhile, perhaps by its events being ticked off, is news, and is
/// looked at again.
fn note(entry: &PurgeEntry, written: Result<u64, RecordError>) {
    match written {
        Ok(_) | Err(RecordError::Fenced | RecordError::Exists) => {}
        Err(error) => {
            tracing::warn!(purge = %entry.purge.id, error = %chain(&error), "a purge is looked at again later");
        }
    }
}
