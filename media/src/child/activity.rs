//! Signs of life, and the deadline on them.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// How many limits of silence a child is given in all while it computes: half an hour with
/// [`STALL`](super::STALL).
const SILENT_LIMITS: u32 = 15;
/// Part of a limit that a hung child may compute: its clocks wake it up now and then. One that
/// works beside many others still gets far more.
const IDLE_SHARE: u32 = 100;

/// Counts signs of life, and knows when it is we who hold the child back: a full pipe of ours is
/// no stalled encoder.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    beats: AtomicU64,
    holds: AtomicUsize,
}

/// While it lives, the child waits for us.
pub(crate) struct Hold<'a>(&'a Activity);

impl Activity {
    /// The child did something.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on the child waits for us, until the guard is dropped.
    pub fn hold(&self) -> Hold<'_> {
        self.holds.fetch_add(1, Ordering::Relaxed);
        Hold(self)
    }

    /// Returns once there was no sign of life for `limit`, time in which we held it back left
    /// out, and says how long the silence was. A silent child that computes, as `cpu` tells (the
    /// processor time it took so far), is given further limits, [`SILENT_LIMITS`] of them in all:
    /// it may be decoding its way to the first picture that is wanted.
    pub async fn stalled(&self, limit: Duration, cpu: impl Fn() -> Option<Duration>) -> Duration {
        let step = (limit / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let mut beats = self.beats.load(Ordering::Relaxed);
        let start = Instant::now();
        let mut silence = Silence::from(Duration::ZERO);
        loop {
            sleep(step).await;
            let now = self.beats.load(Ordering::Relaxed);
            if now != beats || self.holds.load(Ordering::Relaxed) > 0 {
                beats = now;
                silence = Silence::from(start.elapsed());
            } else if let Some(silent) = silence.stalled(limit, start.elapsed(), &cpu) {
                return silent;
            }
        }
    }
}

/// A time without a sign of life. Pure, but for what `cpu` reads.
struct Silence {
    since: Duration,
    /// Start of the present limit.
    limit_since: Duration,
    /// Processor time in the middle of the present limit; `None` before.
    before: Option<Option<Duration>>,
}

impl Silence {
    fn from(now: Duration) -> Self {
        Self { since: now, limit_since: now, before: None }
    }

    /// How long it has lasted, once that is too long.
    fn stalled(&mut self, limit: Duration, now: Duration, cpu: impl Fn() -> Option<Duration>) -> Option<Duration> {
        let waited = now - self.limit_since;
        if waited < limit {
            // Not before the deadline comes near: what it did until it hung is no sign of life.
            if waited >= limit / 2 && self.before.is_none() {
                self.before = Some(cpu());
            }
            return None;
        }
        let worked = self.before.flatten().zip(cpu()).map(|(before, after)| after.saturating_sub(before));
        let works = worked.is_some_and(|worked| worked > limit / IDLE_SHARE);
        let silent = now - self.since;
        if !works || silent >= limit * SILENT_LIMITS {
            return Some(silent);
        }
        *self = Self { since: self.since, ..Self::from(now) };
        None
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        // The child starts anew from here: what it does next is counted from now.
        self.0.beat();
        self.0.holds.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_is_a_stall_and_our_own_pause_is_not() {
        let activity = Activity::default();
        let limit = Duration::from_millis(80);
        let hung = || Some(Duration::from_secs(9));
        activity.stalled(limit, hung).await;

        let hold = activity.hold();
        assert!(tokio::time::timeout(limit * 5, activity.stalled(limit, hung)).await.is_err());
        drop(hold);
        assert!(tokio::time::timeout(limit * 50, activity.stalled(limit, hung)).await.is_ok());
    }

    #[test]
    fn a_silent_child_lives_while_it_computes_and_not_for_ever() {
        let limit = Duration::from_secs(120);
        type Used = fn(u64) -> Option<u64>;
        // (milliseconds of processor time so far, by seconds of silence; seconds until it stalls)
        let cases: [(Used, u64); 7] = [
            (|_| None, 120),
            (|at| (at < 100).then_some(at * 1000), 120),
            (|_| Some(5_000_000), 120),
            (|at| Some(at), 120),
            (|at| Some(at * 8000), 1800),
            (|at| Some(at * 100), 1800),
            (|at| Some(at.min(300) * 1000), 360),
        ];
        for (number, (used, expected)) in cases.into_iter().enumerate() {
            let began = 1000;
            let mut silence = Silence::from(Duration::from_secs(began));
            let stalled = (1..10_000).find_map(|at| {
                let cpu = || used(at).map(Duration::from_millis);
                silence.stalled(limit, Duration::from_secs(began + at), cpu)
            });
            assert_eq!(stalled, Some(Duration::from_secs(expected)), "case {number}");
        }
    }
}
