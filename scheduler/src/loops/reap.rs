//! The reaper: a running job that no heartbeat has listed for one lease goes back to ready. One
//! scheduler at a time does this; ack-wait redelivery is only the backstop.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use framemill_queue::{Queue, RecordError, transition};
use framemill_schemas::{ids::JobId, job::JobState};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    chain::chain,
    clock::now_ms,
    view::{JobSummary, View},
};

const EVERY: Duration = Duration::from_secs(1);

/// What was heard, judged by this process's monotonic clock alone.
#[derive(Debug)]
pub struct Hearing {
    lease: Duration,
    /// Since when heartbeats have been heard in one piece.
    since: Instant,
    /// When each nonce was listed last, or first seen in a record.
    heard: HashMap<Uuid, Instant>,
}

impl Hearing {
    /// Starts to listen.
    pub fn new(lease: Duration, now: Instant) -> Self {
        Self { lease, since: now, heard: HashMap::new() }
    }

    /// Listening was interrupted: nobody is judged until one whole lease was heard again.
    pub fn restart(&mut self, now: Instant) {
        *self = Self::new(self.lease, now);
    }

    /// A heartbeat lists these attempts.
    pub fn hear(&mut self, nonces: &[Uuid], now: Instant) {
        self.heard.extend(nonces.iter().map(|nonce| (*nonce, now)));
    }

    /// Which of the running attempts are lost. Takes all of them: the rest is forgotten.
    pub fn lost(&mut self, running: &[(JobId, Uuid)], now: Instant) -> Vec<(JobId, Uuid)> {
        for (_, nonce) in running {
            // A claim seen for the first time has a whole lease to be heard of.
            self.heard.entry(*nonce).or_insert(now);
        }
        self.heard.retain(|nonce, _| running.iter().any(|(_, held)| held == nonce));
        if now.duration_since(self.since) <= self.lease {
            return Vec::new();
        }
        let late = |nonce: &Uuid| self.heard.get(nonce).is_some_and(|at| now.duration_since(*at) > self.lease);
        running.iter().filter(|(_, nonce)| late(nonce)).copied().collect()
    }
}

/// Runs until `stop`; the caller holds the lease that makes it the only one.
pub async fn run(queue: &Queue, view: &View, lease: Duration, stop: &CancellationToken) {
    let mut hearing = Hearing::new(lease, Instant::now());
    let mut timer = tokio::time::interval(EVERY);
    loop {
        let beats = match stop.run_until_cancelled(queue.heartbeats()).await {
            None => return,
            Some(Ok(beats)) => beats,
            Some(Err(error)) => {
                tracing::warn!(error = %chain(&error), "heartbeats not heard");
                let _ = stop.run_until_cancelled(timer.tick()).await;
                continue;
            }
        };
        let mut beats = std::pin::pin!(beats);
        hearing.restart(Instant::now());
        let mut reconnects = queue.reconnects();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                beat = beats.next() => match beat {
                    Some(beat) => hearing.hear(&beat.nonces, Instant::now()),
                    None => break,
                },
                _ = timer.tick() => {
                    if !queue.is_connected() || queue.reconnects() != reconnects || !view.is_current() {
                        reconnects = queue.reconnects();
                        hearing.restart(Instant::now());
                    }
                    tick(queue, view, &mut hearing).await;
                }
            }
        }
    }
}

/// One pass over the running jobs.
pub async fn tick(queue: &Queue, view: &View, hearing: &mut Hearing) {
    let jobs = view.jobs_in(&[JobState::Running]);
    let running: Vec<_> =
        jobs.iter().filter_map(|job| job.holder.as_ref().map(|holder| (job.id, holder.nonce))).collect();
    for (id, nonce) in hearing.lost(&running, Instant::now()) {
        let Some(job) = jobs.iter().find(|job| job.id == id) else { continue };
        if let Err(error) = lose(queue, job, nonce).await {
            tracing::warn!(job = %id, error = %chain(error.as_ref()), "job is taken back later");
        }
    }
}

/// Takes a job back from a holder that fell silent.
async fn lose(queue: &Queue, job: &JobSummary, nonce: Uuid) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Some((record, revision)) = queue.jobs().get(&job.record_key).await? else { return Ok(()) };
    if record.holder.as_ref().is_none_or(|holder| holder.nonce != nonce) {
        return Ok(());
    }
    let Ok(lost) = transition::lose(record, now_ms()) else { return Ok(()) };
    tracing::warn!(job = %job.id, unit = %job.unit, attempt = job.attempt, "holder lost");
    // The silent holder may still own the message: away with it before the new one is published.
    queue.undispatch(&lost).await?;
    match queue.jobs().update(&job.record_key, &lost, revision).await {
        Ok(revision) if lost.state == JobState::Ready => queue.dispatch(&lost, revision).await?,
        Ok(_) | Err(RecordError::Fenced) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn ids(n: u128) -> (JobId, Uuid) {
        (JobId::new(Uuid::from_u128(n)), Uuid::from_u128(n))
    }

    #[test]
    fn only_silence_of_a_whole_lease_heard_in_one_piece_is_judged() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let (silent, heard, new) = (ids(1), ids(2), ids(3));
        let mut hearing = Hearing::new(LEASE, start);
        assert!(hearing.lost(&[silent, heard], at(1)).is_empty());
        assert!(hearing.lost(&[silent, heard], at(15)).is_empty());
        hearing.hear(&[heard.1], at(16));
        assert_eq!(hearing.lost(&[silent, heard, new], at(17)), [silent]);
        // After a reconnect the judgement starts anew, for everybody.
        hearing.restart(at(18));
        assert!(hearing.lost(&[silent, heard, new], at(33)).is_empty());
        assert_eq!(hearing.lost(&[silent, heard, new], at(49)), [silent, heard, new]);
    }

    #[test]
    fn what_no_longer_runs_is_forgotten() {
        let start = Instant::now();
        let mut hearing = Hearing::new(LEASE, start);
        hearing.hear(&[Uuid::from_u128(9)], start);
        assert!(hearing.lost(&[], start).is_empty());
        assert!(hearing.heard.is_empty());
    }
}
