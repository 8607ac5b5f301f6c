//! `POST /v1/assets/{id}/check`.

use std::collections::BTreeSet;

use framemill_queue::Queue;
use framemill_schemas::{
    api::Checked,
    asset::{AssetRecord, AssetState},
    finding::{Finding, Report, ReportState},
    ids::{AssetId, Tenant},
    index::GenerationIndex,
    object::{StoredObject, generation_folder},
    spec::JobSpec,
};
use framemill_storage::Store;

use super::{CAS_TRIES_MAX, Decision, OpError, asset_event, change_asset, generation, now_ms, refuse};
use crate::{
    archive,
    fold::{self, FoldError},
    repair::{begin, outdated},
    stored::{self, Damage},
    view::AssetEntry,
};

/// How thoroughly an asset is checked, and what follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckParts {
    /// Read every object and compare its digest; else one listing tells what is gone or replaced.
    pub deep: bool,
    /// Mend what is found.
    pub repair: bool,
}

impl From<FoldError> for OpError {
    fn from(error: FoldError) -> Self {
        match error {
            FoldError::Store(error) => error.into(),
            FoldError::Record(error) => error.into(),
        }
    }
}

/// A published asset, and what it consists of.
#[derive(Debug)]
pub struct Opened {
    asset: AssetRecord,
    index: GenerationIndex,
    object: StoredObject,
    /// What is wrong with the index itself.
    finding: Option<Finding>,
}

/// Finds what an asset consists of, from its index, or from its jobs where they are still there.
pub async fn open(
    queue: &Queue,
    store: &Store,
    id: AssetId,
    visible: impl Fn(&Tenant) -> bool,
) -> Result<Opened, OpError> {
    let mut tries = 0;
    loop {
        let found = queue.assets().get(&id.to_string()).await?;
        let (asset, revision) = found.filter(|(asset, _)| visible(&asset.tenant)).ok_or(OpError::NoAsset(id))?;
        let Some(published) = asset.published.as_ref().filter(|_| asset.state == AssetState::Published) else {
            return Err(refuse(&asset, "only what is published can be checked"));
        };
        let mut finding = None;
        if let Some(object) = &published.index {
            if let Some(index) = fold::read(store, object).await? {
                return Ok(Opened { object: object.clone(), asset, index, finding });
            }
            let expected = format!("{} bytes of digest {}", object.bytes, object.digest);
            finding = Some(Finding::error("index-missing", &object.key, "not there as it was stored", expected));
        }
        let entry = AssetEntry { record: asset, revision };
        if let Some(folded) = fold::fold(queue, store, &entry).await? {
            return read_back(store, folded.record, finding).await;
        }
        // Somebody else was faster, or its jobs do not say enough.
        let is_same = queue.assets().get(&id.to_string()).await?.is_some_and(|(_, now)| now == revision);
        if is_same || tries == CAS_TRIES_MAX {
            return Err(refuse(
                &entry.record,
                "its index is gone and so are its jobs; submit its source again to make another",
            ));
        }
        tries += 1;
    }
}

/// What was just folded.
async fn read_back(store: &Store, asset: AssetRecord, finding: Option<Finding>) -> Result<Opened, OpError> {
    let object = asset.published.as_ref().and_then(|published| published.index.clone());
    let unreadable = || refuse(&asset, "its index cannot be read back; check again");
    let object = object.ok_or_else(unreadable)?;
    let index = fold::read(store, &object).await?.ok_or_else(unreadable)?;
    Ok(Opened { asset, index, object, finding })
}

/// Looks whether every object of a published asset is still the one that was validated; what is
/// found is told as `asset.damaged`, and mended where that is asked for.
pub async fn check(queue: &Queue, store: &Store, opened: Opened, parts: CheckParts) -> Result<Checked, OpError> {
    let Opened { asset, index, object, finding } = opened;
    let listed = store.list(&generation_folder(&asset.tenant, asset.id, &index.generation)).await?;
    let damage = match parts.deep {
        true => stored::damage_deep(store, &index, &listed).await?,
        false => stored::damage(&index, &listed),
    };
    let Damage { mut findings, mut units } = damage;
    findings.splice(0..0, finding);
    let mut checks: Vec<String> = stored::CHECKS.map(str::to_owned).into();
    checks.extend(parts.deep.then(|| stored::DIGEST.to_owned()));
    let frames = index.package.grid.frames;
    let mut report = Report { v: 1, state: ReportState::of(&findings), frames, checks, findings };
    let mut repair = None;
    if report.state == ReportState::Failed {
        if parts.repair {
            units.extend(outdated(&asset, &index));
        }
        let lost = if parts.repair { lost(store, &asset, &units).await? } else { None };
        let repairs = parts.repair && lost.is_none();
        report.findings.extend(lost);
        let now_ms = now_ms();
        let decide = |asset: &AssetRecord, revision| {
            let asset = damaged(asset, &report, revision, now_ms);
            let Some(asset) = asset else { return Ok(Decision::Already) };
            let begun = repairs.then(|| begin(&asset, &object, units.clone(), generation, now_ms)).flatten();
            Ok(Decision::Change(Box::new(begun.unwrap_or(asset))))
        };
        let after = change_asset(queue, asset.id, |_| true, decide).await?;
        repair = after.repairing().map(|repair| repair.generation.clone());
    }
    Ok(Checked { report, repair })
}

/// Why damaged units cannot be made again: what they were copied from has left the store.
async fn lost(store: &Store, asset: &AssetRecord, units: &BTreeSet<String>) -> Result<Option<Finding>, OpError> {
    let Some(cut) = &asset.cut else { return Ok(None) };
    let plan = archive::plan(asset, cut);
    for unit in units {
        let Some(JobSpec::Archive(spec)) = plan.parts.get(unit).map(|part| &part.spec) else { continue };
        if !archive::is_kept(store, cut, &spec.stretches).await? {
            let measured = format!("{} is not kept any more: it cannot be mended", asset.source);
            return Ok(Some(Finding::error("span-not-kept", unit, measured, "segments to copy it from again")));
        }
    }
    Ok(None)
}

/// Takes a published asset; returns it as it is, with `asset.damaged` to be sent.
/// Guards: one that is no longer published is nobody's concern any more.
fn damaged(asset: &AssetRecord, report: &Report, revision: u64, now_ms: i64) -> Option<AssetRecord> {
    if asset.state != AssetState::Published {
        return None;
    }
    let mut asset = asset.clone();
    let mut event = asset_event(&asset, "damaged", revision, now_ms);
    event.data.reason = report.findings.first().map(|finding| {
        let more = report.findings.len() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        format!("{} at {}: {}, expected {}{more}", finding.code, finding.at, finding.measured, finding.expected)
    });
    asset.unsent.push(event);
    Some(asset)
}
