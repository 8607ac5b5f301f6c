//! What happens on this edge, counted: connections, answers, bytes.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use super::health::Reading;

/// The counters.
#[derive(Debug, Default)]
pub struct Gauge {
    connections: AtomicU32,
    sent_bytes: AtomicU64,
    answers: AtomicU64,
    faults: AtomicU64,
}

/// A connection that is counted until this is dropped.
pub struct Connected(Arc<Gauge>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gauge {
    /// Counts a connection.
    pub fn connected(self: &Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    /// Counts an answer.
    pub fn answered(&self, status: u16, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.answers.fetch_add(1, Ordering::Relaxed);
        if status >= 500 {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connections now.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// What was counted since the start.
    pub fn read(&self, at_ms: i64) -> Reading {
        Reading {
            at_ms,
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            answers: self.answers.load(Ordering::Relaxed),
            faults: self.faults.load(Ordering::Relaxed),
        }
    }
}
