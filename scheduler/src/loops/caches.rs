//! Purges one cache of somebody else: takes what is due, sends it in as few requests as it takes, and writes what was
//! answered. Beside the loop that follows edges, which never waits for this one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use framemill_queue::{Queue, RecordError};
use framemill_schemas::delivery::{Purge, PurgeId, PurgeState, PurgeStatus, Receipt};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::chain,
    clock::now_ms,
    purges::{Outcome, Sender, is_due, plan, settle, states},
    view::View,
};

const EVERY: Duration = Duration::from_millis(500);
/// Purges of one round.
const PURGES_AT_ONCE: usize = 64;
/// Requests to one cache under way at the same time.
const REQUESTS_AT_ONCE: usize = 4;
/// How often a status is written again that somebody else changed meanwhile.
const CAS_TRIES_MAX: u32 = 16;

/// Statuses that this loop has written: until the view has them, it shows what was before.
type Written = HashMap<PurgeId, u64>;

/// Runs until `stop`; the caller holds the lease of purges.
pub(crate) async fn run(queue: &Queue, view: &View, sender: &Sender, stop: &CancellationToken) {
    let mut timer = super::timer(EVERY);
    let mut news = view.purge_news();
    let mut written = Written::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
            heard = news.changed() => if heard.is_err() { return },
        }
        if view.purges_are_current() {
            let _ = stop.run_until_cancelled(tick(queue, view, sender, &mut written)).await;
        }
    }
}

/// One round over what is due.
async fn tick(queue: &Queue, view: &View, sender: &Sender, written: &mut Written) {
    let now_ms = now_ms();
    let mut due: Vec<(Arc<Purge>, bool)> = Vec::new();
    let open = view.open_purges();
    written.retain(|id, _| open.iter().any(|entry| entry.purge.id == *id));
    for entry in open {
        let Some((status, revision)) = &entry.status else { continue };
        let is_behind = written.get(&entry.purge.id).is_some_and(|written| revision < written);
        if !is_behind && is_due(status, sender.name(), now_ms) && due.len() < PURGES_AT_ONCE {
            due.push((entry.purge.clone(), status.state == PurgeState::Completed));
        }
    }
    if due.is_empty() {
        return;
    }
    let purges: Vec<Arc<Purge>> = due.iter().map(|(purge, _)| purge.clone()).collect();
    let mut round = plan(sender.cache(), &purges, now_ms);
    let numbered: Vec<_> = (1..).zip(std::mem::take(&mut round.batches)).collect();
    let sends = numbered.into_iter().map(|(number, batch)| async move {
        let receipt = sender.send(number, &batch).await;
        (batch.purges, receipt)
    });
    let answers: Vec<(Vec<PurgeId>, Receipt)> = stream::iter(sends).buffered(REQUESTS_AT_ONCE).collect().await;
    for (purge, after_edges) in due {
        let receipts = answers.iter().filter(|(of, _)| of.contains(&purge.id)).map(|(_, receipt)| receipt.clone());
        let unsupported = round.unsupported.remove(&purge.id).unwrap_or_default();
        let receipts = receipts.collect();
        match write(queue, &purge, sender.name(), Outcome { receipts, unsupported, after_edges }).await {
            Ok(Some(revision)) => drop(written.insert(purge.id, revision)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(purge = %purge.id, error = %chain(&error), "a cache is purged again later");
            }
        }
    }
}

/// Writes what a round came to; returns the status' revision then.
async fn write(queue: &Queue, purge: &Purge, name: &str, outcome: Outcome) -> Result<Option<u64>, RecordError> {
    let (records, key) = (states(queue), purge.id.to_string());
    let mut tries = 0;
    loop {
        let Some((status, revision)): Option<(PurgeStatus, u64)> = records.get(&key).await? else { return Ok(None) };
        let Some(settled) = settle(purge, &status, name, &outcome, now_ms()) else { return Ok(None) };
        match records.update(&key, &settled, revision).await {
            Ok(revision) => return Ok(Some(revision)),
            // An edge's acknowledgement, or an event that was ticked off.
            Err(RecordError::Fenced) if tries < CAS_TRIES_MAX => tries += 1,
            Err(error) => return Err(error),
        }
    }
}
