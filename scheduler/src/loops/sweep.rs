//! Publishes the hint of every ready job again. Whoever makes a job ready publishes its hint, but
//! may die between the two; a subject takes at most one message, so a repeat costs nothing.

use std::{sync::Arc, time::Duration};

use framemill_queue::{Queue, QueueError};
use framemill_schemas::{
    ids::{AssetId, JobId},
    job::JobState,
};
use futures_util::{TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::chain,
    clock::now_ms,
    view::{JobSummary, View},
};

const EVERY: Duration = Duration::from_secs(5);
/// Ready for less than this, a job's hint is most likely on its way.
const SETTLED_MS: i64 = 2000;
/// Hints published by one pass: a long queue is swept over several.
const HINTS_PER_PASS: usize = 500;
/// Of these, how many at the same time.
const HINTS_AT_ONCE: usize = 8;

/// Where a pass is among all jobs.
type Place = (AssetId, JobId);

fn place(job: &JobSummary) -> Place {
    (job.asset, job.id)
}

/// Runs until `stop`.
pub async fn run(queue: &Queue, view: &View, stop: &CancellationToken) {
    let mut after = None;
    let mut timer = tokio::time::interval(EVERY);
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        after = tick(queue, view, after).await;
    }
}

/// One pass over the ready jobs that sort behind `after`; returns where the next one goes on.
pub async fn tick(queue: &Queue, view: &View, after: Option<Place>) -> Option<Place> {
    let settled = now_ms() - SETTLED_MS;
    let mut jobs = view.jobs_in(&[JobState::Ready]);
    jobs.retain(|job| job.ready_ms < settled);
    let (jobs, last) = portion(jobs, after);
    let sent = stream::iter(jobs.into_iter().map(Ok))
        .try_for_each_concurrent(HINTS_AT_ONCE, |job| async move { send(queue, &job).await });
    if let Err(error) = sent.await {
        tracing::warn!(error = %chain(&error), "sweep interrupted");
        return after;
    }
    last
}

/// What one pass takes of the jobs that wait, and the last of them where more are left.
fn portion(mut jobs: Vec<Arc<JobSummary>>, after: Option<Place>) -> (Vec<Arc<JobSummary>>, Option<Place>) {
    jobs.retain(|job| after.is_none_or(|after| place(job) > after));
    jobs.sort_by_key(|job| place(job));
    let more = jobs.len() > HINTS_PER_PASS;
    jobs.truncate(HINTS_PER_PASS);
    let last = jobs.last().filter(|_| more).map(|job| place(job));
    (jobs, last)
}

/// Publishes one job's hint, if it is ready still.
async fn send(queue: &Queue, job: &JobSummary) -> Result<(), QueueError> {
    // The record, not the view: what is published carries the revision that is ready now.
    match queue.jobs().get(&job.record_key()).await? {
        Some((record, revision)) if record.state == JobState::Ready => queue.dispatch(&record, revision).await,
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ops::sample;

    #[test]
    fn passes_reach_every_job() {
        let count = 2 * HINTS_PER_PASS + 2;
        let numbered = |number: usize| {
            let mut record = sample::job(JobState::Ready);
            record.id = JobId::new(Uuid::from_u128(number as u128));
            Arc::new(JobSummary::of(1, record))
        };
        let jobs: Vec<_> = (0..count).rev().map(numbered).collect();
        let (mut swept, mut after) = (Vec::new(), None);
        loop {
            let (portion, last) = portion(jobs.clone(), after);
            assert!(portion.len() <= HINTS_PER_PASS);
            swept.extend(portion.iter().map(|job| job.id));
            after = last;
            if after.is_none() {
                break;
            }
        }
        let all: Vec<_> = (0..count).map(|number| JobId::new(Uuid::from_u128(number as u128))).collect();
        assert_eq!(swept, all);
    }
}
