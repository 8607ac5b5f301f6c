//! What goes between the farm's processes and the server.

use std::sync::atomic::Ordering;

use async_nats::Client;
use serde::Serialize;

/// Messages, in all or per job. What is stored, read, pulled, delivered and acked are messages all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// Messages the server took in.
    pub into_server: f64,
    /// Messages the server sent.
    pub out_of_server: f64,
}

impl Traffic {
    /// What came over these connections so far.
    pub fn of(clients: &[&Client]) -> Self {
        let mut traffic = Self::default();
        for client in clients {
            let seen = client.statistics();
            traffic.into_server += seen.out_messages.load(Ordering::Relaxed) as f64;
            traffic.out_of_server += seen.in_messages.load(Ordering::Relaxed) as f64;
        }
        traffic
    }

    /// What came since `before`, for each of `jobs`.
    pub fn per_job(self, before: Self, jobs: u64) -> Self {
        let each = |now: f64, before: f64| (now - before) / jobs.max(1) as f64;
        Self {
            into_server: each(self.into_server, before.into_server),
            out_of_server: each(self.out_of_server, before.out_of_server),
        }
    }
}
