//! Publishing: one compare-and-set on the asset record, which cancel and removal contend for,
//! after one listing has shown that every object is still the one that was validated. The small
//! mutable entry manifests are copies of that decision.

use std::{
    collections::{HashMap, HashSet},
    sync::{MutexGuard, PoisonError},
};

use framemill_schemas::{
    asset::{AssetRecord, AssetState, Published},
    failure::{Class, Failure},
    ids::{AssetId, JobId},
    job::JobRecord,
    object::{self, Generation, MASTER_PLAYLIST, MPD, StoredObject, asset_folder, content_type},
    subject,
};
use framemill_storage::Meta;
use tracing::Instrument;

use crate::{
    act::{ActError, Actor},
    advance::Candidate,
    stored,
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
        let listed = self.store.list(&candidate.spec.folder).await?;
        let differences = stored::differences(&candidate.spec, &candidate.package, &jobs, &listed);
        if let Some(finding) = differences.first() {
            let reason = format!(
                "{} is not what was validated: {}, expected {}",
                finding.at, finding.measured, finding.expected
            );
            let failure = Failure::new(Class::Bug, &finding.code, reason)
                .mend("find out who writes into this bucket besides the farm, then retry the asset");
            return self.fail(entry, failure).await;
        }
        let published = Published {
            generation: asset.generation.clone(),
            master: candidate.package.entry_master.clone(),
            mpd: candidate.package.entry_mpd.clone(),
            index: None,
        };
        let asset = AssetRecord { published: Some(published), ..asset.clone() };
        self.end(entry, &asset, AssetState::Published, "published").await
    }

    /// Puts the entry manifests right where they differ from what the record says. They go only
    /// forwards: each carries the generation it points at.
    pub(crate) async fn mend_entries(&self, entry: &AssetEntry) -> Result<(), ActError> {
        let asset = &entry.record;
        let Some(published) = asset.published.as_ref().filter(|_| asset.state == AssetState::Published) else {
            return Ok(());
        };
        let known = (asset.id, published.generation.clone());
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

    fn entries_right(&self) -> MutexGuard<'_, HashSet<(AssetId, Generation)>> {
        // A set of plain values: a panic elsewhere cannot have left it half-changed.
        self.entries_right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
