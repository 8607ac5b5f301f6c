//! What a channel's writer has done beside its playlists, so that nothing of it keeps them waiting: at most
//! one chore of a kind at a time.

use std::ops::Range;

use framemill_queue::RecordError;
use framemill_schemas::{
    live::{COMMIT_VERSION, Commit, Committed, Edition, commit_key},
    subject,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    fold,
    folding::{self, FoldError},
    shards::{Channel, LiveParts},
    stage::Stage,
    sweep,
    window::window_ms,
};

/// Why a gap is one.
const WHY: &str = "no replica committed it in time";

/// The chores that are under way.
#[derive(Default)]
pub struct Chores {
    declaring: Option<AbortOnDropHandle<()>>,
    folding: Option<AbortOnDropHandle<()>>,
}

fn is_free(chore: &Option<AbortOnDropHandle<()>>) -> bool {
    chore.as_ref().is_none_or(AbortOnDropHandle::is_finished)
}

/// The commits that declare numbers gaps.
pub fn gaps(stage: &Stage, numbers: Range<u64>, now_ms: i64) -> Vec<Commit> {
    let gap = |number: u64| {
        let timeline = stage.timelines().of(number)?.id;
        let what = Committed::Gap { why: WHY.to_owned() };
        Some(Commit { v: COMMIT_VERSION, timeline, number, what, at_ms: now_ms })
    };
    numbers.filter_map(gap).collect()
}

impl Chores {
    /// Commits gaps, in their order. A number that somebody has committed meanwhile is none.
    pub fn declare(&mut self, parts: &LiveParts, channel: &Channel, gaps: Vec<Commit>) {
        if !is_free(&self.declaring) {
            return;
        }
        let (parts, channel) = (parts.clone(), channel.clone());
        self.declaring = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let log = parts.queue.records::<Commit>(subject::COMMITS_BUCKET);
            for gap in gaps {
                match log.create(&commit_key(&channel.tenant, &channel.id, gap.number), &gap).await {
                    Ok(_) => {
                        parts.metrics.live_gap();
                        tracing::warn!(tenant = %channel.tenant, channel = %channel.id, number = gap.number, "a number is a gap");
                    }
                    Err(RecordError::Exists) => {}
                    Err(error) => {
                        tracing::warn!(channel = %channel.id, %error, "a gap could not be committed");
                        return;
                    }
                }
            }
        })));
    }

    /// Folds the log when it is long enough, and removes what nobody can see any more.
    pub fn fold(&mut self, parts: &LiveParts, channel: &Channel, stage: &Stage, edition: &Edition) {
        if !is_free(&self.folding) {
            return;
        }
        let Some(plan) = fold::plan(stage, edition) else { return };
        let places = stage.log().range(..plan.end).map(|(number, logged)| (*number, logged.revision)).collect();
        let before_ms = invisible_ms(stage, edition);
        let (parts, channel) = (parts.clone(), channel.clone());
        self.folding = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let all = async {
                folding::fold(&parts.queue, &parts.store, &channel, plan, places).await?;
                sweep::sweep(&parts.store, &channel, before_ms).await
            };
            let done: Result<(), FoldError> = all.await;
            if let Err(error) = done {
                tracing::warn!(channel = %channel.id, %error, "a channel's log could not be folded yet");
                // Not at once again: whoever refuses is given time.
                tokio::time::sleep(AGAIN).await;
            }
        })));
    }

    /// Removes records that a fold before has left behind.
    pub fn remove(&mut self, parts: &LiveParts, channel: &Channel, places: Vec<(u64, u64)>) {
        if places.is_empty() || !is_free(&self.folding) {
            return;
        }
        let (parts, channel) = (parts.clone(), channel.clone());
        let remove = async move { folding::remove(&parts.queue, &channel, places).await };
        self.folding = Some(AbortOnDropHandle::new(tokio::spawn(remove)));
    }
}

/// Pause after a fold that failed.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(10);

/// The time before which nobody can see anything any more, on the channel's clock, Unix milliseconds.
fn invisible_ms(stage: &Stage, edition: &Edition) -> i64 {
    let end = stage.entries().last().map_or(0, |entry| entry.timeline.time_ms(entry.number()).end);
    let kept = u64::from(edition.timeshift_s) * 1000 + 2 * window_ms(edition, stage.known());
    end.saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX))
}
