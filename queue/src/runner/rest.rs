//! How long a runner takes nothing after an outage. Pure.

use std::time::{Duration, Instant};

/// The first rest, doubled with each in a row.
const SHORTEST: Duration = Duration::from_secs(5);
/// Longest rest.
const LONGEST: Duration = Duration::from_secs(60);

/// A runner's rests.
pub(super) struct Rest {
    pause: Duration,
    /// When the last outage was seen first.
    since: Option<Instant>,
    until: Option<Instant>,
}

impl Rest {
    pub fn new() -> Self {
        Self { pause: SHORTEST, since: None, until: None }
    }

    /// An outage ended an attempt that began at `began`. One outage ends many: only an attempt
    /// that began after the last was seen shows that the rest was too short.
    pub fn outage(&mut self, began: Instant, now: Instant) {
        match self.since {
            Some(since) if began < since => {}
            Some(_) => {
                self.pause = (self.pause * 2).min(LONGEST);
                self.since = Some(now);
            }
            None => self.since = Some(now),
        }
        self.until = Some(now + self.pause);
    }

    /// An attempt ended as attempts do.
    pub fn worked(&mut self) {
        self.pause = SHORTEST;
        self.since = None;
    }

    /// Until when nothing is taken, if it is not over.
    pub fn until(&mut self, now: Instant) -> Option<Instant> {
        self.until = self.until.filter(|until| *until > now);
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_doubles_with_each_outage_and_not_with_each_attempt() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut rest = Rest::new();
        let mut until = |began: u64, ended: u64| {
            rest.outage(at(began), at(ended));
            rest.until(at(ended)).map(|until| (until - start).as_secs())
        };
        // One outage ends what ran on four slots.
        for ended in [10, 10, 11] {
            assert_eq!(until(0, ended), Some(ended + 5));
        }
        // One that held out longer still tells of the same.
        assert_eq!(until(1, 30), Some(35));
        // Taken after the rest, and in vain again.
        assert_eq!(until(31, 32), Some(42));
        assert_eq!(until(12, 32), Some(42));
        for (began, lasts) in [(50, 20), (80, 40), (150, 60), (300, 60)] {
            assert_eq!(until(began, began + 1), Some(began + 1 + lasts));
        }
        assert_eq!(rest.until(at(361)), None);
        rest.worked();
        rest.outage(at(400), at(401));
        assert_eq!(rest.until(at(401)), Some(at(406)));
    }
}
