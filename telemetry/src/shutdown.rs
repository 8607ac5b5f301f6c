//! The two steps of a shutdown. Draining: what runs is finished, nothing new is begun. Stopping:
//! what runs is released to others.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a drain may take before it becomes a stop. About half of the 15 s within which every
/// role ends: what runs is then killed and handed back, and a farm's own NATS is stopped last.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(7);

/// What every loop of a process listens to.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Finish what runs, begin nothing.
    pub drain: CancellationToken,
    /// Release what runs and return.
    pub stop: CancellationToken,
}

impl Shutdown {
    /// Neither has been asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on the first SIGINT or SIGTERM drains and the second stops. A drain, whoever asked
    /// for it, becomes a stop after [`DRAIN_TIME_MAX`]. To be called inside a runtime.
    pub fn on_signals(&self) {
        self.listen(DRAIN_TIME_MAX);
    }

    fn listen(&self, drain_max: Duration) {
        // Registered here, not in the task: a signal that comes at once is not missed.
        let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT may be handled inside a runtime with I/O");
        let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM may be handled inside a runtime with I/O");
        let shutdown = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = shutdown.drain.cancelled() => {}
                () = shutdown.stop.cancelled() => {}
            }
            if !shutdown.stop.is_cancelled() {
                tracing::info!(seconds_max = drain_max.as_secs(), "draining; a second signal stops at once");
            }
            shutdown.drain.cancel();
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = tokio::time::sleep(drain_max) => {}
                () = shutdown.stop.cancelled() => {}
            }
            tracing::info!("stopping");
            shutdown.stop.cancel();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_becomes_a_stop() {
        let shutdown = Shutdown::new();
        shutdown.listen(Duration::from_millis(20));
        shutdown.drain.cancel();
        tokio::time::timeout(Duration::from_secs(10), shutdown.stop.cancelled()).await.unwrap();
    }
}
