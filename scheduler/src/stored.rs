//! Whether a generation's objects are still what was validated: one listing against the indexes.
//! Pure; used before publishing, and whenever an operator asks.

use std::collections::{BTreeMap, HashMap};

use framemill_schemas::{
    finding::{FINDINGS_MAX, Finding},
    ids::JobId,
    job::JobRecord,
    object::StoredObject,
    spec::{JobOutput, PackageOutput, PackageSpec},
};
use framemill_storage::Listed;

/// Codes of the checks made here, for reports.
pub const CHECKS: [&str; 3] = ["object-missing", "object-changed", "index-missing"];

/// Every object of a generation that is gone or changed, at most [`FINDINGS_MAX`].
pub fn differences(
    spec: &PackageSpec,
    package: &PackageOutput,
    jobs: &HashMap<JobId, JobRecord>,
    listed: &[Listed],
) -> Vec<Finding> {
    let listed: BTreeMap<&str, &Listed> = listed.iter().map(|object| (object.key.as_str(), object)).collect();
    let mut findings = Vec::new();
    let manifests = [&package.master, &package.mpd, &package.entry_master, &package.entry_mpd];
    let manifests = manifests.into_iter().chain(&package.playlists);
    findings.extend(manifests.filter_map(|object| difference(object, &listed)));
    let pictures = spec.video.iter().map(|rendition| (&rendition.name, rendition.parts.as_slice()));
    let sounds = spec.audio.iter().map(|rendition| (&rendition.name, std::slice::from_ref(&rendition.part)));
    for (rendition, parts) in pictures.chain(sounds) {
        for id in parts {
            let Some(JobOutput::Parts(made)) = jobs.get(id).and_then(|job| job.output.as_ref()) else {
                findings.push(Finding::error("index-missing", rendition, format!("no index of job {id}"), "an index"));
                continue;
            };
            for part in made.iter().filter(|part| part.rendition == *rendition) {
                let segments = part.segments.iter().map(|segment| &segment.object);
                let objects = std::iter::once(&part.init).chain(segments);
                findings.extend(objects.filter_map(|object| difference(object, &listed)));
            }
        }
    }
    findings.truncate(FINDINGS_MAX);
    findings
}

fn difference(object: &StoredObject, listed: &BTreeMap<&str, &Listed>) -> Option<Finding> {
    let shown = |bytes: u64, etag: &str| format!("{bytes} bytes, entity tag {etag}");
    match listed.get(object.key.as_str()) {
        None => Some(Finding::error("object-missing", &object.key, "no object", shown(object.bytes, &object.etag))),
        Some(found) if found.bytes == object.bytes && found.etag == object.etag => None,
        Some(found) => Some(Finding::error(
            "object-changed",
            &object.key,
            shown(found.bytes, &found.etag),
            shown(object.bytes, &object.etag),
        )),
    }
}
