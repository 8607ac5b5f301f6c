//! How well an edge serves: from what it counted lately, and from what is behind it. Pure.

use std::collections::VecDeque;

/// Readings that are looked back over.
const READINGS_MAX: usize = 6;
/// Fewer answers say nothing about a share of them.
const ANSWERS_MIN: u64 = 20;
/// What is left of an edge none of whose origins answers: it shows what it has.
const NO_ORIGIN: u64 = 40;
/// What it loses when some of them do not, at most.
const SOME_ORIGINS: u64 = 20;
/// What it loses for each percent of answers that are faults.
const FAULT: u64 = 3;

/// What was counted up to a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Bytes of bodies.
    pub sent_bytes: u64,
    /// Answers.
    pub answers: u64,
    /// Answers that were faults of the edge or its origins (5xx).
    pub faults: u64,
}

/// The last readings.
#[derive(Clone, Debug, Default)]
pub struct Window(VecDeque<Reading>);

impl Window {
    /// Takes a reading.
    pub fn push(&mut self, reading: Reading) {
        if self.0.len() >= READINGS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(reading);
    }

    /// Bytes per second over it.
    pub fn sent_bytes_per_s(&self) -> u64 {
        let Some((first, last)) = self.0.front().zip(self.0.back()) else { return 0 };
        let took_ms = last.at_ms.saturating_sub(first.at_ms);
        let sent = last.sent_bytes.saturating_sub(first.sent_bytes);
        u64::try_from(took_ms).ok().and_then(|ms| sent.saturating_mul(1000).checked_div(ms)).unwrap_or(0)
    }

    /// Answers over it, and how many of them were faults.
    fn answers(&self) -> (u64, u64) {
        let Some((first, last)) = self.0.front().zip(self.0.back()) else { return (0, 0) };
        (last.answers.saturating_sub(first.answers), last.faults.saturating_sub(first.faults))
    }

    /// The score, 0 to 100: takes whether the edge may serve, and how many of its origins answer.
    pub fn health(&self, serves: bool, (good, all): (usize, usize)) -> u8 {
        if !serves {
            return 0;
        }
        let (good, all) = (good as u64, all as u64);
        let origins = match good {
            0 if all > 0 => NO_ORIGIN,
            _ => 100 - (SOME_ORIGINS * all.saturating_sub(good)).checked_div(all).unwrap_or(0),
        };
        let (answers, faults) = self.answers();
        let percent = if answers < ANSWERS_MIN { 0 } else { faults * 100 / answers };
        origins.saturating_sub(percent * FAULT) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(answers: u64, faults: u64) -> Window {
        let mut window = Window::default();
        window.push(Reading::default());
        window.push(Reading { at_ms: 2000, sent_bytes: 10_000, answers, faults });
        window
    }

    #[test]
    fn an_edge_is_as_well_as_what_it_answers_and_what_is_behind_it() {
        for (serves, origins, answers, faults, health) in [
            (true, (1, 1), 0, 0, 100),
            (true, (2, 2), 100, 0, 100),
            (false, (2, 2), 100, 0, 0),
            (true, (0, 2), 0, 0, 40),
            (true, (1, 2), 0, 0, 90),
            (true, (1, 1), 100, 10, 70),
            (true, (1, 1), 100, 50, 0),
            // Too few to say.
            (true, (1, 1), 19, 19, 100),
            (true, (0, 0), 0, 0, 100),
        ] {
            assert_eq!(
                window(answers, faults).health(serves, origins),
                health,
                "{serves} {origins:?} {answers} {faults}"
            );
        }
    }

    #[test]
    fn only_the_last_seconds_count() {
        assert_eq!(Window::default().sent_bytes_per_s(), 0);
        let mut window = window(100, 100);
        assert_eq!((window.sent_bytes_per_s(), window.health(true, (1, 1))), (5000, 0));
        for second in 0..READINGS_MAX as i64 {
            window.push(Reading { at_ms: 4000 + second * 2000, sent_bytes: 10_000, answers: 200, faults: 100 });
        }
        assert_eq!((window.sent_bytes_per_s(), window.health(true, (1, 1))), (0, 100));
    }
}
