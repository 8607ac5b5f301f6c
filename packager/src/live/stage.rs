//! A channel as its playlists show it: what was folded out of its log, then what the log says. Pure.

use std::{collections::BTreeMap, sync::Arc};

use framemill_schemas::live::{Timeline, Timelines};

use super::chain::{Entry, Logged, Mark, Root, chain};

/// Everything a packager knows of a channel's numbers.
#[derive(Debug, Default)]
pub struct Stage {
    timelines: Timelines,
    known: Vec<Arc<Timeline>>,
    /// What was committed from the floor on.
    log: BTreeMap<u64, Logged>,
    /// The last of what was folded.
    before: Option<Mark>,
    /// The chain: what was folded, then what the log says.
    entries: Vec<Entry>,
    /// How many of them were folded.
    folded: usize,
}

impl Stage {
    /// With what its record says, and what was folded last.
    pub fn new(timelines: Timelines, folded: Vec<Entry>) -> Self {
        let known = timelines.all.iter().cloned().map(Arc::new).collect();
        let before = folded.last().map(|entry| entry.mark.clone());
        Self { timelines, known, log: BTreeMap::new(), before, folded: folded.len(), entries: folded }
    }

    /// Takes commits, in any order. What lies below the floor is ignored.
    pub fn commit(&mut self, commits: impl IntoIterator<Item = Logged>) {
        let floor = self.timelines.floor;
        let commits = commits.into_iter().filter(|logged| logged.commit.number >= floor);
        // The first record of a number is the only one there ever is.
        commits.for_each(|logged| _ = self.log.entry(logged.commit.number).or_insert(logged));
        self.join();
    }

    /// Takes a newer record of timelines. What is below its floor counts as folded from now on.
    pub fn follow(&mut self, timelines: Timelines) {
        self.known = timelines.all.iter().cloned().map(Arc::new).collect();
        self.join();
        let folded = self.entries.partition_point(|entry| entry.number() < timelines.floor);
        if folded > self.folded {
            self.folded = folded;
            self.before = self.entries[..folded].last().map(|entry| entry.mark.clone());
        }
        self.log = self.log.split_off(&timelines.floor);
        self.timelines = timelines;
        self.join();
    }

    /// Puts older entries, which were read from the index, in front.
    pub fn recall(&mut self, mut older: Vec<Entry>) {
        let first = self.entries.first().map_or(u64::MAX, Entry::number);
        older.retain(|entry| entry.number() < first);
        self.folded += older.len();
        older.append(&mut self.entries);
        self.entries = older;
    }

    /// Forgets what was folded before a number.
    pub fn forget(&mut self, first: u64) {
        let gone = self.entries[..self.folded].partition_point(|entry| entry.number() < first);
        self.entries.drain(..gone);
        self.folded -= gone;
    }

    fn join(&mut self) {
        self.entries.truncate(self.folded);
        let root = Root { before: self.before.as_ref(), breaks: self.timelines.breaks, begin: self.begin() };
        let chained = chain(root, &self.known, &self.log);
        self.entries.extend(chained);
    }

    /// The first number of a channel of which nothing was folded yet.
    fn begin(&self) -> Option<u64> {
        self.known.first().filter(|_| self.timelines.floor == 0).map(|timeline| timeline.first)
    }

    /// The chain, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The part of the chain that the log still holds.
    pub fn logged(&self) -> &[Entry] {
        &self.entries[self.folded..]
    }

    /// What was committed from the floor on.
    pub fn log(&self) -> &BTreeMap<u64, Logged> {
        &self.log
    }

    /// What was folded last, where that is known.
    pub fn before(&self) -> Option<&Mark> {
        self.before.as_ref()
    }

    /// The record of timelines.
    pub fn timelines(&self) -> &Timelines {
        &self.timelines
    }

    /// The timelines that are known.
    pub fn known(&self) -> &[Arc<Timeline>] {
        &self.known
    }

    /// The newest place in the log that the chain has reached.
    pub fn revision(&self) -> u64 {
        self.logged().iter().map(|entry| entry.revision).max().unwrap_or_default()
    }

    /// The number the chain waits for, once there was any, and its timeline.
    pub fn awaited(&self) -> Option<(u64, &Arc<Timeline>)> {
        let behind = self.entries.last().map(|entry| entry.number() + 1);
        let begin = || self.begin().filter(|_| !self.log.is_empty());
        let number = behind.or_else(begin).filter(|number| !self.log.contains_key(number))?;
        self.known.iter().rfind(|timeline| timeline.first <= number).map(|timeline| (number, timeline))
    }

    /// The first number behind the chain that is committed already.
    pub fn beyond(&self) -> Option<u64> {
        let (awaited, _) = self.awaited()?;
        self.log.range(awaited..).next().map(|(number, _)| *number)
    }
}
