//! Validate the whole: every index of a title together, and its manifests read back.

use std::collections::BTreeSet;

use bytes::Bytes;
use framemill_queue::runner::Attempt;
use framemill_schemas::{
    failure::{Class, Failure},
    finding::Report,
    object::{REPORT, StoredObject},
    spec::{PackageOutput, ValidateWholeSpec},
};

use crate::{
    check::{Findings, bitrate, code, manifest, rendition},
    handlers::{Handlers, until_cancelled},
    objects::{SameRound, fetch, put},
    parts::{LoadError, Parts, done, package_of, report_of},
    title::Title,
};

impl Handlers {
    pub(super) async fn validate_whole(&self, spec: &ValidateWholeSpec, attempt: &Attempt) -> Result<Report, Failure> {
        until_cancelled(&attempt.cancel, async {
            let mut findings = Findings::default();
            let mut checks = Vec::new();
            for &id in &spec.parts {
                let validation = done(&self.queue, attempt.job.asset, id).await?;
                let report = report_of(&validation)?;
                checks.extend(report.checks.iter().cloned());
                findings.join(report.findings.iter().cloned());
            }
            checks.extend(code::list(code::OF_WHOLE));
            self.judge(spec, attempt, &mut findings).await?;
            let report = findings.into_report(spec.package.grid.frames, once_each(checks));
            self.store_report(&report, spec, attempt).await?;
            Ok(report)
        })
        .await
    }

    async fn judge(&self, spec: &ValidateWholeSpec, attempt: &Attempt, findings: &mut Findings) -> Result<(), Failure> {
        let package = done(&self.queue, attempt.job.asset, spec.package_job).await?;
        let package = package_of(&package)?;
        let parts = Parts::load(&self.queue, attempt.job.asset, &spec.package).await?;
        for rendition in &spec.package.video {
            rendition::one_init(parts.of(&rendition.name, &rendition.parts), &rendition.name, findings);
        }
        let title = match parts.title(&self.store, &spec.package).await {
            Ok(title) => title,
            Err(LoadError::Failure(failure)) => return Err(failure),
            Err(LoadError::Fault(fault)) => {
                findings.push(fault);
                return Ok(());
            }
        };
        rendition::whole(&title, findings);
        bitrate::averages(&title, findings);
        self.judge_manifests(&title, package, attempt, findings).await
    }

    async fn judge_manifests(
        &self,
        title: &Title,
        package: &PackageOutput,
        attempt: &Attempt,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let expected = manifest::Manifest::all(title);
        let found: Vec<&StoredObject> = [&package.master, &package.mpd, &package.entry_master, &package.entry_mpd]
            .into_iter()
            .chain(&package.playlists)
            .collect();
        manifest::listed(title, found.iter().map(|object| object.key.as_str()), findings);
        let total = found.len() as u64;
        for (done, object) in (1..).zip(found) {
            match fetch(&self.store, object).await? {
                Ok(bytes) => {
                    if let Some(kind) = expected.get(&object.key) {
                        kind.check(&bytes, &object.key, title, findings);
                    }
                }
                Err(fault) => findings.push(fault),
            }
            attempt.progress.send_replace((done, total));
        }
        Ok(())
    }

    /// Puts the report beside the manifests.
    async fn store_report(&self, report: &Report, spec: &ValidateWholeSpec, attempt: &Attempt) -> Result<(), Failure> {
        let mut body = serde_json::to_vec_pretty(report)
            .map_err(|error| Failure::new(Class::Bug, "report-unwritable", error.to_string()))?;
        body.push(b'\n');
        let key = format!("{}/{REPORT}", spec.package.folder);
        put(&self.store, &attempt.job, &key, Bytes::from(body), SameRound::MayDiffer).await.map(drop)
    }
}

/// Codes in the order in which they were first checked.
fn once_each(codes: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    codes.into_iter().filter(|code| seen.insert(code.clone())).collect()
}
