//! The chain of a channel's numbers: each compared with the one before, which tells where a playlist breaks.
//! Pure: any packager that has heard the same commits, in whatever order, has the same chain.

use std::{collections::BTreeMap, sync::Arc};

use framemill_schemas::live::{Commit, Committed, Timeline};
use serde::{Deserialize, Serialize};

// A hole that is longer than these numbers cuts the past off.
pub use framemill_schemas::live::HOLE_MAX;

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
