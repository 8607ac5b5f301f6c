//! The reaper: a running job that no heartbeat has listed for one lease goes back to ready. One
//! scheduler at a time does this; ack-wait redelivery is only the backstop. Channels are not its business.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use framemill_queue::{Hearing, Queue};
use framemill_schemas::job::{JobKind, JobState};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{chain::chain, clock::now_ms, view::View};

const EVERY: Duration = Duration::from_millis(500);
/// Jobs taken back at the same time: a machine that fails loses all of its jobs at once.
const JOBS_AT_ONCE: usize = 16;

/// Runs until `stop`; the caller holds the lease that makes it the only one.
pub async fn run(queue: &Queue, view: &View, lease: Duration, stop: &CancellationToken) {
    let mut hearing = Hearing::new(lease, Instant::now());
    let mut timer = super::timer(EVERY);
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
                // What was heard counts before anybody is judged.
                biased;
                () = stop.cancelled() => return,
                beat = beats.next() => match beat {
                    Some(beat) => hearing.hear(&beat.nonces, Instant::now()),
                    None => break,
                },
                _ = timer.tick() => {
                    match stop.run_until_cancelled(queue.answers()).await {
                        None => return,
                        Some(true) => hearing.pulse(Instant::now()),
                        Some(false) => {}
                    }
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
    // A channel's replica is not run again elsewhere as it is: the failover controller places another.
    let jobs = view.jobs_where(|job| job.state == JobState::Running && job.kind != JobKind::Live);
    let running: Vec<_> =
        jobs.iter().filter_map(|job| job.holder.as_ref().map(|holder| (job.id, holder.nonce))).collect();
    let lost: HashMap<_, _> = hearing.lost(&running, Instant::now()).into_iter().collect();
    let lost = jobs.iter().filter_map(|job| lost.get(&job.id).map(|nonce| (job, *nonce)));
    let taking = stream::iter(lost).for_each_concurrent(JOBS_AT_ONCE, |(job, nonce)| async move {
        match queue.take_back(&job.record_key(), nonce, now_ms()).await {
            Ok(Some(taken)) => {
                let state = taken.state.as_str();
                tracing::warn!(job = %taken.id, unit = taken.unit, attempt = taken.attempt, state, "holder lost");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(job = %job.id, error = %chain(&error), "job is taken back later"),
        }
    });
    taking.await;
}
