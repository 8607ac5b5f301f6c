//! What may be collected, and when. Pure: it looks at records and listings and names every object
//! and record by itself, so that what is decided can be shown before it is done.
//!
//! Never here: deleting. `shred` does that, and looks again before it does.

use std::sync::Arc;

use framemill_schemas::{
    api::GarbageObject,
    asset::{AssetRecord, AssetState},
    object::{Generation, Place},
};
use framemill_storage::Listed;
use serde::{Deserialize, Serialize};

use crate::view::JobSummary;

const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;

/// How long what nobody needs any more is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Seconds between two looks at everything that is stored.
    pub every_s: u64,
    /// How long a generation that was repaired stays for those who watch it.
    pub superseded_s: u64,
    /// How long the jobs of an asset that was published or cancelled are kept; 0: for ever.
    pub jobs_s: u64,
    /// How long an asset that failed or was cancelled is kept; 0: for ever.
    pub ended_s: u64,
    /// How old an object must be that no record knows; 0: such objects stay.
    pub orphans_s: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { every_s: HOUR_S, superseded_s: 6 * HOUR_S, jobs_s: 7 * DAY_S, ended_s: 30 * DAY_S, orphans_s: DAY_S }
    }
}

/// Whether something is older than it may become; 0 seconds is for ever.
fn is_past(since_ms: i64, keep_s: u64, now_ms: i64) -> bool {
    keep_s > 0 && now_ms.saturating_sub(since_ms) >= millis(keep_s)
}

fn millis(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

impl Retention {
    /// Whether the generation that a repair replaced may still be watched.
    pub fn is_watched(&self, asset: &AssetRecord, now_ms: i64) -> bool {
        asset.repaired_ms > 0 && now_ms.saturating_sub(asset.repaired_ms) < millis(self.superseded_s)
    }

    /// Whether an asset that came to nothing has been kept long enough.
    pub fn is_over(&self, asset: &AssetRecord, now_ms: i64) -> bool {
        matches!(asset.state, AssetState::Failed | AssetState::Cancelled)
            && is_past(asset.ended_ms, self.ended_s, now_ms)
    }

    /// Whether a job that no asset claims has been kept long enough.
    pub fn is_stray(&self, job: &JobSummary, now_ms: i64) -> bool {
        is_past(job.ready_ms.max(job.ended_ms), self.orphans_s, now_ms)
    }

    /// Jobs of an asset whose records may go: at their end for long enough, and either of a
    /// generation that is not wanted any more, or of one that is folded.
    pub fn jobs<'a>(
        &self,
        asset: &AssetRecord,
        jobs: &'a [Arc<JobSummary>],
        now_ms: i64,
    ) -> Vec<(&'a Arc<JobSummary>, &'static str)> {
        let kept = asset.kept();
        let published = asset.published.as_ref().filter(|_| asset.state == AssetState::Published);
        let folded = published.filter(|published| published.index.is_some() && asset.shown.is_some());
        let why = |job: &JobSummary| {
            if folded.is_some_and(|published| published.generation.number == job.generation) {
                Some("it is folded into its generation's index")
            } else if kept.iter().any(|generation| generation.number == job.generation) {
                None
            } else if asset.state == AssetState::Failed && asset.generation.number == job.generation {
                // Says what went wrong for as long as the asset is there.
                None
            } else {
                Some("its generation came to nothing")
            }
        };
        let ended = |job: &&Arc<JobSummary>| {
            job.state.is_terminal() && job.ended_ms > 0 && is_past(job.ended_ms, self.jobs_s, now_ms)
        };
        jobs.iter().filter(ended).filter_map(|job| Some((job, why(job)?))).collect()
    }

    /// Objects of one asset that may go. `record` is read after the listing was taken: an object
    /// comes after the record that names its generation, so what the record does not name then, it
    /// never will. `settled`: nobody can be putting objects of doomed generations any more.
    pub fn objects(
        &self,
        record: Option<&AssetRecord>,
        listed: &[(Place, Listed)],
        settled: bool,
        now_ms: i64,
    ) -> Vec<GarbageObject> {
        let doomed = listed.iter().filter_map(|(place, object)| {
            let is_old = object.modified_ms.is_some_and(|put_ms| is_past(put_ms, self.orphans_s, now_ms));
            let why = match record {
                None => is_old.then(|| "there is no such asset".to_owned()),
                Some(asset) => self.why(asset, place.generation.as_ref(), is_old, settled, now_ms),
            };
            Some(GarbageObject { key: object.key.clone(), bytes: object.bytes, why: why? })
        });
        doomed.collect()
    }

    fn why(
        &self,
        asset: &AssetRecord,
        generation: Option<&Generation>,
        is_old: bool,
        settled: bool,
        now_ms: i64,
    ) -> Option<String> {
        if asset.state == AssetState::Doomed {
            return settled.then(|| "its asset was removed".to_owned());
        }
        let Some(generation) = generation else {
            let has_entries = asset.published.is_some();
            return (is_old && !has_entries).then(|| "its asset is not published".to_owned());
        };
        if asset.kept().contains(&generation) {
            return None;
        }
        let is_doomed = asset.doomed().contains(&generation.number);
        let is_due = if is_doomed { settled && !self.is_watched(asset, now_ms) } else { is_old };
        is_due.then(|| format!("generation {} is not wanted any more", generation.number))
    }
}

#[cfg(test)]
mod tests;
