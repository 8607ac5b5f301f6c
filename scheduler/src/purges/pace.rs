//! How fast and how often a cache of somebody else is asked. Pure but for the caller's clock.

use std::time::{Duration, Instant};

/// Longest pause between two attempts, whatever the other side asks for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How fast and how often one is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Requests a second, at most.
    pub rate_per_s: u32,
    /// Attempts at one request, the first included.
    pub attempts: u32,
    /// Pause before the second attempt; it doubles.
    pub again: Duration,
}

impl Pace {
    /// As an operator names it.
    pub fn of(rate_per_s: u32) -> Self {
        Self { rate_per_s, attempts: 6, again: Duration::from_millis(500) }
    }

    /// The pause after an attempt, counted from 1; what the other side asks for is honoured within a bound.
    pub fn pause(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let own = self.again.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        asked.map_or(own, |asked| asked.max(own)).min(PAUSE_MAX)
    }
}

/// A bucket of tokens: a second's worth of requests may come at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate_per_s: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub fn new(rate_per_s: u32, now: Instant) -> Self {
        let rate_per_s = f64::from(rate_per_s.max(1));
        Self { rate_per_s, tokens: rate_per_s, at: now }
    }

    /// Takes a token; returns how long to wait until it is there.
    pub fn take(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate_per_s).min(self.rate_per_s) - 1.0;
        self.at = now;
        Duration::from_secs_f64((-self.tokens).max(0.0) / self.rate_per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_comes_at_once_and_the_rest_at_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        for _ in 0..10 {
            assert_eq!(bucket.take(start), Duration::ZERO);
        }
        for late in 1..=3 {
            assert_eq!(bucket.take(start).as_millis(), late * 100);
        }
        // Three are owed; a second later there are seven.
        let later = start + Duration::from_secs(1);
        for _ in 0..7 {
            assert_eq!(bucket.take(later), Duration::ZERO);
        }
        assert!(bucket.take(later) > Duration::ZERO);
        assert_eq!(
            bucket.take(start),
            bucket.take(start) - Duration::from_millis(100),
            "a clock behind takes nothing back"
        );
    }

    #[test]
    fn pauses_double_and_are_bounded() {
        let pace = Pace::of(1);
        let seconds = Duration::from_secs;
        for (attempt, asked, pause) in [
            (1, None, Duration::from_millis(500)),
            (3, None, seconds(2)),
            (60, None, seconds(60)),
            (1, Some(seconds(7)), seconds(7)),
            (4, Some(seconds(1)), seconds(4)),
            (1, Some(seconds(86_400)), seconds(60)),
        ] {
            assert_eq!(pace.pause(attempt, asked), pause, "{attempt} {asked:?}");
        }
    }
}
