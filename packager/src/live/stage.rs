//! A channel as its playlists show it: the log, and what was folded out of it, as one chain of numbers.
//! Pure: any packager that has heard the same commits, in whatever order, has the same chain.

use std::{collections::BTreeMap, sync::Arc};

use framemill_schemas::live::{Commit, Committed, Timeline, Timelines};
use serde::{Deserialize, Serialize};

/// Most numbers that may be missing between two commits and are still waited for: they are declared
/// gaps. A longer hole is a time in which the channel was off, and cuts the past off.
pub const HOLE_MAX: u64 = 256;

/// What is published of a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Whether it is filler.
    pub filler: bool,
    /// The init of each rendition, in the order of the timeline.
    pub inits: Vec<String>,
}

/// Where the chain is at a number: what the next one is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The number.
    pub number: u64,
    /// The timeline it lies on.
    pub timeline: u32,
    /// Whether nothing is published of it.
    pub gap: bool,
    /// Discontinuities of the channel so far, with one right before this number.
    pub breaks: u64,
    /// The first number of the stretch without a break and without a gap that it lies in.
    pub stretch: u64,
    /// The first number since the channel was off.
    pub run: u64,
    /// What was published last, up to and with this number; nothing since a break.
    pub media: Option<Media>,
}

impl Mark {
    /// The mark of a number behind `before`. A break is a discontinuity (RFC 8216, clause 4.3.2.3): another
    /// timeline, filler after the source or the reverse, another init, or a time off. A gap is none.
    fn behind(before: Option<&Self>, breaks: u64, number: u64, timeline: u32, media: Option<Media>) -> Self {
        let gap = media.is_none();
        let Some(before) = before else {
            return Self { number, timeline, gap, breaks, stretch: number, run: number, media };
        };
        let joined = before.number + 1 == number;
        let differs = media.is_some() && before.media.is_some() && media != before.media;
        let broken = !joined || before.timeline != timeline || differs;
        Self {
            number,
            timeline,
            gap,
            breaks: before.breaks + u64::from(broken),
            stretch: if broken || gap || before.gap { number } else { before.stretch },
            run: if joined { before.run } else { number },
            media: media.or_else(|| before.media.clone().filter(|_| !broken)),
        }
    }
}

/// A number as playlists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the chain is at it.
    pub mark: Mark,
    /// The timeline it lies on.
    pub timeline: Arc<Timeline>,
    /// Size of each rendition, in the order of the timeline; empty for a gap.
    pub bytes: Box<[u64]>,
    /// When it was committed, Unix milliseconds.
    pub at_ms: i64,
    /// Its place in the log; 0 once it is folded.
    pub revision: u64,
}

impl Entry {
    /// The number.
    pub fn number(&self) -> u64 {
        self.mark.number
    }

    /// Its length in milliseconds.
    pub fn millis(&self) -> u64 {
        let time = self.timeline.time_ms(self.number());
        u64::try_from(time.end - time.start).unwrap_or_default()
    }
}

/// A commit and its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// What became of the number.
    pub commit: Commit,
    /// Its place in the log.
    pub revision: u64,
}

/// What a chain is joined to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Root<'a> {
    /// The number before it, where that is known.
    pub before: Option<&'a Mark>,
    /// Discontinuities before it, where the number before is not known.
    pub breaks: u64,
    /// The number it begins with, where there is none before.
    pub begin: Option<u64>,
}

/// The chain of the logged numbers behind `root`, up to the first one that is waited for.
pub fn chain(root: Root<'_>, timelines: &[Arc<Timeline>], log: &BTreeMap<u64, Logged>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::with_capacity(log.len());
    let newest = timelines.last().map_or(0, |timeline| timeline.id);
    for (&number, logged) in log {
        let mark = entries.last().map(|entry| &entry.mark).or(root.before);
        let awaited = mark.map(|mark| mark.number + 1).or(root.begin).unwrap_or(number);
        // Older than every timeline that is known: nobody can tell any more what it was.
        let timeline = timelines.iter().rfind(|timeline| timeline.first <= number);
        let Some(timeline) = timeline.filter(|_| awaited <= number) else { continue };
        if (1..=HOLE_MAX).contains(&(number - awaited)) || logged.commit.timeline > newest {
            break;
        }
        let mark = Mark::behind(mark, root.breaks, number, timeline.id, media(&logged.commit, timeline));
        let tracks = if mark.gap { &[] } else { logged.commit.what.tracks() };
        let bytes = tracks.iter().map(|track| track.bytes).collect();
        let (at_ms, revision) = (logged.commit.at_ms, logged.revision);
        entries.push(Entry { mark, timeline: timeline.clone(), bytes, at_ms, revision });
    }
    entries
}

/// What a commit publishes on a timeline. One on an older timeline, which a newer one cuts off, publishes
/// nothing, and neither does one that has not every rendition.
fn media(commit: &Commit, timeline: &Timeline) -> Option<Media> {
    let tracks = commit.what.tracks();
    if commit.timeline != timeline.id || tracks.len() != timeline.renditions().count() {
        return None;
    }
    let inits = tracks.iter().map(|track| track.init.clone()).collect();
    match commit.what {
        Committed::Gap { .. } => None,
        Committed::Filler { .. } => Some(Media { filler: true, inits }),
        Committed::Segment { .. } => Some(Media { filler: false, inits }),
    }
}

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
