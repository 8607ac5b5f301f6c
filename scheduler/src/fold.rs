//! Folding: what the jobs of a published generation made, written into one object beside it and a
//! few lines of its asset's record. After that the records of the jobs can go.

use std::{collections::HashMap, fmt::Write, sync::Arc};

use bytes::Bytes;
use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    asset::{AssetRecord, AssetState, Published},
    ids::JobId,
    index::{GenerationIndex, INDEX_VERSION, InitCopy, RenditionPart, UnitIndex},
    job::JobRecord,
    key::{digest, job_key},
    object::{CACHE_IMMUTABLE, INDEX, StoredObject, content_type, generation_folder},
    probe::Probe,
    spec::{JobOutput, JobSpec, PackageOutput, PackageSpec},
    subject,
};
use framemill_storage::{Meta, Put, Store, StoreError};

use crate::{
    advance::PROBE,
    api::shown,
    plan::plan,
    view::{AssetEntry, JobSummary},
};

/// Why an asset is folded later.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The store.
    #[error("cannot read or write an object")]
    Store(#[from] StoreError),
    /// The records.
    #[error("cannot read or write a record")]
    Record(#[from] RecordError),
}

/// Folds a published asset that is not folded yet; its record as it is then, or `None` where its
/// jobs do not say enough, or somebody else changed it.
pub async fn fold(queue: &Queue, store: &Store, entry: &AssetEntry) -> Result<Option<AssetEntry>, FoldError> {
    let asset = &entry.record;
    let Some(published) = asset.published.as_ref().filter(|_| asset.state == AssetState::Published) else {
        return Ok(None);
    };
    let records = queue.jobs().list(&subject::job_records_of(asset.id)).await?;
    let of_generation = records.into_iter().filter(|(_, job, _)| job.generation == published.generation.number);
    let (jobs, summaries): (HashMap<JobId, JobRecord>, Vec<Arc<JobSummary>>) = of_generation
        .map(|(_, job, revision)| ((job.id, job.clone()), Arc::new(JobSummary::of(revision, job))))
        .unzip();
    let Some(mut index) = index_of(asset, published, &jobs) else { return Ok(None) };
    index.inits = inits(store, &index.units).await?;
    let folder = generation_folder(&asset.tenant, asset.id, &published.generation);
    let Some(object) = put(store, asset, &format!("{folder}/{INDEX}"), &index).await? else { return Ok(None) };
    let folded = AssetRecord {
        published: Some(Published { index: Some(object), ..published.clone() }),
        shown: shown(asset, &summaries).map(Box::new),
        ..asset.clone()
    };
    match queue.assets().update(&asset.id.to_string(), &folded, entry.revision).await {
        Ok(revision) => Ok(Some(AssetEntry { record: folded, revision })),
        Err(RecordError::Fenced) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads an index; `None` where it is not there any more as it was put.
pub async fn read(store: &Store, object: &StoredObject) -> Result<Option<GenerationIndex>, StoreError> {
    let found = store.get(&object.key).await?.filter(|found| found.stored.digest == object.digest);
    Ok(found.and_then(|found| serde_json::from_slice(&found.body).ok()))
}

/// The index of a generation, without its inits. Pure.
fn index_of(asset: &AssetRecord, published: &Published, jobs: &HashMap<JobId, JobRecord>) -> Option<GenerationIndex> {
    let (package, manifests) = package_of(jobs)?;
    let probe = probe_of(jobs)?;
    let made = AssetRecord { generation: published.generation.clone(), ..asset.clone() };
    let plan = plan(&made, probe).ok()?;
    let mut units = Vec::new();
    for id in parts_of(package) {
        let job = jobs.get(&id)?;
        let Some(JobOutput::Parts(parts)) = &job.output else { return None };
        if units.iter().any(|unit: &UnitIndex| unit.job == id) {
            continue;
        }
        let spec = &plan.parts.get(&job.unit)?.spec;
        units.push(UnitIndex { unit: job.unit.clone(), job: id, key: job_key(spec, 0), parts: parts.clone() });
    }
    units.sort_by(|a, b| a.unit.cmp(&b.unit));
    Some(GenerationIndex {
        v: INDEX_VERSION,
        generation: published.generation.clone(),
        probe: probe.clone(),
        package: package.clone(),
        manifests: manifests.clone(),
        units,
        inits: Vec::new(),
    })
}

/// The jobs whose segments a package names.
fn parts_of(package: &PackageSpec) -> impl Iterator<Item = JobId> {
    let pictures = package.video.iter().flat_map(|rendition| rendition.parts.iter().copied());
    pictures.chain(package.audio.iter().map(|rendition| rendition.part))
}

fn package_of(jobs: &HashMap<JobId, JobRecord>) -> Option<(&PackageSpec, &PackageOutput)> {
    jobs.values().find_map(|job| match (&job.spec, &job.output) {
        (JobSpec::Package(spec), Some(JobOutput::Package(package))) => Some((spec, package)),
        _ => None,
    })
}

fn probe_of(jobs: &HashMap<JobId, JobRecord>) -> Option<&Probe> {
    jobs.values().filter(|job| job.unit == PROBE).find_map(|job| match &job.output {
        Some(JobOutput::Probe(probe)) => Some(probe),
        _ => None,
    })
}

/// The bytes of every init that is still what it was.
async fn inits(store: &Store, units: &[UnitIndex]) -> Result<Vec<InitCopy>, StoreError> {
    let mut inits: Vec<InitCopy> = Vec::new();
    let parts = units.iter().flat_map(|unit| &unit.parts);
    for RenditionPart { init, .. } in parts {
        if inits.iter().any(|kept| kept.object.key == init.key) {
            continue;
        }
        let Some(found) = store.get(&init.key).await?.filter(|found| found.stored.digest == init.digest) else {
            continue;
        };
        let mut hex = String::with_capacity(found.body.len() * 2);
        for byte in &found.body {
            write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        }
        inits.push(InitCopy { object: init.clone(), hex });
    }
    Ok(inits)
}

/// Puts an index once. Two schedulers fold the same records to the same index; one that says
/// otherwise was spoilt, and is replaced.
async fn put(
    store: &Store,
    asset: &AssetRecord,
    key: &str,
    index: &GenerationIndex,
) -> Result<Option<StoredObject>, FoldError> {
    let body = Bytes::from(serde_json::to_vec(index).expect("an index has only names for keys"));
    let own = digest(&body);
    let meta = Meta {
        content_type: content_type(key).to_owned(),
        cache_control: CACHE_IMMUTABLE.to_owned(),
        tags: vec![format!("tenant:{}", asset.tenant), format!("asset:{}", asset.id)],
        ..Meta::default()
    };
    match store.put_new(key, body.clone(), &meta).await? {
        Put::Created(stored) => Ok(Some(stored)),
        Put::Exists { .. } => match store.get(key).await? {
            Some(found) if found.stored.digest == own => Ok(Some(found.stored)),
            Some(found) => Ok(store.put_match(key, body, &meta, &found.stored.etag).await?),
            None => Ok(None),
        },
    }
}
