//! The collector: removes the objects of doomed generations, and the records of removed assets.
//! It deletes only what a record says is doomed, a state nothing leaves, so a collector that was
//! paused in the middle deletes late, never wrongly. One scheduler at a time does this.

use std::time::Duration;

use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    asset::AssetState,
    object::{asset_folder, content_type},
    subject,
};
use framemill_storage::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::chain,
    clock::now_ms,
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
    #[error("cannot change the record")]
    Record(#[from] RecordError),
}

/// Runs until `stop`; the caller holds the lease that makes it the only one.
pub async fn run(queue: &Queue, store: &Store, view: &View, stop: &CancellationToken) {
    let mut timer = super::timer(EVERY);
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        for entry in view.assets() {
            if stop.is_cancelled() {
                return;
            }
            if let Err(error) = tick(queue, store, view, &entry).await {
                tracing::warn!(asset = %entry.record.id, error = %chain(&error), "asset is collected later");
            }
        }
    }
}

/// Collects what is doomed of one asset.
pub async fn tick(queue: &Queue, store: &Store, view: &View, entry: &AssetEntry) -> Result<(), CollectError> {
    let asset = &entry.record;
    let doomed = asset.doomed();
    if doomed.is_empty() && asset.state != AssetState::Doomed {
        return Ok(());
    }
    let through = *doomed.end();
    // Whoever runs, or ran until a moment ago and does not know yet that it was cancelled, may put.
    let settled = now_ms() - SETTLED_MS;
    let busy = view
        .jobs_of(asset.id)
        .iter()
        .any(|job| job.generation <= through && (!job.state.is_terminal() || job.ended_ms > settled));
    if busy {
        return Ok(());
    }
    let folder = asset_folder(&asset.tenant, asset.id);
    if asset.state == AssetState::Doomed {
        remove(store, &format!("{folder}/")).await?;
        for job in view.jobs_of(asset.id) {
            queue.jobs().delete(&subject::job_record(asset.id, job.id), job.revision).await?;
        }
        queue.assets().delete(&asset.id.to_string(), entry.revision).await?;
        return Ok(());
    }
    for number in doomed {
        remove(store, &format!("{folder}/g{number}-")).await?;
    }
    let mut record = asset.clone();
    record.collected = through;
    match queue.assets().update(&asset.id.to_string(), &record, entry.revision).await {
        Ok(_) | Err(RecordError::Fenced) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes everything below a prefix, manifests first: nobody is to find a manifest whose
/// segments are gone.
async fn remove(store: &Store, prefix: &str) -> Result<(), StoreError> {
    let mut keys: Vec<String> = store.list(prefix).await?.into_iter().map(|listed| listed.key).collect();
    keys.sort_by_key(|key| content_type(key).starts_with("video/"));
    store.delete(&keys).await
}
