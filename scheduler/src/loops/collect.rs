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

use super::watch::chain;
use crate::{
    clock::now_ms,
    view::{AssetEntry, View},
};

const EVERY: Duration = Duration::from_secs(10);
/// How long after its last job's end a generation is left alone: longer than a holder that was cut
/// off takes to stop.
const SETTLED_MS: i64 = 60_000;

/// What a pass removed, or would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Keys of objects.
    pub objects: Vec<String>,
    /// Removed assets.
    pub assets: u64,
}

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
pub async fn tick(queue: &Queue, store: &Store, view: &View, entry: &AssetEntry) -> Result<Collected, CollectError> {
    let asset = &entry.record;
    let doomed = asset.doomed();
    let through = *doomed.end();
    // Whoever runs, or ran until a moment ago and does not know yet that it was cancelled, may put.
    let settled = now_ms() - SETTLED_MS;
    let busy = view
        .jobs_of(asset.id)
        .iter()
        .any(|job| job.generation <= through && (!job.state.is_terminal() || job.ended_ms > settled));
    if doomed.is_empty() && asset.state != AssetState::Doomed || busy {
        return Ok(Collected::default());
    }
    let folder = asset_folder(&asset.tenant, asset.id);
    let mut collected = Collected::default();
    if asset.state == AssetState::Doomed {
        collected.objects = remove(store, &format!("{folder}/")).await?;
        for job in view.jobs_of(asset.id) {
            queue.jobs().delete(&subject::job_record(asset.id, job.id), job.revision).await?;
        }
        queue.assets().delete(&asset.id.to_string(), entry.revision).await?;
        collected.assets = 1;
        return Ok(collected);
    }
    for number in doomed {
        collected.objects.extend(remove(store, &format!("{folder}/g{number}-")).await?);
    }
    let mut record = asset.clone();
    record.collected = through;
    match queue.assets().update(&asset.id.to_string(), &record, entry.revision).await {
        Ok(_) | Err(RecordError::Fenced) => Ok(collected),
        Err(error) => Err(error.into()),
    }
}

/// Removes everything below a prefix, manifests first: nobody is to find a manifest whose
/// segments are gone.
async fn remove(store: &Store, prefix: &str) -> Result<Vec<String>, StoreError> {
    let mut keys: Vec<String> = store.list(prefix).await?.into_iter().map(|listed| listed.key).collect();
    keys.sort_by_key(|key| content_type(key).starts_with("video/"));
    store.delete(&keys).await?;
    Ok(keys)
}
