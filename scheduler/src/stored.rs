//! Whether a generation's objects are still what was validated: one listing against the indexes,
//! and their bytes against their digests where that is asked for. Used before publishing, and
//! whenever an operator asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use framemill_schemas::{
    finding::{FINDINGS_MAX, Finding},
    ids::JobId,
    index::{GenerationIndex, RenditionPart},
    job::JobRecord,
    object::StoredObject,
    spec::{JobOutput, PackageOutput, PackageSpec},
};
use framemill_storage::{Listed, Store, StoreError};
use futures_util::{StreamExt, stream};

/// Codes of the checks made by a listing, for reports.
pub const CHECKS: [&str; 3] = ["object-missing", "object-changed", "index-missing"];
/// The code of what only reading can tell.
pub const DIGEST: &str = "object-digest";

/// Objects read at once: each is only hashed as it arrives.
const READS_AT_ONCE: usize = 8;

/// What a generation lacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// For people, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Units whose segments are not all there.
    pub units: BTreeSet<String>,
}

impl Damage {
    fn add(&mut self, finding: Finding, unit: Option<&str>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
        self.units.extend(unit.map(str::to_owned));
    }
}

/// Every object of a generation that is gone or changed, at most [`FINDINGS_MAX`]. Pure.
pub fn differences(
    spec: &PackageSpec,
    package: &PackageOutput,
    jobs: &HashMap<JobId, JobRecord>,
    listed: &[Listed],
) -> Vec<Finding> {
    let listed = by_key(listed);
    let mut damage = Damage::default();
    for object in manifests(package) {
        check(object, None, &listed, &mut damage);
    }
    let pictures = spec.video.iter().map(|rendition| (&rendition.name, rendition.parts.as_slice()));
    let sounds = spec.audio.iter().map(|rendition| (&rendition.name, std::slice::from_ref(&rendition.part)));
    for (rendition, parts) in pictures.chain(sounds) {
        for id in parts {
            let Some(JobOutput::Parts(made)) = jobs.get(id).and_then(|job| job.output.as_ref()) else {
                let finding = Finding::error("index-missing", rendition, format!("no index of job {id}"), "an index");
                damage.add(finding, None);
                continue;
            };
            for object in made.iter().filter(|part| part.rendition == *rendition).flat_map(objects) {
                check(object, None, &listed, &mut damage);
            }
        }
    }
    damage.findings
}

/// What a published generation lacks by a listing of its folder. Pure.
pub fn damage(index: &GenerationIndex, listed: &[Listed]) -> Damage {
    let listed = by_key(listed);
    let mut damage = Damage::default();
    for (object, unit) in all(index) {
        check(object, unit, &listed, &mut damage);
    }
    damage
}

/// What a published generation lacks when its objects are read: every byte of it crosses this
/// process, none is kept. Objects that the listing found fault with are not read again.
pub async fn damage_deep(store: &Store, index: &GenerationIndex, listed: &[Listed]) -> Result<Damage, StoreError> {
    let mut found = damage(index, listed);
    let faulty: BTreeSet<String> = found.findings.iter().map(|finding| finding.at.clone()).collect();
    // Owned: a closure over borrowed ones gives a future that cannot be proven sendable.
    let sound = all(index).filter(|(object, _)| !faulty.contains(&object.key));
    let sound: Vec<(StoredObject, Option<String>)> =
        sound.map(|(object, unit)| (object.clone(), unit.map(str::to_owned))).collect();
    let reads = sound.into_iter().map(|(object, unit)| {
        let store = store.clone();
        async move { Ok::<_, StoreError>((read(&store, &object).await?, object, unit)) }
    });
    let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
    while let Some(read) = reads.next().await {
        let (measured, object, unit) = read?;
        if measured.as_ref() != Ok(&object.digest) {
            let measured = measured.map_or_else(str::to_owned, |digest| format!("bytes of digest {digest}"));
            let finding = Finding::error(DIGEST, &object.key, measured, format!("bytes of digest {}", object.digest));
            found.add(finding, unit.as_deref());
        }
    }
    Ok(found)
}

/// The digest of an object's bytes, or why it has none. A body that breaks off twice while the
/// store answers is no outage: it cannot be read.
async fn read(store: &Store, object: &StoredObject) -> Result<Result<String, &'static str>, StoreError> {
    let digest = match store.digest(&object.key).await {
        Err(StoreError::Interrupted { .. }) => store.digest(&object.key).await,
        digest => digest,
    };
    match digest {
        Ok(digest) => Ok(digest.ok_or("no object")),
        Err(StoreError::Interrupted { .. }) => Ok(Err("bytes that break off")),
        Err(error) => Err(error),
    }
}

/// Every object of a generation, with the unit that made it. An init belongs to none: its bytes
/// are in the index, and no unit is encoded again for it.
fn all(index: &GenerationIndex) -> impl Iterator<Item = (&StoredObject, Option<&str>)> {
    let mut inits = BTreeSet::new();
    let first = move |init: &&StoredObject| inits.insert(init.key.clone());
    let shared = index.units.iter().flat_map(|unit| unit.parts.iter().map(|part| &part.init)).filter(first);
    let shared = manifests(&index.manifests).chain(shared).map(|object| (object, None));
    let segments = index.units.iter().flat_map(|unit| {
        let objects = unit.parts.iter().flat_map(|part| part.segments.iter().map(|segment| &segment.object));
        objects.map(|object| (object, Some(unit.unit.as_str())))
    });
    shared.chain(segments)
}

fn manifests(package: &PackageOutput) -> impl Iterator<Item = &StoredObject> {
    [&package.master, &package.mpd, &package.entry_master, &package.entry_mpd].into_iter().chain(&package.playlists)
}

fn objects(part: &RenditionPart) -> impl Iterator<Item = &StoredObject> {
    std::iter::once(&part.init).chain(part.segments.iter().map(|segment| &segment.object))
}

fn by_key(listed: &[Listed]) -> BTreeMap<&str, &Listed> {
    listed.iter().map(|object| (object.key.as_str(), object)).collect()
}

fn check(object: &StoredObject, unit: Option<&str>, listed: &BTreeMap<&str, &Listed>, damage: &mut Damage) {
    let shown = |bytes: u64, etag: &str| format!("{bytes} bytes, entity tag {etag}");
    let expected = shown(object.bytes, &object.etag);
    match listed.get(object.key.as_str()) {
        None => damage.add(Finding::error("object-missing", &object.key, "no object", expected), unit),
        Some(found) if found.bytes == object.bytes && found.etag == object.etag => {}
        Some(found) => {
            let measured = shown(found.bytes, &found.etag);
            damage.add(Finding::error("object-changed", &object.key, measured, expected), unit);
        }
    }
}
