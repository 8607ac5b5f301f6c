//! The driver: looks at every asset that changed, decides what it needs, and does it. All assets
//! are looked at again from time to time, so an action that failed is simply taken later.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use framemill_schemas::ids::AssetId;
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{act::Actor, advance::advance, chain::chain};

/// Assets driven at the same time; publishing one lists its objects.
const ASSETS_AT_ONCE: usize = 8;
/// How often every asset is looked at whether it changed or not.
const ALL_EVERY: Duration = Duration::from_secs(30);

/// Runs until `stop`.
pub async fn run(actor: &Arc<Actor>, stop: &CancellationToken) {
    let mut timer = super::timer(ALL_EVERY);
    let all = async {
        while stop.run_until_cancelled(timer.tick()).await.is_some() {
            actor.view.mark_all_dirty();
        }
    };
    tokio::join!(all, stop.run_until_cancelled(drive(actor)));
}

async fn drive(actor: &Arc<Actor>) {
    let mut waiting = BTreeSet::new();
    let mut running: HashMap<task::Id, AssetId> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        // An asset is driven by one task at a time; one that changes meanwhile is driven again.
        // The newest first: after a start every old title waits to be looked at once.
        let idle = waiting.iter().rev().filter(|id| !running.values().any(|held| held == *id)).copied();
        let idle: Vec<AssetId> = idle.take(ASSETS_AT_ONCE - running.len()).collect();
        for id in idle {
            waiting.remove(&id);
            let actor = actor.clone();
            let handle = tasks.spawn(async move { tick(&actor, id).await });
            running.insert(handle.id(), id);
        }
        tokio::select! {
            dirty = actor.view.take_dirty() => waiting.extend(dirty),
            Some(ended) = tasks.join_next_with_id() => {
                let id = ended.map_or_else(
                    |error| {
                        tracing::error!(%error, "driver task ended in a panic");
                        error.id()
                    },
                    |(id, ())| id,
                );
                running.remove(&id);
            }
        }
    }
}

/// One look at one asset.
pub async fn tick(actor: &Actor, id: AssetId) {
    let Some(entry) = actor.view.asset(id) else { return };
    let jobs = actor.view.jobs_of(id);
    let actions = advance(&entry.record, &jobs);
    let waits = actions.is_empty();
    let mut done = actor.carry_out(&entry, actions).await;
    if waits && done.is_ok() {
        done = actor.leave_gpus(&entry, &jobs).await;
    }
    if done.is_ok() {
        done = actor.take_down(&entry.record).await;
    }
    if let Err(error) = done {
        tracing::warn!(asset = %id, error = %chain(&error), "asset is driven again later");
    }
}
