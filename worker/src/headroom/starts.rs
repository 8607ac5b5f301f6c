//! Starts of encoding processes on one device: apart, one after another, channels first. Thirty at once
//! flood the bus and deadlock the memory of a GPU. Pure; times are the caller's.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use framemill_schemas::lane::Priority;

/// How long a process that starts may hold up the next one before its first picture.
const FIRST_PICTURE: Duration = Duration::from_secs(20);
/// Longest gap: it doubles with each start that fails.
const GAP_MAX: Duration = Duration::from_secs(30);

/// Who waits: the most urgent first, and of those the one that came first.
pub type Turn = (Priority, u64);

/// A start that may begin, or when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is this one's turn.
    Now,
    /// Not yet; at this time at the latest it is worth asking again.
    Ask(Option<Instant>),
}

/// The starts of one device.
#[derive(Clone, Debug)]
pub struct Starts {
    gap: Duration,
    failed: u32,
    /// When the last one began.
    last: Option<Instant>,
    /// Whether it has not come to its first picture or its end.
    open: bool,
    waiting: BTreeSet<Turn>,
    serial: u64,
}

impl Starts {
    /// None yet; they will be at least `gap` apart.
    pub fn new(gap: Duration) -> Self {
        Self { gap, failed: 0, last: None, open: false, waiting: BTreeSet::new(), serial: 0 }
    }

    /// Gets in line.
    pub fn line_up(&mut self, priority: Priority) -> Turn {
        self.serial += 1;
        let turn = (priority, self.serial);
        self.waiting.insert(turn);
        turn
    }

    /// Leaves the line.
    pub fn leave(&mut self, turn: Turn) {
        self.waiting.remove(&turn);
    }

    /// Begins, if it is this one's turn.
    pub fn begin(&mut self, turn: Turn, now: Instant) -> Begun {
        if self.waiting.first() != Some(&turn) {
            return Begun::Ask(None);
        }
        match self.free_at(now) {
            Some(at) if at > now => Begun::Ask(Some(at)),
            _ => {
                self.waiting.remove(&turn);
                (self.last, self.open) = (Some(now), true);
                Begun::Now
            }
        }
    }

    /// The one that began last has its first picture.
    pub fn went_well(&mut self) {
        (self.open, self.failed) = (false, 0);
    }

    /// It ended without one.
    pub fn failed(&mut self) {
        (self.open, self.failed) = (false, self.failed.saturating_add(1));
    }

    /// When the next may begin; nothing where it may at once. One that hangs holds up the next for a
    /// while only.
    pub fn free_at(&self, now: Instant) -> Option<Instant> {
        let last = self.last?;
        let gap = (self.gap * 2_u32.pow(self.failed.min(8))).min(GAP_MAX.max(self.gap));
        let at = if self.open { last + FIRST_PICTURE.max(gap) } else { last + gap };
        (at > now).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GAP: Duration = Duration::from_millis(1500);

    #[test]
    fn one_starts_after_the_firsts_first_picture_and_channels_before_titles() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut starts = Starts::new(GAP);
        let bulk = starts.line_up(Priority::Bulk);
        assert_eq!(starts.begin(bulk, at(0)), Begun::Now);
        let (standard, live) = (starts.line_up(Priority::Standard), starts.line_up(Priority::Live));
        assert_eq!(starts.begin(standard, at(100)), Begun::Ask(None));
        assert_eq!(starts.begin(live, at(2000)), Begun::Ask(Some(at(20_000))), "no picture yet");
        starts.went_well();
        assert_eq!(starts.begin(live, at(1000)), Begun::Ask(Some(at(1500))));
        assert_eq!(starts.begin(live, at(1500)), Begun::Now);
        // One that hangs holds up the next only for so long.
        assert_eq!(starts.begin(standard, at(21_500)), Begun::Now);
        assert!(starts.waiting.is_empty());
    }

    #[test]
    fn the_gap_grows_with_each_start_that_fails() {
        let start = Instant::now();
        let mut starts = Starts::new(GAP);
        let mut now = start;
        let mut gaps = Vec::new();
        for _ in 0..7 {
            let turn = starts.line_up(Priority::Bulk);
            assert_eq!(starts.begin(turn, now), Begun::Now);
            starts.failed();
            let free = starts.free_at(now).unwrap();
            gaps.push((free - now).as_millis());
            now = free;
        }
        assert_eq!(gaps, [3000, 6000, 12_000, 24_000, 30_000, 30_000, 30_000]);
        let turn = starts.line_up(Priority::Bulk);
        starts.begin(turn, now);
        starts.went_well();
        assert_eq!(starts.free_at(now), Some(now + GAP));
        starts.leave(turn);
    }

    proptest! {
        #[test]
        fn starts_are_never_closer_than_the_gap(events in prop::collection::vec((0_u8..4, 0_u64..900), 1..200)) {
            let mut now = Instant::now();
            let mut starts = Starts::new(GAP);
            let mut turns = Vec::new();
            let mut last: Option<Instant> = None;
            for (event, ms) in events {
                now += Duration::from_millis(ms);
                match event {
                    0 => turns.push(starts.line_up(if ms % 2 == 0 { Priority::Live } else { Priority::Bulk })),
                    1 => starts.went_well(),
                    2 => starts.failed(),
                    _ => {}
                }
                let mut left = Vec::new();
                for turn in turns.drain(..) {
                    if starts.begin(turn, now) == Begun::Now {
                        prop_assert!(last.is_none_or(|last| now - last >= GAP));
                        last = Some(now);
                    } else {
                        left.push(turn);
                    }
                }
                turns = left;
            }
        }
    }
}
