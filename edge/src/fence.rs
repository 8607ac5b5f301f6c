//! Whether this edge may serve: not before it has applied every purge it could have missed.

use std::sync::atomic::{AtomicU64, Ordering};

use framemill_queue::Queue;

/// Stands between a connection to NATS and the viewers.
///
/// Without a connection the edge serves what it has, once it has begun: purges cannot reach it, and viewers should not
/// pay for that. With one it serves only when the purges up to that connection are applied.
#[derive(Debug)]
pub struct Fence {
    /// The connection that was caught up with; 0: none yet.
    caught_up: AtomicU64,
}

impl Fence {
    /// One that lets nothing through yet.
    pub const fn new() -> Self {
        Self { caught_up: AtomicU64::new(0) }
    }

    /// Says that every purge there was when this connection was made is applied.
    pub fn open(&self, connection: u64) {
        self.caught_up.fetch_max(connection, Ordering::AcqRel);
    }

    /// Whether viewers may be served.
    pub fn is_open(&self, queue: &Queue) -> bool {
        may_serve(self.caught_up.load(Ordering::Acquire), queue.connection())
    }
}

/// Takes the connection that was caught up with (0: none), and the one there is.
fn may_serve(caught_up: u64, connection: Option<u64>) -> bool {
    caught_up > 0 && connection.is_none_or(|connection| connection <= caught_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_serves_once_it_has_caught_up_and_while_it_is_cut_off() {
        for (caught_up, connection, serves) in [
            (0, None, false),
            (0, Some(1), false),
            (1, Some(1), true),
            (1, None, true),
            (1, Some(2), false),
            (2, Some(2), true),
        ] {
            assert_eq!(may_serve(caught_up, connection), serves, "{caught_up} {connection:?}");
        }
    }
}
