//! When a number is declared a gap. Pure: the times are what the caller says they are.
//!
//! Silence is judged by the packager's own clock, from when it saw the chain move last, and anew after the
//! connection came back: what was not heard in one piece proves nothing. The wall clock only ever keeps a
//! number from being declared a gap before its time.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use framemill_schemas::live::Timeline;

/// What is seen of a channel at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Whether it is wanted on air and there is a connection.
    pub on: bool,
    /// How often the connection came back.
    pub reconnects: u64,
    /// The number that is waited for, and its timeline.
    pub awaited: Option<(u64, &'a Timeline)>,
    /// The first number behind it that is committed already.
    pub beyond: Option<u64>,
    /// Whether the number before it is a gap.
    pub behind_gap: bool,
    /// By the caller's own clock.
    pub now: Instant,
    /// By the wall clock, Unix milliseconds.
    pub now_ms: i64,
}

/// Waits for a channel's next number.
#[derive(Debug, Default)]
pub struct Vigil {
    /// What is waited for, since when, and how often the connection had come back by then.
    since: Option<(u64, Instant, u64)>,
}

impl Vigil {
    /// The numbers that are gaps by now; empty while there is hope.
    pub fn due(&mut self, sight: &Sight<'_>) -> Range<u64> {
        let none = 0..0;
        let Some((number, timeline)) = sight.awaited.filter(|_| sight.on) else {
            self.since = None;
            return none;
        };
        let since = match self.since {
            Some((waited, since, reconnects)) if (waited, reconnects) == (number, sight.reconnects) => since,
            _ => sight.now,
        };
        self.since = Some((number, since, sight.reconnects));
        if sight.now.duration_since(since) < patience(timeline, sight.behind_gap) {
            return none;
        }
        // Where later numbers are there already, all that is missing before them is: one would not catch up.
        let end = sight.beyond.unwrap_or(number + 1).max(number + 1);
        let past = (number..end).take_while(|number| is_past(timeline, *number, sight.now_ms)).count();
        number..number + past as u64
    }

    /// How long until a look is worth while.
    pub fn rest(&self, sight: &Sight<'_>) -> Option<Duration> {
        let (_, since, _) = self.since?;
        let (_, timeline) = sight.awaited?;
        let left = patience(timeline, sight.behind_gap).saturating_sub(sight.now.duration_since(since));
        // By the wall clock it may take longer: looked at again and again.
        Some(left.max(Duration::from_millis(timeline.segment_ms() / 8)))
    }
}

/// Two and a half segments; behind a gap one, so that a channel that is off falls no further behind.
fn patience(timeline: &Timeline, behind_gap: bool) -> Duration {
    let segment = Duration::from_millis(timeline.segment_ms());
    if behind_gap { segment } else { segment * 5 / 2 }
}

/// Whether a number ended one and a half segments ago.
fn is_past(timeline: &Timeline, number: u64, now_ms: i64) -> bool {
    let late_ms = i64::try_from(timeline.segment_ms() * 3 / 2).unwrap_or(i64::MAX);
    timeline.time_ms(number).end.saturating_add(late_ms) <= now_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::sample::{FIRST, START_MS, timeline};

    /// Looks at these seconds, and tells what is due at the last of them.
    fn look(seconds: &[(u64, u64)], change: impl Fn(&mut Sight<'_>)) -> u64 {
        let timeline = timeline(1, FIRST);
        let start = Instant::now();
        let mut vigil = Vigil::default();
        let mut due = 0..0;
        for &(second, reconnects) in seconds {
            let mut sight = Sight {
                on: true,
                reconnects,
                awaited: Some((FIRST + 1, &timeline)),
                beyond: None,
                behind_gap: false,
                now: start + Duration::from_secs(second),
                now_ms: START_MS + 8_000 + i64::try_from(second).unwrap() * 1000,
            };
            change(&mut sight);
            due = vigil.due(&sight);
        }
        due.end - due.start
    }

    #[test]
    fn a_number_is_a_gap_after_two_and_a_half_segments_heard_in_one_piece() {
        let same = |_: &mut Sight<'_>| {};
        for (seconds, expected) in [
            (&[(0, 0)][..], 0),
            (&[(0, 0), (9, 0)], 0),
            (&[(0, 0), (10, 0)], 1),
            // The connection came back: counted anew.
            (&[(0, 0), (9, 1), (11, 1)], 0),
            (&[(0, 0), (9, 1), (18, 1)], 0),
            (&[(0, 0), (9, 1), (19, 1)], 1),
        ] {
            assert_eq!(look(seconds, same), expected, "{seconds:?}");
        }
    }

    #[test]
    fn never_ahead_of_time_and_never_off_air() {
        let long = &[(0, 0), (100, 0)];
        assert_eq!(look(long, |sight| sight.on = false), 0);
        assert_eq!(look(long, |sight| sight.awaited = None), 0);
        // It ended less than one and a half segments ago.
        assert_eq!(look(long, |sight| sight.now_ms = START_MS + 13_999), 0);
        assert_eq!(look(long, |sight| sight.now_ms = START_MS + 14_000), 1);
    }

    #[test]
    fn behind_a_gap_one_a_segment_and_before_a_segment_all() {
        let gap = |sight: &mut Sight<'_>| sight.behind_gap = true;
        assert_eq!(look(&[(0, 0), (3, 0)], gap), 0);
        assert_eq!(look(&[(0, 0), (6, 0)], gap), 1);
        let beyond = |sight: &mut Sight<'_>| sight.beyond = Some(FIRST + 5);
        assert_eq!(look(&[(0, 0), (60, 0)], beyond), 4);
        // The last of them are not past yet.
        assert_eq!(look(&[(0, 0), (11, 0)], beyond), 2);
    }
}
