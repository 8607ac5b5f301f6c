//! Repairs: a damaged generation is replaced by a new one that takes the undamaged parts over and
//! encodes the rest. Until it is validated and published, viewers get the old one.
//!
//! Here are the transitions of the asset's record and the little that a repair does besides what
//! every title does; `advance` decides when.

use std::collections::BTreeSet;

use framemill_queue::RecordError;
use framemill_schemas::{
    asset::{AssetRecord, AssetState, Repair},
    failure::{Class, Failure},
    ids::JobId,
    index::GenerationIndex,
    job::{JobKind, JobRecord, JobState},
    key::job_key,
    lane::Lane,
    object::{Generation, StoredObject},
    probe::Probe,
    spec::{JobOutput, JobSpec, ProbeSpec},
    subject,
};

use crate::{
    act::{ActError, Actor, fenced_is_done, ready_record},
    advance::{NewJob, PROBE},
    archive,
    clock::now_ms,
    fold,
    ops::{asset_event, generation},
    plan::plan,
    view::AssetEntry,
};

impl Actor {
    /// Creates the probe job of a repair, done: what the published generation was made from is
    /// what is planned again. A source that is another by now is refused by its identity. So is that of a
    /// title that is kept of a channel: nothing has to be looked at.
    pub(crate) async fn seed(&self, entry: &AssetEntry) -> Result<(), ActError> {
        let asset = &entry.record;
        if let (Some(cut), Some(making)) = (&asset.cut, asset.making()) {
            return self.create_seeded(&seeded(asset, making.number, archive::probe(asset, cut), now_ms())).await;
        }
        let Some(repair) = asset.repairing() else { return Ok(()) };
        let Some(index) = fold::read(&self.store, &repair.index).await? else {
            let reason = format!("{} is not there or not what was stored", repair.index.key);
            let failure = Failure::new(Class::Bug, "index-missing", reason);
            return self.give_repair_up(entry, failure.mend("submit the source again")).await;
        };
        self.create_seeded(&seeded(asset, repair.generation.number, index.probe, now_ms())).await
    }

