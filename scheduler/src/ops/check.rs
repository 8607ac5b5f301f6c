//! `POST /v1/assets/{id}/check`.

use std::collections::HashMap;

use framemill_queue::Queue;
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    finding::{Report, ReportState},
    ids::{AssetId, JobId, Tenant},
    job::JobRecord,
    spec::{JobOutput, JobSpec, PackageOutput, PackageSpec},
    subject,
};
use framemill_storage::Store;

use super::{Decision, OpError, asset_event, change_asset, now_ms, refuse};
use crate::stored;

/// Looks whether every object of a published asset is still the one that was validated, by one
/// listing; what is found is told as `asset.damaged`.
pub async fn check(
    queue: &Queue,
    store: &Store,
    id: AssetId,
    visible: impl Fn(&Tenant) -> bool,
) -> Result<Report, OpError> {
    let found = queue.assets().get(&id.to_string()).await?;
    let (asset, _) = found.filter(|(asset, _)| visible(&asset.tenant)).ok_or(OpError::NoAsset(id))?;
    if asset.state != AssetState::Published {
        return Err(refuse(&asset, "only what is published can be checked"));
    }
    let jobs = queue.jobs().list(&subject::job_records_of(id)).await?;
    let jobs: HashMap<JobId, JobRecord> = jobs.into_iter().map(|(_, job, _)| (job.id, job)).collect();
    let Some((spec, package)) = package_of(&asset, &jobs) else {
        return Err(refuse(&asset, "its package job is gone; submit its source again"));
    };
    let listed = store.list(&spec.folder).await?;
    let findings = stored::differences(spec, package, &jobs, &listed);
    let report = Report {
        v: 1,
        state: ReportState::of(&findings),
        frames: spec.grid.frames,
        checks: stored::CHECKS.map(str::to_owned).into(),
        findings,
    };
    if report.state == ReportState::Failed {
        let now_ms = now_ms();
        change_asset(queue, id, visible, |asset, revision| Ok(damaged(asset, revision, now_ms))).await?;
    }
    Ok(report)
}

/// Takes a published asset; returns it as it is, with `asset.damaged` to be sent.
/// Guards: one that is no longer published is nobody's concern any more.
fn damaged(asset: &AssetRecord, revision: u64, now_ms: i64) -> Decision {
    if asset.state != AssetState::Published {
        return Decision::Already;
    }
    let mut asset = asset.clone();
    let event = asset_event(&asset, "damaged", revision, now_ms);
    asset.unsent.push(event);
    Decision::Change(Box::new(asset))
}

/// What was packaged of the asset's generation.
fn package_of<'a>(
    asset: &AssetRecord,
    jobs: &'a HashMap<JobId, JobRecord>,
) -> Option<(&'a PackageSpec, &'a PackageOutput)> {
    let of_generation = |job: &&JobRecord| job.generation == asset.generation.number;
    jobs.values().filter(of_generation).find_map(|job| match (&job.spec, &job.output) {
        (JobSpec::Package(spec), Some(JobOutput::Package(package))) => Some((spec, package)),
        _ => None,
    })
}
