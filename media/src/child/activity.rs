//! Signs of life, and the deadline on them.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

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

    /// Returns once there was no sign of life for `limit`, time in which we held it back left out.
    pub async fn stalled(&self, limit: Duration) {
        let step = (limit / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let mut beats = self.beats.load(Ordering::Relaxed);
        let mut since = Instant::now();
        while since.elapsed() < limit {
            sleep(step).await;
            let now = self.beats.load(Ordering::Relaxed);
            if now != beats || self.holds.load(Ordering::Relaxed) > 0 {
                beats = now;
                since = Instant::now();
            }
        }
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
        activity.stalled(limit).await;

        let hold = activity.hold();
        assert!(tokio::time::timeout(limit * 5, activity.stalled(limit)).await.is_err());
        drop(hold);
        assert!(tokio::time::timeout(limit * 50, activity.stalled(limit)).await.is_ok());
    }
}