    async fn create_seeded(&self, job: &JobRecord) -> Result<(), ActError> {
        match self.queue.jobs().create(&subject::job_record(job.asset, job.id), job).await {
            Ok(_) | Err(RecordError::Exists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes an asset or repair whose stored init no node left makes; returns it in another
    /// generation.
    pub(crate) async fn anew(&self, entry: &AssetEntry, units: Vec<String>) -> Result<(), ActError> {
        let Some(anew) = planned_anew(&entry.record, units, generation) else { return Ok(()) };
        tracing::warn!(asset = %anew.id, "planned anew: no node left makes the init that is stored");
        self.store_asset(entry, &anew).await
    }

    /// Takes an asset under repair; returns it published as before, with why the repair failed.
    pub(crate) async fn give_repair_up(&self, entry: &AssetEntry, failure: Failure) -> Result<(), ActError> {
        let Some(failed) = given_up(&entry.record, failure, entry.revision, now_ms()) else { return Ok(()) };
        self.store_asset(entry, &failed).await
    }

    /// Takes an asset under repair, with the generation that mends it as what is published.
    pub(crate) async fn end_repair(&self, entry: &AssetEntry, asset: AssetRecord) -> Result<(), ActError> {
        self.store_asset(entry, &repaired(asset, entry.revision, now_ms())).await
    }

    async fn store_asset(&self, entry: &AssetEntry, asset: &AssetRecord) -> Result<(), ActError> {
        fenced_is_done(self.queue.assets().update(&asset.id.to_string(), asset, entry.revision).await)
    }
}

/// Takes a published asset, the index of what is published and the damaged units.
/// Returns it with a repair under way, and the name of its generation.
/// Guards: published, by that index, and no other repair is under way.
pub(crate) fn begin(
    asset: &AssetRecord,
    index: &StoredObject,
    damaged: BTreeSet<String>,
    name: impl Fn(u32) -> Generation,
    now_ms: i64,
) -> Option<AssetRecord> {
    let published = asset.published.as_ref().filter(|_| asset.state == AssetState::Published)?;
    if published.index.as_ref() != Some(index) || asset.repairing().is_some() {
        return None;
    }
    let repair = Repair {
        generation: name(next_number(asset)),
        index: index.clone(),
        damaged: damaged.into_iter().collect(),
        anew: false,
        since_ms: now_ms,
        failure: None,
    };
    Some(AssetRecord { repair: Some(repair), ..asset.clone() })
}

/// Takes an asset that is being made or repaired, and the units a repair has to encode.
/// Returns it in the next generation, where everything that is encoded is encoded by nodes that
/// agree on the init.
/// Guards: accepted, or a repair under way; bounded by `advance`.
pub(crate) fn planned_anew(
    asset: &AssetRecord,
    units: Vec<String>,
    name: impl Fn(u32) -> Generation,
) -> Option<AssetRecord> {
    let generation = name(next_number(asset));
    if asset.state == AssetState::Accepted {
        return Some(AssetRecord { generation, anew: asset.anew + 1, ..asset.clone() });
    }
    let repair = Repair { generation, damaged: units, anew: true, ..asset.repairing()?.clone() };
    Some(AssetRecord { repair: Some(repair), ..asset.clone() })
}

/// Takes an asset under repair.
/// Returns it with the repair's failure, and `asset.damaged` to be sent: it still is.
/// Guards: a repair under way.
fn given_up(asset: &AssetRecord, failure: Failure, revision: u64, now_ms: i64) -> Option<AssetRecord> {
    let repair = Repair { failure: Some(failure.clone()), ..asset.repairing()?.clone() };
    let mut asset = AssetRecord { repair: Some(repair), ..asset.clone() };
    let mut event = asset_event(&asset, "damaged", revision, now_ms);
    event.data.class = Some(failure.class);
    event.data.reason = Some(format!("the repair failed: {}", failure.reason));
    asset.unsent.push(event);
    Some(asset)
}

/// Takes a published asset, what mends it already in place of what was damaged.
/// Returns it without its repair, with `asset.repaired` to be sent.
fn repaired(asset: AssetRecord, revision: u64, now_ms: i64) -> AssetRecord {
    let mut asset = AssetRecord { repair: None, repaired_ms: now_ms, ..asset };
    let event = asset_event(&asset, "repaired", revision, now_ms);
    asset.unsent.push(event);
    asset
}

/// The number of the next generation: no number is used twice, not even of repairs that failed.
fn next_number(asset: &AssetRecord) -> u32 {
    let repair = asset.repair.as_ref().map_or(0, |repair| repair.generation.number);
    asset.generation.number.max(repair).saturating_add(1)
}

/// A generation's probe job, as if it had just been done.
fn seeded(asset: &AssetRecord, number: u32, found: Probe, now_ms: i64) -> JobRecord {
    let probe = NewJob {
        id: JobId::derive(asset.id, number, PROBE, 0),
        unit: PROBE.to_owned(),
        round: 0,
        lane: Lane::Plain { kind: JobKind::Probe, priority: asset.priority },
        spec: JobSpec::Probe(ProbeSpec { source: asset.source.clone() }),
        avoid: None,
    };
    JobRecord {
        state: JobState::Done,
        output: Some(JobOutput::Probe(found)),
        ended_ms: now_ms,
        ..ready_record(asset, number, probe, asset.trace.clone(), now_ms)
    }
}

/// Units that this version plans otherwise than the version that made them: they cannot be taken
/// over beside parts that are made now. Pure.
pub(crate) fn outdated(asset: &AssetRecord, index: &GenerationIndex) -> BTreeSet<String> {
    let made = AssetRecord { generation: index.generation.clone(), ..asset.clone() };
    let Ok(plan) = plan(&made, &index.probe) else { return BTreeSet::new() };
    let same = |unit: &str, key: &str| index.units.iter().any(|made| made.unit == unit && made.key == key);
    let parts = plan.parts.iter().filter(|(unit, part)| !same(unit, &job_key(&part.spec, 0)));
    parts.map(|(unit, _)| unit.clone()).collect()
}

#[cfg(test)]
mod tests {
    use framemill_schemas::asset::Published;

    use super::*;
    use crate::ops::sample;

    fn object(key: &str) -> StoredObject {
        StoredObject { key: key.to_owned(), bytes: 1, digest: "d".to_owned(), etag: "e".to_owned() }
    }

    fn name(number: u32) -> Generation {
        Generation { number, random: format!("{number:08x}") }
    }

    fn published() -> AssetRecord {
        let published =
            Published { generation: name(1), master: object("m"), mpd: object("d"), index: Some(object("i")) };
        AssetRecord { generation: name(1), published: Some(published), ..sample::asset(AssetState::Published) }
    }

    fn begun() -> AssetRecord {
        begin(&published(), &object("i"), BTreeSet::from(["transcode/h264/0001".to_owned()]), name, 5).unwrap()
    }

    #[test]
    fn what_is_published_stays_so_while_it_is_repaired() {
        let before = published();
        let after = begun();
        assert_eq!((after.state, &after.published, &after.generation), (before.state, &before.published, &name(1)));
        assert_eq!(after.making(), Some(&name(2)));
        assert_eq!(after.kept(), [&name(2), &name(1)]);
        assert_eq!(after.doomed().count(), 0);
        // One at a time, and only of what is published now.
        assert_eq!(begin(&after, &object("i"), BTreeSet::new(), name, 5), None);
        assert_eq!(begin(&before, &object("other"), BTreeSet::new(), name, 5), None);
        for state in [AssetState::Accepted, AssetState::Failed, AssetState::Cancelled, AssetState::Doomed] {
            let asset = AssetRecord { state, ..published() };
            assert_eq!(begin(&asset, &object("i"), BTreeSet::new(), name, 5), None, "{state:?}");
        }
    }

    #[test]
    fn a_repair_that_failed_is_told_and_its_number_not_used_again() {
        let failed = given_up(&begun(), Failure::new(Class::Input, "x", "gone"), 7, 9).unwrap();
        assert_eq!((failed.state, failed.making()), (AssetState::Published, None));
        assert_eq!(failed.kept(), [&name(1)]);
        assert_eq!(failed.unsent[0].kind, "asset.damaged");
        assert_eq!(failed.unsent[0].data.reason.as_deref(), Some("the repair failed: gone"));
        assert_eq!(given_up(&failed, Failure::new(Class::Input, "x", "gone"), 7, 9), None);
        let again = begin(&failed, &object("i"), BTreeSet::new(), name, 10).unwrap();
        assert_eq!(again.making(), Some(&name(3)));
    }

    #[test]
    fn another_init_is_another_generation() {
        let accepted = AssetRecord { generation: name(1), ..sample::asset(AssetState::Accepted) };
        let anew = planned_anew(&accepted, Vec::new(), name).unwrap();
        assert_eq!((anew.generation.clone(), anew.anew, anew.doomed()), (name(2), 1, 1..=1));
        let repair = planned_anew(&begun(), vec!["a".to_owned()], name).unwrap();
        let repair = repair.repair.unwrap();
        assert_eq!((repair.generation, repair.anew, repair.damaged), (name(3), true, vec!["a".to_owned()]));
        assert_eq!(planned_anew(&published(), Vec::new(), name), None);
    }
}
