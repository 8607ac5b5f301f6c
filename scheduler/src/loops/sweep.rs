//! Publishes the hint of every ready job again. Whoever makes a job ready publishes its hint, but
//! may die between the two; a subject takes at most one message, so a repeat costs nothing.
//!
//! A pass takes first what it has not seen since it became ready, newest first, because the one whose
//! maker just died is there; then it goes on with a round over all, for hints that were lost later.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use framemill_queue::{Queue, QueueError, RecordError};
use framemill_schemas::{
    ids::{AssetId, JobId},
    job::JobState,
};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::chain,
    clock::now_ms,
    view::{JobSummary, View},
};

const EVERY: Duration = Duration::from_secs(5);
/// Ready for less than this, a job's hint is most likely on its way.
const SETTLED_MS: i64 = 2000;
/// Hints published by one pass of jobs not seen before.
const NEW_PER_PASS: usize = 500;
/// Hints published by one pass of the round over all: a long queue takes several.
const ROUND_PER_PASS: usize = 500;
/// How many of a pass at the same time.
const HINTS_AT_ONCE: usize = 8;

/// Where the round is among all jobs.
type Place = (AssetId, JobId);

fn place(job: &JobSummary) -> Place {
    (job.asset, job.id)
}

/// Runs until `stop`.
pub async fn run(queue: &Queue, view: &View, stop: &CancellationToken) {
    let mut memory = Memory::default();
    let mut timer = tokio::time::interval(EVERY);
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        let settled = now_ms() - SETTLED_MS;
        let mut ready = view.jobs_in(&[JobState::Ready]);
        ready.retain(|job| job.ready_ms < settled);
        let pass = memory.next(ready);
        let sends = pass.jobs.iter().cloned().map(|job| async move {
            let sent = send(queue, &job).await;
            (job, sent)
        });
        let mut sends = stream::iter(sends).buffer_unordered(HINTS_AT_ONCE);
        let interrupted = loop {
            match sends.next().await {
                Some((job, Ok(()))) => memory.see(&job),
                Some((_, Err(error))) => break Some(error),
                None => break None,
            }
        };
        match interrupted {
            None => memory.after = pass.after,
            Some(error) => tracing::warn!(error = %chain(&error), "sweep interrupted"),
        }
    }
}

/// What earlier passes did.
#[derive(Default)]
struct Memory {
    /// Ready jobs whose hint was seen to, each at the revision it is ready at.
    seen: HashMap<JobId, u64>,
    /// Where the round goes on; `None` at its start.
    after: Option<Place>,
}

/// What one pass publishes.
struct Pass {
    jobs: Vec<Arc<JobSummary>>,
    /// Where the round goes on after it.
    after: Option<Place>,
}

impl Memory {
    /// The next pass over the jobs that are ready. What is no longer ready is forgotten.
    fn next(&mut self, ready: Vec<Arc<JobSummary>>) -> Pass {
        let (seen, mut new): (Vec<_>, Vec<_>) =
            ready.iter().cloned().partition(|job| self.seen.get(&job.id) == Some(&job.revision));
        self.seen = seen.iter().map(|job| (job.id, job.revision)).collect();
        new.sort_by_key(|job| (Reverse(job.ready_ms), place(job)));
        new.truncate(NEW_PER_PASS);
        let mut jobs = new;
        let taken: HashSet<JobId> = jobs.iter().map(|job| job.id).collect();
        let (round, after) = portion(ready, self.after);
        jobs.extend(round.into_iter().filter(|job| !taken.contains(&job.id)));
        Pass { jobs, after }
    }

    /// The hint of a job was published.
    fn see(&mut self, job: &JobSummary) {
        self.seen.insert(job.id, job.revision);
    }
}

/// What one pass takes of the round, and the last of it where more are left.
fn portion(mut jobs: Vec<Arc<JobSummary>>, after: Option<Place>) -> (Vec<Arc<JobSummary>>, Option<Place>) {
    jobs.retain(|job| after.is_none_or(|after| place(job) > after));
    jobs.sort_by_key(|job| place(job));
    let more = jobs.len() > ROUND_PER_PASS;
    jobs.truncate(ROUND_PER_PASS);
    let last = jobs.last().filter(|_| more).map(|job| place(job));
    (jobs, last)
}

