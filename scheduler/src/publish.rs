//! Publishing: one compare-and-set on the asset record, which cancel and removal contend for,
//! after one listing has shown that every object is still the one that was validated.

use std::collections::HashMap;

use framemill_schemas::{
    asset::{AssetRecord, AssetState, Published},
    failure::{Class, Failure},
    ids::JobId,
    job::JobRecord,
    subject,
};
use tracing::Instrument;

use crate::{
    act::{ActError, Actor},
    advance::Candidate,
    stored,
    view::AssetEntry,
};

impl Actor {
    /// Takes an accepted asset whose generation passed validation, or one under repair; returns it
    /// published.
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
        let Some(generation) = asset.making().cloned() else { return Ok(()) };
        let published = Published {
            generation: generation.clone(),
            master: candidate.package.entry_master.clone(),
            mpd: candidate.package.entry_mpd.clone(),
            index: None,
        };
        fail::fail_point!("publish/before", |_| std::process::abort());
        let asset = AssetRecord { published: Some(published), generation, shown: None, ..asset.clone() };
        match entry.record.repairing() {
            None => self.end(entry, &asset, AssetState::Published, "published").await?,
            Some(_) => self.end_repair(entry, asset).await?,
        }
        fail::fail_point!("publish/stored", |_| std::process::abort());
        Ok(())
    }
}
