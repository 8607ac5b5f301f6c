//! One round to a cache of somebody else: which purges are due, what requests they make together, and what their
//! answers come to. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use framemill_schemas::delivery::{AdapterState, AdapterStatus, Purge, PurgeId, PurgeState, PurgeStatus, Receipt};

use super::{
    cache::{Batch, Cache},
    progress::event,
};

/// How long edges are waited for before caches in front of them are purged nevertheless. Such a cache may then ask an
/// edge that has not forgotten yet, so it is purged once more after the last edge.
const EARLY_AFTER_MS: i64 = 2000;
/// Receipts that are kept of one cache.
const RECEIPTS_MAX: usize = 32;

/// Whether a cache is to be purged now.
pub(crate) fn is_due(status: &PurgeStatus, name: &str, now_ms: i64) -> bool {
    let Some(adapter) = status.adapters.iter().find(|adapter| adapter.name == name) else { return false };
    let is_late = now_ms - status.requested_ms >= EARLY_AFTER_MS;
    adapter.state == AdapterState::Waiting && (status.state == PurgeState::Completed || (!adapter.early && is_late))
}

/// What one round sends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    /// Its requests.
    pub batches: Vec<Batch>,
    /// Tags that the cache cannot purge by.
    pub unsupported: HashMap<PurgeId, Vec<String>>,
}

/// Takes purges; returns the fewest requests that say them, within the bounds of the cache. Takedowns are apart from
/// others.
pub(crate) fn plan(cache: &dyn Cache, purges: &[Arc<Purge>], now_ms: i64) -> Round {
    let mut round = Round::default();
    for refuse in [true, false] {
        // Where each entry is said already.
        let mut said: HashMap<String, usize> = HashMap::new();
        let mut open: Option<usize> = None;
        for purge in purges.iter().filter(|purge| purge.refuse == refuse) {
            if !cache.merges() {
                (said, open) = (HashMap::new(), None);
            }
            for tag in &purge.tags {
                let Some(entries) = cache.entries(tag, &purge.tenant) else {
                    round.unsupported.entry(purge.id).or_default().push(tag.clone());
                    continue;
                };
                for entry in entries {
                    let at = match said.get(&entry) {
                        Some(at) => *at,
                        None => {
                            let at = open.filter(|at| has_room(cache, &round.batches[*at], &entry));
                            let at = at.unwrap_or_else(|| begin(&mut round.batches, refuse, now_ms));
                            open = Some(at);
                            round.batches[at].entries.push(entry.clone());
                            said.insert(entry, at);
                            at
                        }
                    };
                    let by = &mut round.batches[at].purges;
                    if !by.contains(&purge.id) {
                        by.push(purge.id);
                    }
                }
            }
        }
    }
    round
}

fn begin(batches: &mut Vec<Batch>, refuse: bool, now_ms: i64) -> usize {
    let name = format!("{now_ms}-{}", batches.len() + 1);
    batches.push(Batch { refuse, name, ..Batch::default() });
    batches.len() - 1
}

fn has_room(cache: &dyn Cache, batch: &Batch, entry: &str) -> bool {
    let chars: usize = batch.entries.iter().map(|entry| entry.len() + 1).sum();
    batch.entries.len() < cache.entries_max() && chars + entry.len() <= cache.chars_max()
}

/// What a round came to for one purge.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What was answered, of the requests that said it.
    pub receipts: Vec<Receipt>,
    /// Tags that the cache cannot purge by.
    pub unsupported: Vec<String>,
    /// Whether every edge had acknowledged it when the round began.
    pub after_edges: bool,
}

/// Takes the status of a purge and what a round of one cache came to; returns it with that.
/// Guards: a cache that is at its end stays there, so that `purge.failed` is decided once.
pub(crate) fn settle(
    purge: &Purge,
    status: &PurgeStatus,
    name: &str,
    outcome: &Outcome,
    now_ms: i64,
) -> Option<PurgeStatus> {
    let mut status = status.clone();
    let adapter = status.adapters.iter_mut().find(|adapter| adapter.name == name)?;
    if adapter.state != AdapterState::Waiting {
        return None;
    }
    let failed = outcome.receipts.iter().find(|receipt| !receipt.ok).map(|receipt| receipt.answer.clone());
    adapter.requests += u32::try_from(outcome.receipts.len()).unwrap_or(u32::MAX);
    adapter.unsupported.clone_from(&outcome.unsupported);
    keep(&mut adapter.receipts, &outcome.receipts);
    if !outcome.after_edges {
        adapter.early = true;
        return Some(status);
    }
    adapter.state = match (&failed, adapter.unsupported.is_empty()) {
        (Some(_), _) => AdapterState::Failed,
        (None, false) => AdapterState::Unsupported,
        (None, true) => AdapterState::Completed,
    };
    if let Some(answer) = failed {
        let event = event(purge, "failed", name, Some(format!("{name}: {answer}")), now_ms);
        status.unsent.push(event);
    }
    Some(status)
}

/// Takes a status; returns it with every cache that was given up waited for again.
pub(crate) fn again(status: &PurgeStatus) -> Option<PurgeStatus> {
    let mut status = status.clone();
    let failed: Vec<_> = status.adapters.iter_mut().filter(|adapter| adapter.state == AdapterState::Failed).collect();
    if failed.is_empty() {
        return None;
    }
    failed.into_iter().for_each(|adapter| adapter.state = AdapterState::Waiting);
    Some(status)
}

/// Takes a status; returns it with every cache given up that it waits for and that is not purged any more.
pub(crate) fn give_up(purge: &Purge, status: &PurgeStatus, known: &[String], now_ms: i64) -> Option<PurgeStatus> {
    let gone = |adapter: &&AdapterStatus| adapter.state == AdapterState::Waiting && !known.contains(&adapter.name);
    let names: HashSet<String> = status.adapters.iter().filter(gone).map(|adapter| adapter.name.clone()).collect();
    if names.is_empty() {
        return None;
    }
    let mut status = status.clone();
    for adapter in status.adapters.iter_mut().filter(|adapter| names.contains(&adapter.name)) {
        adapter.state = AdapterState::Failed;
        let reason = format!("{}: it is not configured any more", adapter.name);
        status.unsent.push(event(purge, "failed", &adapter.name, Some(reason), now_ms));
    }
    Some(status)
}

/// Adds receipts to those that are kept: those that failed first, then the last.
fn keep(kept: &mut Vec<Receipt>, new: &[Receipt]) {
    kept.extend_from_slice(new);
    while kept.len() > RECEIPTS_MAX {
        let at = kept.iter().position(|receipt| receipt.ok).unwrap_or(0);
        kept.remove(at);
    }
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
