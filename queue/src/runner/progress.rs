//! How far an attempt is, said at most twice a second, and how fast it goes.

use std::time::Duration;

use framemill_schemas::{
    ids::NodeId,
    job::JobRecord,
    presence::Progress,
    rate::frames_to_ticks,
    spec::{AUDIO_RATE, JobSpec},
};
use tokio::{sync::watch, time::Instant};

/// Shortest time between two messages.
const PAUSE: Duration = Duration::from_millis(500);

/// Turns what a handler reports into messages.
pub(super) struct Reporter {
    reports: watch::Receiver<(u64, u64)>,
    due: Instant,
    /// First report and when it came: a resumed attempt does not start at nothing.
    first: Option<(u64, Instant)>,
}

impl Reporter {
    pub fn new(reports: watch::Receiver<(u64, u64)>) -> Self {
        Self { reports, due: Instant::now(), first: None }
    }

    /// Waits for the next report worth sending. Cancel-safe.
    pub async fn next(&mut self) -> (u64, u64) {
        tokio::time::sleep_until(self.due).await;
        if self.reports.changed().await.is_err() {
            // The handler dropped its end: nothing more is reported.
            std::future::pending::<()>().await;
        }
        self.due = Instant::now() + PAUSE;
        *self.reports.borrow_and_update()
    }

    pub fn message(&mut self, job: &JobRecord, node: &NodeId, (done, total): (u64, u64)) -> Progress {
        let now = Instant::now();
        let (first, since) = *self.first.get_or_insert((done, now));
        Progress {
            asset_id: job.asset,
            job_id: job.id,
            kind: job.kind(),
            node: node.clone(),
            done,
            total,
            speed_milli: speed_milli(&job.spec, done.saturating_sub(first), now - since),
        }
    }
}

/// Thousandths of real time; 0 while unknown, and for jobs without a media time.
fn speed_milli(spec: &JobSpec, done: u64, wall: Duration) -> u64 {
    let media_us = match spec {
        JobSpec::Transcode(spec) => frames_to_ticks(done, spec.grid.rate, 1_000_000),
        JobSpec::Audio(_) => done.saturating_mul(1_000_000) / u64::from(AUDIO_RATE),
        _ => return 0,
    };
    let wall_us = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
    media_us.saturating_mul(1000).checked_div(wall_us).unwrap_or(0)
}