/// Publishes one job's hint, if it is ready still.
async fn send(queue: &Queue, job: &JobSummary) -> Result<(), QueueError> {
    // The record, not the view: what is published carries the revision that is ready now.
    match queue.jobs().get(&job.record_key()).await {
        Ok(Some((record, revision))) if record.state == JobState::Ready => queue.dispatch(&record, revision).await,
        // One that cannot be read is for a newer version of this program: the others must not wait for it.
        Ok(_) | Err(RecordError::Wire(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ops::sample;

    /// A job that became ready at `number`, at this revision.
    fn ready(number: usize, revision: u64) -> Arc<JobSummary> {
        let mut record = sample::job(JobState::Ready);
        record.id = JobId::new(Uuid::from_u128(number as u128));
        record.ready_ms = number as i64;
        Arc::new(JobSummary::of(revision, record))
    }

    /// All of a pass was published.
    fn done(memory: &mut Memory, pass: &Pass) {
        pass.jobs.iter().for_each(|job| memory.see(job));
        memory.after = pass.after;
    }

    fn ids(jobs: &[Arc<JobSummary>]) -> HashSet<JobId> {
        jobs.iter().map(|job| job.id).collect()
    }

    #[test]
    fn a_round_reaches_every_job_whatever_arrives() {
        let old: Vec<_> = (0..2 * ROUND_PER_PASS + 2).map(|number| ready(number, 1)).collect();
        let mut memory = Memory::default();
        let mut reached = HashSet::new();
        for round in 1..=3 {
            // More new ones than a pass takes, each time.
            let newer = (round * 10_000..).take(2 * NEW_PER_PASS).map(|number| ready(number, 1));
            let pass = memory.next(old.iter().cloned().chain(newer).collect());
            assert!(pass.jobs.len() <= NEW_PER_PASS + ROUND_PER_PASS);
            assert_eq!(ids(&pass.jobs).len(), pass.jobs.len(), "none twice");
            reached.extend(ids(&pass.jobs));
            done(&mut memory, &pass);
        }
        assert!(ids(&old).is_subset(&reached));
    }

    #[test]
    fn the_newest_that_was_not_seen_is_first() {
        let many: Vec<_> = (0..10 * ROUND_PER_PASS).map(|number| ready(number, 1)).collect();
        let mut memory = Memory::default();
        let first = memory.next(many.clone());
        assert_eq!(first.jobs[0].id, many.last().unwrap().id);
        done(&mut memory, &first);
        let late = ready(20_000, 1);
        let pass = memory.next(many.iter().cloned().chain([late.clone()]).collect());
        assert_eq!(pass.jobs[0].id, late.id);
    }

    #[test]
    fn a_job_made_ready_again_is_new() {
        let mut memory = Memory::default();
        let many: Vec<_> = (0..2 * ROUND_PER_PASS).map(|number| ready(number, 1)).collect();
        for _ in 0..2 {
            let pass = memory.next(many.clone());
            done(&mut memory, &pass);
        }
        assert_eq!(memory.seen.len(), many.len());
        let again = ready(7, 2);
        let mut changed = many.clone();
        changed[7] = again.clone();
        // The round is at its start, and would come to it; what is new comes before.
        assert_eq!(memory.next(changed).jobs[0].revision, 2);
        memory.next(Vec::new());
        assert!(memory.seen.is_empty(), "what is no longer ready is forgotten");
    }

    #[test]
    fn a_pass_that_failed_is_repeated() {
        let many: Vec<_> = (0..3 * ROUND_PER_PASS).map(|number| ready(number, 1)).collect();
        let mut memory = Memory::default();
        let first = ids(&memory.next(many.clone()).jobs);
        assert_eq!(ids(&memory.next(many).jobs), first);
    }
}
