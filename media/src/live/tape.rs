//! The last seconds of a source, so that an encoder can start, or start again, in the middle of a
//! picture's life: from the entry before the frame that is wanted. Pure.

use std::collections::VecDeque;

use bytes::Bytes;
use framemill_schemas::live::WRAP_TICKS;

use super::ts::{Picture, Span};

/// Most that is kept, bytes: half a minute at 20 Mbit/s.
const BYTES_MAX: usize = 80 * 1024 * 1024;
/// Most that is kept, ticks of 90 kHz: half a minute.
const TICKS_MAX: u64 = 30 * 90_000;
/// A step of the decoding time that no source makes in one piece, forward and back.
const JUMP_TICKS: std::ops::RangeInclusive<i64> = -90_000..=5 * 90_000;
/// A step that repeats what came: a source that was opened again begins a little before its end.
const REPEAT_TICKS: std::ops::RangeInclusive<i64> = -90_000..=0;

/// A place on a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reel {
    /// Counts spans since the start.
    pub at: u64,
    /// Which uninterrupted stretch of timestamps it lies on.
    pub epoch: u32,
}

/// What is kept of a source.
#[derive(Debug, Default)]
pub struct Tape {
    spans: VecDeque<Span>,
    /// Number of the first span that is kept.
    first: u64,
    bytes: usize,
    tables: Bytes,
    epoch: u32,
    last: Option<Picture>,
    /// Whether what comes came before.
    repeats: bool,
}

impl Tape {
    /// The program is another one from here on.
    pub fn retable(&mut self, tables: Bytes) {
        if self.tables != tables && !self.tables.is_empty() {
            self.cut();
        }
        self.tables = tables;
    }

    /// Adds packets. A jump of the timestamps begins another epoch, and nothing of the one before is
    /// kept; says whether it did.
    pub fn push(&mut self, span: Span) -> bool {
        let mut jumped = false;
        if let Some(picture) = span.picture {
            let step = self.last.map(|last| distance(last.dts, picture.dts));
            self.repeats = step.is_some_and(|step| REPEAT_TICKS.contains(&step));
            jumped = step.is_some_and(|step| !JUMP_TICKS.contains(&step));
            if jumped {
                self.cut();
            }
            if !self.repeats {
                self.last = Some(picture);
            }
        }
        if self.repeats {
            return false;
        }
        self.bytes += span.bytes.len();
        self.spans.push_back(span);
        self.forget();
        jumped
    }

    /// The source was opened anew: what comes does not continue what came.
    pub fn cut(&mut self) {
        self.first += self.spans.len() as u64;
        self.spans.clear();
        self.bytes = 0;
        self.last = None;
        self.repeats = false;
        self.epoch += 1;
    }

    /// The tables a decoder needs first.
    pub fn tables(&self) -> Bytes {
        self.tables.clone()
    }

    /// Which uninterrupted stretch of timestamps is being taken.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The last picture that started.
    pub fn last(&self) -> Option<Picture> {
        self.last
    }

    /// The first entry that is kept, and when it is shown.
    pub fn oldest_entry(&self) -> Option<(Reel, u64)> {
        self.entries().next()
    }

    /// The first entry that is shown at `pts` or later, else the last one there is.
    pub fn entry_since(&self, pts: u64) -> Option<(Reel, u64)> {
        let later = self.entries().find(|(_, shown)| distance(pts, *shown) >= 0);
        later.or_else(|| self.entries().last())
    }

    /// The last entry that is shown at `pts` or before.
    pub fn entry_before(&self, pts: u64) -> Option<Reel> {
        self.entries().filter(|(_, shown)| distance(*shown, pts) >= 0).last().map(|(reel, _)| reel)
    }

    fn entries(&self) -> impl Iterator<Item = (Reel, u64)> {
        let entry = |(at, span): (usize, &Span)| {
            let picture = span.picture.filter(|picture| picture.entry)?;
            Some((Reel { at: self.first + at as u64, epoch: self.epoch }, picture.pts))
        };
        self.spans.iter().enumerate().filter_map(entry)
    }

    /// What lies from `reel` on, at most `bytes_max` of it but at least one span; `None` where that is
    /// not kept any more, or the timestamps jumped since.
    pub fn read(&self, reel: Reel, bytes_max: usize) -> Option<(Vec<Bytes>, Reel)> {
        if reel.epoch != self.epoch || reel.at < self.first {
            return None;
        }
        let from = usize::try_from(reel.at - self.first).ok()?;
        let mut taken = 0;
        let mut spans = Vec::new();
        for span in self.spans.iter().skip(from) {
            if taken > 0 && taken + span.bytes.len() > bytes_max {
                break;
            }
            taken += span.bytes.len();
            spans.push(span.bytes.clone());
        }
        let next = Reel { at: reel.at + spans.len() as u64, ..reel };
        Some((spans, next))
    }

    /// Pictures from `reel` on.
    pub fn pictures_from(&self, reel: Reel) -> u64 {
        let from = usize::try_from(reel.at.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.spans.iter().skip(from).filter(|span| span.picture.is_some()).count() as u64
    }

    /// Bytes that are kept, and spans.
    pub fn held(&self) -> (usize, usize) {
        (self.bytes, self.spans.len())
    }

    fn forget(&mut self) {
        loop {
            let oldest = self.spans.iter().find_map(|span| span.picture);
            let old = oldest
                .zip(self.last)
                .is_some_and(|(oldest, newest)| distance(oldest.dts, newest.dts).unsigned_abs() > TICKS_MAX);
            let span = if old || self.bytes > BYTES_MAX { self.spans.pop_front() } else { None };
            let Some(span) = span else { return };
            self.bytes -= span.bytes.len();
            self.first += 1;
        }
    }
}

/// Ticks from one timestamp to another, across the wrap, whichever way is shorter.
pub fn distance(from: u64, to: u64) -> i64 {
    let forward = to.wrapping_sub(from) % WRAP_TICKS;
    if forward < WRAP_TICKS / 2 { forward.cast_signed() } else { forward.cast_signed() - WRAP_TICKS.cast_signed() }
}

#[cfg(test)]
#[path = "tape_tests.rs"]
mod tests;
