//! Stores what the audit trail counted, once in a while and at the end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::timer;
use crate::{clock::now_ms, delivery::Audit};

const EVERY: Duration = Duration::from_secs(1);

/// Runs until `stop`.
pub async fn run(audit: &Audit, stop: &CancellationToken) {
    let mut timer = timer(EVERY);
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        audit.tick(now_ms()).await;
    }
    audit.tick(now_ms()).await;
}
