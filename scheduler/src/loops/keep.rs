//! Keeps what is published as its record says: its jobs folded into an index soon after it is
//! published, its entry manifests looked at from time to time. The driver looks at them at once
//! when the record changes. One scheduler at a time does this.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use framemill_schemas::{asset::AssetState, ids::AssetId};
use tokio_util::sync::CancellationToken;

use crate::{act::Actor, chain::chain, fold::fold, view::AssetEntry};

const EVERY: Duration = Duration::from_secs(2);
/// How often the entry manifests of every published asset are looked at.
const ENTRIES_EVERY: Duration = Duration::from_secs(600);

/// Runs until `stop`; the caller holds the lease that makes it the only one.
pub async fn run(actor: &Actor, stop: &CancellationToken) {
    let mut timer = super::timer(EVERY);
    let mut hopeless = HashMap::new();
    let mut looked: Option<Instant> = None;
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        let _ = stop.run_until_cancelled(fold_all(actor, &mut hopeless)).await;
        // A new holder of the lease begins by looking.
        if looked.is_none_or(|looked| looked.elapsed() >= ENTRIES_EVERY) {
            looked = Some(Instant::now());
            let _ = stop.run_until_cancelled(look_at_all(actor)).await;
        }
    }
}

/// Folds every published asset that is not folded. `hopeless`: revisions at which one could not be.
pub async fn fold_all(actor: &Actor, hopeless: &mut HashMap<AssetId, u64>) {
    hopeless.retain(|id, revision| actor.view.asset(*id).is_some_and(|entry| entry.revision == *revision));
    for entry in actor.view.assets() {
        if !is_unfolded(&entry) || hopeless.contains_key(&entry.record.id) {
            continue;
        }
        match fold(&actor.queue, &actor.store, &entry).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                // Its jobs do not say enough, or its record changed, which the view brings.
                hopeless.insert(entry.record.id, entry.revision);
            }
            Err(error) => tracing::warn!(asset = %entry.record.id, error = %chain(&error), "asset is folded later"),
        }
    }
}

fn is_unfolded(entry: &AssetEntry) -> bool {
    let asset = &entry.record;
    let published = asset.published.as_ref().filter(|_| asset.state == AssetState::Published);
    published.is_some_and(|published| published.index.is_none())
}

/// Looks at the entry manifests of every published asset.
pub async fn look_at_all(actor: &Actor) {
    actor.forget_entries();
    for entry in actor.view.assets() {
        if let Err(error) = actor.look_at_entries(&entry.record).await {
            tracing::warn!(asset = %entry.record.id, error = %chain(&error), "entry manifests are looked at later");
        }
    }
}
