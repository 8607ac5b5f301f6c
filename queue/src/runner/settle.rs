//! The end of an attempt: the record first, by compare-and-set, then the hint. Without the first
//! the second is never touched.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::AckKind;
use framemill_schemas::{
    failure::{Class, Failure},
    job::{JobRecord, JobState},
    spec::JobOutput,
};
use tokio::time::Instant;

use super::{
    Handler,
    attempt::Ended,
    ending::{Farewell, Outcome, apply, farewell, is_this},
    hold::Held,
    now_ms,
    serve::Runner,
};
use crate::error::RecordError;

/// Symptoms of an outage of what every job needs, and did nothing to: NATS, or the store as a
/// whole. They spend no attempt, and the runner rests for a while: a node that cannot store
/// claims nothing.
pub const OUTAGES: [&str; 8] = [
    "queue-unavailable",
    "store-config",
    "store-error",
    "store-full",
    "store-keys",
    "store-no-bucket",
    "store-not-allowed",
    "store-unreachable",
];

/// Symptoms of a node that has no room after all: they spend no attempt, and another node may take the
/// job, or this one once it has looked again.
pub const GIVEN_BACK: [&str; 3] = ["encoder-sessions", "video-memory", "yielded"];

/// Attempts at a job that may end without one being spent before such an end counts: a job that needs
/// more than any device has would go round for ever.
const GIVEN_BACK_MAX: u32 = 16;

/// How long a hint rests after an outage.
const REST: Duration = Duration::from_secs(5);
/// How long the end of an attempt is waited for once the process stops.
const STOP_MAX: Duration = Duration::from_secs(2);
/// Pause before an end that could not be stored is tried again.
const AGAIN: Duration = Duration::from_secs(1);

impl<H: Handler> Runner<H> {
    /// Ends an attempt whose handler returned `result`.
    pub(super) async fn settle(self: &Arc<Self>, mut held: Held, result: Result<JobOutput, Failure>) -> Ended {
        if held.fenced {
            tracing::warn!(job = %held.job.id, "the claim was lost; what was made is dropped");
            return Ended::Idle;
        }
        let mut outcome = self.outcome(result, &held);
        let ended = match &outcome {
            Outcome::Released { rest } if !rest.is_zero() => Ended::Outage,
            Outcome::Released { .. } => Ended::Idle,
            Outcome::Made(_) | Outcome::Failed(_) | Outcome::FailedAlone(_) => Ended::Worked,
        };
        let mut patience: Option<Instant> = None;
        loop {
            let next = match apply(held.job.clone(), &held.holder, &outcome, now_ms()) {
                Ok(next) => next,
                Err(refusal) => {
                    tracing::warn!(job = %held.job.id, %refusal, "the claim was lost; what was made is dropped");
                    return Ended::Idle;
                }
            };
            fail::fail_point!("commit/before", |_| std::process::abort());
            match self.queue.jobs().update(&held.key, &next, held.revision).await {
                Ok(_) => {
                    fail::fail_point!("commit/stored", |_| std::process::abort());
                    self.conclude(&held, &next, &outcome).await;
                    return ended;
                }
                // The record moved. Events of it may have been sent; then it is still ours.
                Err(RecordError::Fenced | RecordError::Exists) => match self.queue.jobs().get(&held.key).await {
                    Ok(Some((job, _))) if is_this(&job, &next) => {
                        self.conclude(&held, &next, &outcome).await;
                        return ended;
                    }
                    Ok(Some((job, revision))) => {
                        held.job = job;
                        held.revision = revision;
                    }
                    Ok(None) => return Ended::Idle,
                    Err(error) => tracing::debug!(%error, "the record could not be read yet"),
                },
                Err(RecordError::Wire(error)) => {
                    outcome = Outcome::Failed(Failure::new(
                        Class::Bug,
                        "record-too-large",
                        format!("what {} made does not fit its record: {error}", held.job.unit),
                    ));
                }
                Err(RecordError::Unavailable(reason)) => {
                    tracing::warn!(job = %held.job.id, reason, "the end of an attempt waits for NATS");
                    if self.stop.is_cancelled() {
                        let until = *patience.get_or_insert(Instant::now() + STOP_MAX);
                        if Instant::now() >= until {
                            return Ended::Idle;
                        }
                    }
                    self.pause(AGAIN).await;
                }
            }
        }
    }

    fn outcome(&self, result: Result<JobOutput, Failure>, held: &Held) -> Outcome {
        let unspent = held.job.attempt.saturating_sub(held.job.spent);
        match result {
            Ok(output) => Outcome::Made(Box::new(output)),
            Err(_) if held.recalled || self.stop.is_cancelled() => Outcome::Released { rest: Duration::ZERO },
            Err(failure) if OUTAGES.contains(&failure.code.as_str()) => {
                tracing::warn!(reason = failure.reason, "an outage ended an attempt");
                Outcome::Released { rest: REST }
            }
            Err(failure) if GIVEN_BACK.contains(&failure.code.as_str()) && unspent <= GIVEN_BACK_MAX => {
                tracing::info!(reason = failure.reason, "a job is given back");
                Outcome::Released { rest: Duration::ZERO }
            }
            Err(failure) if self.standing.borrow().alone => Outcome::FailedAlone(failure),
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// Waits for the connection, at least a little, and not beyond a stop.
    async fn pause(&self, least: Duration) {
        tokio::time::sleep(least).await;
        if !self.stop.is_cancelled() {
            tokio::select! {
                _ = self.queue.link.wait_up(Duration::from_secs(60)) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// The record says how it ended: now the hint may go, or go on.
    async fn conclude(&self, held: &Held, ended: &JobRecord, outcome: &Outcome) {
        let kind = match farewell(ended, outcome) {
            Farewell::Ack => AckKind::Ack,
            Farewell::Term => AckKind::Term,
            Farewell::Back(pause) => AckKind::Nak(pause),
        };
        tracing::info!(job = %ended.id, unit = ended.unit, state = ended.state.as_str(), "an attempt ended");
        fail::fail_point!("ack/before", |_| std::process::abort());
        self.queue.link.tell(held.message.ack_with(kind)).await;
        fail::fail_point!("ack/sent", |_| std::process::abort());
        if ended.state == JobState::Ready
            && let Err(error) = self.queue.dispatch(ended, held.revision).await
        {
            // The hint may have been terminated elsewhere while we held the job. The sweep of
            // ready records finds it.
            tracing::debug!(%error, "a hint could not be made sure of");
        }
    }
}
