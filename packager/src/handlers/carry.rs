//! Carry: undamaged segments of a published generation, copied into the one that repairs it.
//! Every object is compared with its digest on the way, and put once like any other.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use framemill_queue::runner::Attempt;
use framemill_schemas::{
    failure::{Class, Failure},
    finding::Finding,
    index::{GenerationIndex, RenditionPart, SegmentIndex},
    object::{StoredObject, init_key, segment_key},
    spec::{CarrySpec, JobSpec},
};
use framemill_storage::Store;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    handlers::{COPIES_AT_ONCE, Handlers, until_cancelled},
    objects::{SameRound, fetch, put},
};

/// What a carry job finds damaged fails it with this code, and the unit is encoded again.
const DAMAGED: &str = "carry-damaged";

/// The index that was read last: every carry job of a repair reads the same one.
#[derive(Default)]
pub(crate) struct LastIndex(Mutex<Option<(StoredObject, Arc<GenerationIndex>)>>);

impl LastIndex {
    async fn read(&self, store: &Store, object: &StoredObject) -> Result<Arc<GenerationIndex>, Failure> {
        if let Some((_, index)) = self.lock().as_ref().filter(|(held, _)| held == object) {
            return Ok(index.clone());
        }
        let bytes = fetch(store, object).await?.map_err(damaged)?;
        let index = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(Class::Bug, "index-unreadable", format!("{}: {error}", object.key)))?;
        let index: Arc<GenerationIndex> = Arc::new(index);
        *self.lock() = Some((object.clone(), index.clone()));
        Ok(index)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(StoredObject, Arc<GenerationIndex>)>> {
        // A plain value: a panic elsewhere cannot have left it half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handlers {
    pub(super) async fn carry(&self, spec: &CarrySpec, attempt: &Attempt) -> Result<Vec<RenditionPart>, Failure> {
        until_cancelled(&attempt.cancel, async {
            let index = self.last_index.read(&self.store, &spec.index).await?;
            let unit = index.units.iter().find(|unit| unit.unit == spec.unit);
            let missing = || Failure::new(Class::Bug, DAMAGED, format!("{} has no unit {}", spec.index.key, spec.unit));
            let parts = &unit.ok_or_else(missing)?.parts;
            let total: usize = parts.iter().map(|part| part.segments.len() + 1).sum();
            let mut carried = Vec::with_capacity(parts.len());
            let mut done = 0;
            for part in parts {
                carried.push(self.carry_part(spec, &index, part, attempt).await?);
                done += part.segments.len() + 1;
                attempt.progress.send_replace((done as u64, total as u64));
            }
            Ok(carried)
        })
        .await
    }

    async fn carry_part(
        &self,
        spec: &CarrySpec,
        index: &GenerationIndex,
        part: &RenditionPart,
        attempt: &Attempt,
    ) -> Result<RenditionPart, Failure> {
        let folder = folder_of(&spec.of)?;
        let to = init_key(folder, &part.rendition);
        let init = match kept_init(index, &part.init) {
            Some(bytes) => put(&self.store, &attempt.job, &to, bytes, SameRound::IsTheSame).await?,
            None => self.copy(&part.init, to, attempt).await?,
        };
        let mut copies = Vec::with_capacity(part.segments.len());
        for segment in &part.segments {
            let to = segment_key(folder, &part.rendition, segment.number);
            copies.push(async move {
                let object = self.copy(&segment.object, to, attempt).await?;
                Ok::<_, Failure>(SegmentIndex { object, ..segment.clone() })
            });
        }
        let segments = stream::iter(copies).buffered(COPIES_AT_ONCE).try_collect().await?;
        Ok(RenditionPart { rendition: part.rendition.clone(), init, segments })
    }

    async fn copy(&self, from: &StoredObject, to: String, attempt: &Attempt) -> Result<StoredObject, Failure> {
        let bytes = fetch(&self.store, from).await?.map_err(damaged)?;
        put(&self.store, &attempt.job, &to, bytes, SameRound::IsTheSame).await
    }
}

/// The bytes of an init as the index keeps them, where they are what they should be.
fn kept_init(index: &GenerationIndex, object: &StoredObject) -> Option<Bytes> {
    let kept = index.inits.iter().find(|kept| kept.object.key == object.key)?;
    let digits = kept.hex.as_bytes().chunks(2);
    let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    (framemill_schemas::key::digest(&bytes) == object.digest).then(|| bytes.into())
}

fn folder_of(spec: &JobSpec) -> Result<&str, Failure> {
    match spec.encoding() {
        JobSpec::Transcode(spec) => Ok(&spec.folder),
        JobSpec::Audio(spec) => Ok(&spec.folder),
        _ => Err(Failure::new(Class::Bug, "carry-spec", "a carry job stands for a job that makes no segments")),
    }
}

/// No retry helps: the unit is to be encoded again.
fn damaged(finding: Finding) -> Failure {
    let reason = format!("{}: {} where {} is expected", finding.at, finding.measured, finding.expected);
    Failure::new(Class::Bug, DAMAGED, reason)
}
