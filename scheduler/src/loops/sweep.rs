//! Publishes the hint of every ready job again. Whoever makes a job ready publishes its hint, but
//! may die between the two; a subject takes at most one message, so a repeat costs nothing.

use std::time::Duration;

use framemill_queue::Queue;
use framemill_schemas::job::JobState;
use tokio_util::sync::CancellationToken;

use crate::{chain::chain, clock::now_ms, view::View};

const EVERY: Duration = Duration::from_secs(5);
/// Ready for less than this, a job's hint is most likely on its way.
const SETTLED_MS: i64 = 2000;
/// Hints published by one pass: a long queue is swept over several.
const HINTS_PER_PASS: usize = 500;

/// Runs until `stop`.
pub async fn run(queue: &Queue, view: &View, stop: &CancellationToken) {
    let mut after = None;
    let mut timer = tokio::time::interval(EVERY);
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        after = tick(queue, view, after).await;
    }
}

/// One pass over the ready jobs that sort behind `after`; returns where the next one starts.
pub async fn tick(queue: &Queue, view: &View, after: Option<String>) -> Option<String> {
    let settled = now_ms() - SETTLED_MS;
    let mut jobs = view.jobs_in(&[JobState::Ready]);
    jobs.retain(|job| job.ready_ms < settled && after.as_ref().is_none_or(|after| job.record_key > *after));
    jobs.sort_by(|a, b| a.record_key.cmp(&b.record_key));
    for job in jobs.iter().take(HINTS_PER_PASS) {
        // The record, not the view: what is published carries the revision that is ready now.
        let dispatched = match queue.jobs().get(&job.record_key).await {
            Ok(Some((record, revision))) if record.state == JobState::Ready => queue.dispatch(&record, revision).await,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "sweep interrupted");
                return after;
            }
        };
        if let Err(error) = dispatched {
            tracing::warn!(error = %chain(&error), "sweep interrupted");
            return after;
        }
    }
    jobs.get(HINTS_PER_PASS).map(|job| job.record_key.clone())
}
