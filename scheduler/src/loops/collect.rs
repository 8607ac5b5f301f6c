//! The collector: removes the objects of doomed generations, the records of removed assets, and
//! from time to time whatever else has outlived its use. What may go is decided by `retention` and
//! guarded by `shred`. One scheduler at a time does this; nothing that is doomed is ever wanted
//! again, so a collector that was paused in the middle deletes late, never wrongly.

use std::time::{Duration, Instant};

use framemill_queue::{Queue, RecordError};
use framemill_schemas::{asset::AssetState, object::asset_folder, object::place, subject};
use framemill_storage::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::chain,
    clock::now_ms,
    gc, purges,
    retention::Retention,
    shred::shred,
    view::{AssetEntry, View},
};

const EVERY: Duration = Duration::from_secs(10);
/// How long after its last job's end a generation is left alone: longer than a holder that was cut
/// off takes to stop.
const SETTLED_MS: i64 = 60_000;

/// Why an asset is collected later.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The store.
    #[error("cannot list or delete objects")]
    Store(#[from] StoreError),
    /// The records.
    #[error("cannot read or change the record")]
    Record(#[from] RecordError),
    /// The decision was wrong; nothing was deleted.
    #[error("{key} is in use and was not deleted; please report this with the log")]
    Protected {
        /// The object.
        key: String,
    },
}

/// What the collector works with.
#[derive(Clone)]
pub struct Collector {
    /// Records.
    pub queue: Queue,
    /// Objects.
    pub store: Store,
    /// What the records say.
    pub view: View,
    /// How long things are kept.
    pub retention: Retention,
}

/// Runs until `stop`; the caller holds the lease that makes it the only one.
pub async fn run(collector: &Collector, stop: &CancellationToken) {
    let mut timer = super::timer(EVERY);
    // The first look at everything waits, so that a scheduler that restarts again and again is not
    // one that does nothing else.
    let mut looked = Instant::now();
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        for entry in collector.view.assets() {
            if stop.is_cancelled() {
                return;
            }
            if let Err(error) = tick(collector, &entry).await {
                tracing::warn!(asset = %entry.record.id, error = %chain(&error), "asset is collected later");
            }
        }
        if looked.elapsed().as_secs() >= collector.retention.every_s {
            looked = Instant::now();
            match stop.run_until_cancelled(gc::pass(collector, gc::Pass::Collect)).await {
                Some(Ok(garbage)) => tracing::info!(
                    objects = garbage.objects_total,
                    bytes = garbage.bytes_total,
                    records = garbage.records_total,
                    "garbage was collected"
                ),
                Some(Err(error)) => tracing::warn!(error = %chain(&error), "garbage is collected later"),
                None => return,
            }
        }
    }
}

/// Collects what is doomed of one asset.
pub async fn tick(collector: &Collector, entry: &AssetEntry) -> Result<(), CollectError> {
    let Collector { queue, store, view, retention } = collector;
    let asset = &entry.record;
    let doomed = asset.doomed();
    let now_ms = now_ms();
    if asset.state != AssetState::Doomed && (doomed.is_empty() || retention.is_watched(asset, now_ms)) {
        return Ok(());
    }
    let through = *doomed.end();
    if !is_settled(view, entry, now_ms) {
        return Ok(());
    }
    if let Some(takedown) = purges::of_asset(asset, now_ms).filter(|_| asset.state == AssetState::Doomed) {
        // The driver asks for it as well, and sooner; once the record is gone nobody would.
        purges::ensure(queue, view, &takedown).await?;
    }
    let folder = asset_folder(&asset.tenant, asset.id);
    let listed = store.list(&format!("{folder}/")).await?;
    let listed: Vec<_> = listed.into_iter().filter_map(|object| Some((place(&object.key)?, object))).collect();
    let wanted_no_more = retention.objects(Some(asset), &listed, true, now_ms);
    if asset.state == AssetState::Published {
        let named = wanted_no_more.iter().filter_map(|object| place(&object.key)?.generation);
        let generations = named.map(|generation| (generation.number, generation.random)).collect();
        for purge in purges::of_collected(asset, &generations, now_ms) {
            purges::ensure(queue, view, &purge).await?;
        }
    }
    shred(queue, store, &wanted_no_more).await?;
    if asset.state == AssetState::Doomed {
        for (key, _, revision) in queue.jobs().list(&subject::job_records_of(asset.id)).await? {
            done_or_later(queue.jobs().delete(&key, revision).await)?;
        }
        return done_or_later(queue.assets().delete(&asset.id.to_string(), entry.revision).await);
    }
    let mut record = asset.clone();
    record.collected = through;
    done_or_later(queue.assets().update(&asset.id.to_string(), &record, entry.revision).await)
}

/// A record that changed meanwhile is looked at again when the view has it.
fn done_or_later<T>(outcome: Result<T, RecordError>) -> Result<(), CollectError> {
    match outcome {
        Ok(_) | Err(RecordError::Fenced) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether nobody can be putting objects of an asset's doomed generations any more: whoever runs,
/// or ran until a moment ago and does not know yet that it was cancelled, may.
pub(crate) fn is_settled(view: &View, entry: &AssetEntry, now_ms: i64) -> bool {
    let through = *entry.record.doomed().end();
    let settled = now_ms - SETTLED_MS;
    let busy = |generation: u32| generation <= through || entry.record.state == AssetState::Doomed;
    let jobs = view.jobs_of(entry.record.id);
    !jobs.iter().any(|job| busy(job.generation) && (!job.state.is_terminal() || job.ended_ms > settled))
}
