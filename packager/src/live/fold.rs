//! What is folded out of a channel's log. Pure: two packagers that fold from the same floor fold the same.

use framemill_schemas::live::{Edition, Timeline};

use super::{
    index::{INDEX_VERSION, Index},
    stage::Stage,
    window::{suffix, window_ms},
};

/// Numbers of an index, and the fewest that stay in the log: those that racing committers may still ask for.
pub const BATCH: u64 = 60;

/// The next part of the log to fold away; `None` while the log is short enough. Indexes end at multiples of
/// [`BATCH`], whoever folds and whenever.
pub fn plan(stage: &Stage, edition: &Edition) -> Option<Index> {
    let logged = stage.logged();
    let (oldest, newest) = (logged.first()?.number(), logged.last()?.number());
    let shown = suffix(logged, 2 * window_ms(edition, stage.known()));
    let stays = shown.first()?.number().min((newest + 1).saturating_sub(BATCH));
    let end = (oldest / BATCH + 1) * BATCH;
    if end > stays {
        return None;
    }
    let folded = &logged[..logged.partition_point(|entry| entry.number() < end)];
    let mut timelines: Vec<Timeline> = folded.iter().map(|entry| (*entry.timeline).clone()).collect();
    timelines.dedup_by_key(|timeline| timeline.id);
    Some(Index {
        v: INDEX_VERSION,
        first: oldest,
        end,
        before: stage.before().cloned(),
        breaks: stage.timelines().breaks,
        timelines,
        commits: stage.log().range(oldest..end).map(|(_, logged)| logged.commit.clone()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use framemill_schemas::live::Folded;

    use super::*;
    use crate::live::{
        sample::{FIRST, commits, edition, stage, timeline, timelines},
        stage::Stage,
    };

    #[test]
    fn only_what_no_playlist_and_no_committer_needs_is_folded() {
        // The first index ends at a multiple of sixty: after twenty numbers.
        assert_eq!(FIRST % BATCH, 40);
        for (numbers, window_s, expected) in [
            (50, 60, None),
            (79, 60, None),
            (80, 60, Some((0, 20))),
            (400, 60, Some((0, 20))),
            // Two windows of ten minutes are three hundred numbers.
            (319, 600, None),
            (320, 600, Some((0, 20))),
        ] {
            let plan = plan(&stage(&"s".repeat(numbers)), &edition(window_s, 0));
            let found = plan.map(|index| (index.first - FIRST, index.end - FIRST));
            assert_eq!(found, expected, "{numbers} {window_s}");
        }
    }

    #[test]
    fn what_was_folded_is_shown_as_before() {
        let letters = format!("{}-f--i{}", "s".repeat(40), "s".repeat(200));
        let whole = stage(&letters);
        let mut folding = stage(&letters);
        let mut entries = Vec::new();
        while let Some(index) = plan(&folding, &edition(60, 0)) {
            let again = Index::read(&serde_json::to_vec(&index).unwrap()).unwrap();
            assert_eq!(again, index);
            // Others read the same in it.
            let folded = Folded::read(&serde_json::to_vec(&index).unwrap()).unwrap();
            assert_eq!((folded.first, folded.end, &folded.timelines), (index.first, index.end, &index.timelines));
            assert_eq!(folded.commits, index.commits);
            entries.extend(index.replay());
            let breaks = entries.last().unwrap().mark.breaks;
            let next = framemill_schemas::live::Timelines { floor: index.end, breaks, ..folding.timelines().clone() };
            folding.follow(next.clone());
            // Whoever comes later reads the last index, and the log from the floor on.
            let mut late = Stage::new(next, index.replay());
            late.commit(commits(1, FIRST, &letters));
            assert_eq!(late.logged(), folding.logged());
            late.recall(entries.clone());
            assert_eq!(marks(&late), marks(&whole));
        }
        assert!(entries.len() > 100);
        assert_eq!(marks(&folding), marks(&whole));
    }

    fn marks(stage: &Stage) -> Vec<crate::live::chain::Mark> {
        stage.entries().iter().map(|entry| entry.mark.clone()).collect()
    }

    #[test]
    fn a_time_off_is_folded_too() {
        let mut stage = Stage::new(timelines(vec![timeline(1, FIRST)]), Vec::new());
        stage.commit(commits(1, FIRST, "sss").into_iter().chain(commits(1, FIRST + 10_000, &"s".repeat(70))));
        assert_eq!(plan(&stage, &edition(60, 0)).map(|index| index.commits.len()), Some(3));
    }
}
