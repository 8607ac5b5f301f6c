//! Publishing: one compare-and-set on the asset record, which cancel and removal contend for,
//! after one listing has shown that every object is still the one that was validated. The small
//! mutable entry manifests are copies of that decision.

use std::collections::{BTreeMap, HashMap};

use framemill_schemas::{
    asset::{AssetState, Published},
    event::EventData,
    failure::{Class, Failure},
    ids::JobId,
    job::JobRecord,
    object::{self, MASTER_PLAYLIST, MPD, StoredObject, asset_folder, content_type},
    spec::{JobOutput, PackageOutput, PackageSpec},
    subject,
};
use framemill_storage::{Listed, Meta};
use tracing::Instrument;

use crate::{
    act::{ActError, Actor, asset_event, fenced_is_done},
    advance::Candidate,
    loops::now_ms,
    view::AssetEntry,
};

impl Actor {
    /// Takes an accepted asset whose generation passed validation; returns it published.
    pub(crate) async fn publish(&self, entry: &AssetEntry, candidate: &Candidate) -> Result<(), ActError> {
        let span = tracing::info_span!("publish", asset = %entry.record.id);
        framemill_telemetry::span::adopt(&span, &entry.record.trace);
        self.verify_and_publish(entry, candidate).instrument(span).await
    }

    async fn verify_and_publish(&self, entry: &AssetEntry, candidate: &Candidate) -> Result<(), ActError> {
        let asset = &entry.record;
        let jobs = self.queue.jobs().list(&subject::job_records_of(asset.id)).await?;
        let jobs: HashMap<JobId, JobRecord> = jobs.into_iter().map(|(_, job, _)| (job.id, job)).collect();
        let listed = self.store.list(&format!("{}/", candidate.spec.folder)).await?;
        if let Some(changed) = changed_object(&candidate.spec, &candidate.package, &jobs, &listed) {
            let reason = format!("{changed} is not what was validated");
            let failure = Failure::new(Class::Bug, "object-changed", reason)
                .mend("find out who writes into this bucket besides the farm, then retry the asset");
            return self.fail(entry, failure).await;
        }
        let mut record = asset.clone();
        let now = now_ms();
        let data = EventData {
            asset_id: Some(record.id),
            status: Some(AssetState::Published.as_str().to_owned()),
            output_uri: Some(candidate.spec.folder.clone()),
            ..EventData::default()
        };
        record.unsent.push(asset_event(&record.id, record.generation.number, "published", &record.tenant, now, data));
        record.state = AssetState::Published;
        record.ended_ms = now;
        record.published = Some(Published {
            generation: record.generation.clone(),
            master: candidate.package.entry_master.clone(),
            mpd: candidate.package.entry_mpd.clone(),
        });
        fenced_is_done(self.queue.assets().update(&record.id.to_string(), &record, entry.revision).await)
    }

    /// Puts the entry manifests right where they differ from what the record says. They go only
    /// forwards: each carries the generation it points at.
    pub(crate) async fn mend_entries(&self, entry: &AssetEntry) -> Result<(), ActError> {
        let asset = &entry.record;
        let Some(published) = asset.published.as_ref().filter(|_| asset.state == AssetState::Published) else {
            return Ok(());
        };
        let known = (asset.id, published.generation.number);
        if self.entries_right().contains(&known) {
            return Ok(());
        }
        let folder = asset_folder(&asset.tenant, asset.id);
        for (name, from) in [(MPD, &published.mpd), (MASTER_PLAYLIST, &published.master)] {
            self.mend_entry(&format!("{folder}/{name}"), from, published.generation.number, entry).await?;
        }
        self.entries_right().insert(known);
        Ok(())
    }

    async fn mend_entry(
        &self,
        key: &str,
        from: &StoredObject,
        generation: u32,
        entry: &AssetEntry,
    ) -> Result<(), ActError> {
        let there = self.store.head(key).await?;
        let revision = u64::from(generation);
        if there.as_ref().is_some_and(|(_, meta)| meta.revision >= Some(revision)) {
            return Ok(());
        }
        let Some(source) = self.store.get(&from.key).await? else {
            tracing::error!(key = %from.key, "published manifest is missing");
            return Ok(());
        };
        let meta = Meta {
            content_type: content_type(key).to_owned(),
            cache_control: object::CACHE_ENTRY.to_owned(),
            tags: vec![format!("tenant:{}", entry.record.tenant), format!("asset:{}", entry.record.id)],
            revision: Some(revision),
            ..Meta::default()
        };
        // Losing either race means that somebody wrote the same or a newer decision.
        match there {
            None => drop(self.store.put_new(key, source.body, &meta).await?),
            Some((old, _)) => drop(self.store.put_match(key, source.body, &meta, &old.etag).await?),
        }
        Ok(())
    }

    fn entries_right(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::HashSet<(framemill_schemas::ids::AssetId, u32)>> {
        // A set of plain values: a panic elsewhere cannot have left it half-changed.
        self.entries_right.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The first object that is gone or changed since it was validated.
fn changed_object<'a>(
    spec: &'a PackageSpec,
    package: &'a PackageOutput,
    jobs: &'a HashMap<JobId, JobRecord>,
    listed: &[Listed],
) -> Option<&'a str> {
    let listed: BTreeMap<&str, &Listed> = listed.iter().map(|object| (object.key.as_str(), object)).collect();
    let same = |object: &StoredObject| {
        listed.get(object.key.as_str()).is_some_and(|found| found.bytes == object.bytes && found.etag == object.etag)
    };
    let manifests = [&package.master, &package.mpd, &package.entry_master, &package.entry_mpd];
    let mut manifests = manifests.into_iter().chain(&package.playlists);
    if let Some(changed) = manifests.find(|object| !same(object)) {
        return Some(&changed.key);
    }
    let ids = spec.video.iter().flat_map(|rendition| &rendition.parts);
    for id in ids.chain(spec.audio.iter().map(|rendition| &rendition.part)) {
        let Some(JobOutput::Parts(parts)) = jobs.get(id).and_then(|job| job.output.as_ref()) else {
            return Some(&spec.folder);
        };
        for part in parts {
            let mut objects = std::iter::once(&part.init).chain(part.segments.iter().map(|segment| &segment.object));
            if let Some(changed) = objects.find(|object| !same(object)) {
                return Some(&changed.key);
            }
        }
    }
    None
}
