//! The memory that segments take on their way to the store: one bound for all jobs of a worker.
//!
//! A store that is slow or away fills it. Then every encoder waits in its pipe, and the gate is
//! closed: another job would only wait with them.

use std::sync::atomic::{AtomicBool, Ordering};

use framemill_queue::runner::Gate;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::metrics::Metrics;

/// Why the gate is closed.
const FULL: &str = "memory for segments is full";

/// Memory, counted in KiB.
pub(crate) struct Held {
    free: Semaphore,
    kib_max: u32,
    full: AtomicBool,
    gate: Gate,
    metrics: Metrics,
}

/// A part of it; free again when dropped.
pub(crate) struct Share<'a> {
    held: &'a Held,
    permit: Option<SemaphorePermit<'a>>,
}

impl Held {
    pub fn new(kib_max: u32, gate: Gate, metrics: Metrics) -> Self {
        Self { free: Semaphore::new(kib_max as usize), kib_max, full: AtomicBool::new(false), gate, metrics }
    }

    /// Takes what `bytes` need, and waits until it is free. More than there is takes all of it,
    /// and so goes alone.
    pub async fn take(&self, bytes: usize) -> Share<'_> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(self.kib_max).min(self.kib_max);
        let permit = match self.free.try_acquire_many(kib) {
            Ok(permit) => permit,
            Err(_) => {
                self.fill();
                self.free.acquire_many(kib).await.expect("the semaphore is never closed")
            }
        };
        self.metrics.held(self.bytes());
        Share { held: self, permit: Some(permit) }
    }

    /// Bytes in use.
    fn bytes(&self) -> u64 {
        (u64::from(self.kib_max) - self.free.available_permits() as u64) * 1024
    }

    fn fill(&self) {
        if !self.full.swap(true, Ordering::Relaxed) {
            tracing::warn!(held_bytes = self.bytes(), "the memory for segments is full: encoders wait for the store");
            self.gate.close(FULL);
        }
    }

    fn freed(&self) {
        let bytes = self.bytes();
        self.metrics.held(bytes);
        // Well below the bound, so that the gate does not swing with every segment.
        if bytes <= u64::from(self.kib_max) * 1024 / 2 && self.full.swap(false, Ordering::Relaxed) {
            tracing::info!(held_bytes = bytes, "the memory for segments has room again");
            self.gate.open(FULL);
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.held.freed();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_has_to_wait_closes_the_gate_until_half_is_free() {
        let gate = Gate::default();
        let held = Held::new(10, gate.clone(), Metrics::new());
        let one = held.take(4 * 1024 - 1).await;
        let other = held.take(4 * 1024 - 1).await;
        assert!(gate.is_open() && held.bytes() == 8 * 1024);
        // More than there is at all waits for all of it.
        let mut third = std::pin::pin!(held.take(1_000_000));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(!gate.is_open());
        drop(one);
        assert!(third.as_mut().now_or_never().is_none());
        drop(other);
        let third = third.await;
        // Open for a moment while nothing was held: what waits next closes it again.
        assert_eq!(held.bytes(), 10 * 1024);
        assert!(held.take(1).now_or_never().is_none());
        assert!(!gate.is_open());
        drop(third);
        assert!(gate.is_open() && held.bytes() == 0);
    }
}
