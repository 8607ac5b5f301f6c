//! The sources that are kept open: those of the edition, and those that a timeline still reads.

use std::time::Instant;

use framemill_schemas::live::{Edition, Timeline, Timelines};

use super::{
    super::source::{Seen, Source},
    Replica,
};

impl Replica {
    /// The source that a timeline is made from.
    pub(super) fn source_of(&self, timeline: &Timeline) -> Option<&Source> {
        self.sources.iter().chain(&self.former).find(|source| *source.spec() == timeline.origin)
    }

    pub(super) fn seen_of(&self, timeline: &Timeline) -> Option<Seen> {
        self.source_of(timeline).map(|source| source.seen(Instant::now()))
    }

    /// Opens what the edition names, and closes what it does not name any more.
    pub(super) fn keep_sources(&mut self, edition: &Edition) {
        if self.edition == Some(edition.number) {
            return;
        }
        self.edition = Some(edition.number);
        let mut before = std::mem::take(&mut self.sources);
        before.append(&mut self.former);
        for spec in &edition.sources {
            let kept = before.iter().position(|source| source.spec() == spec);
            let source = match kept {
                Some(at) => before.swap_remove(at),
                None => Source::keep(spec.clone(), self.means.ingest.clone()),
            };
            self.sources.push(source);
        }
        // A timeline goes on until another is there.
        self.former = before;
    }

    /// Closes what no timeline reads any more.
    pub(super) fn forget_former(&mut self, timelines: &Timelines) {
        let last = timelines.last().map(|last| &last.origin);
        let runs = &self.runs;
        self.former.retain(|source| {
            last == Some(source.spec()) || runs.iter().any(|running| running.run.timeline.origin == *source.spec())
        });
    }
}
