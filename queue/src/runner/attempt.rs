//! One job, from its hint to its end.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{self, AckKind};
use framemill_schemas::{holder::Holder, job::Hint, wire};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Attempt, Handler, Place,
    hold::Held,
    judge::{Verdict, broke_here, judge},
    now_ms,
    progress::Reporter,
    serve::Runner,
};
use crate::{error::RecordError, transition};

/// Pause before a hint is looked at again that could not be judged.
const UNJUDGED: Duration = Duration::from_secs(1);
/// Pause before a hint or record is looked at again that this version cannot read: a newer
/// worker may.
const UNREADABLE: Duration = Duration::from_secs(30);
/// Deliveries after which such a hint is dropped; a sweep sends another.
const UNREADABLE_DELIVERIES_MAX: i64 = 20;
/// How often a claim is tried when the record changes under it.
const CLAIM_TRIES: u32 = 4;

/// What an attempt tells its runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It ran, and its end is stored.
    Worked,
    /// Nothing was run, or nothing came of it: that says nothing about anything.
    Idle,
    /// Something that every job here needs is away.
    Outage,
}

impl<H: Handler> Runner<H> {
    /// Judges a hint, claims its job, runs it and settles it.
    pub(super) async fn attempt(
        self: Arc<Self>,
        message: jetstream::Message,
        holder: Holder,
        place: Place,
        fetched_ms: i64,
    ) -> Ended {
        let Some(mut held) = self.claim(message, holder).await else { return Ended::Idle };
        let (progress, reports) = watch::channel((0, 0));
        let cancel = CancellationToken::new();
        let attempt = Attempt {
            job: held.job.clone(),
            revision: held.revision,
            fetched_ms,
            cancel: cancel.clone(),
            place,
            progress,
        };
        let handler = self.handler.clone();
        let task = AbortOnDropHandle::new(tokio::spawn(async move { handler.run(&attempt).await }));
        let result = self.hold(&mut held, task, &cancel, Reporter::new(reports)).await;
        self.settle(held, result).await
    }

    async fn claim(&self, message: jetstream::Message, holder: Holder) -> Option<Held> {
        let delivered = message.info().map_or(1, |info| info.delivered);
        let hint: Hint = match wire::decode(&message.payload) {
            Ok(hint) => hint,
            Err(error) => return self.unreadable(&message, delivered, &error).await,
        };
        let jobs = self.queue.jobs();
        for _ in 0..CLAIM_TRIES {
            let found = match jobs.get(&hint.record).await {
                Ok(found) => found,
                Err(RecordError::Wire(error)) => return self.unreadable(&message, delivered, &error).await,
                Err(error) => return self.give_back(&message, UNJUDGED, &error.to_string()).await,
            };
            let judged = found.as_ref().map(|(job, revision)| (job, *revision));
            match (judge(&hint, judged, delivered, &self.config.node, now_ms()), found) {
                (Verdict::Terminate(why), _) => return self.terminate(&message, why).await,
                (Verdict::Later(pause, why), _) => return self.give_back(&message, pause, why).await,
                (Verdict::Claim, None) => return self.terminate(&message, "its record is not there").await,
                (Verdict::Claim, Some((job, _)))
                    if !self.standing.borrow().alone && broke_here(&job, &self.config.node, now_ms()) =>
                {
                    return self.give_back(&message, UNJUDGED, "it broke here; another node should try it").await;
                }
                (Verdict::Claim, Some((job, revision))) => {
                    let Ok(claimed) = transition::claim(job, holder.clone(), now_ms()) else { continue };
                    // Before the claim, so that no change after it goes unnoticed.
                    let notices = match self.queue.link.client.subscribe(jobs.notices(&hint.record)).await {
                        Ok(notices) => notices,
                        Err(error) => return self.give_back(&message, UNJUDGED, &error.to_string()).await,
                    };
                    fail::fail_point!("claim/before", |_| std::process::abort());
                    match jobs.update(&hint.record, &claimed, revision).await {
                        Ok(revision) => {
                            fail::fail_point!("claim/stored", |_| std::process::abort());
                            tracing::info!(job = %claimed.id, unit = claimed.unit, attempt = claimed.attempt, "claimed");
                            let key = hint.record;
                            return Some(Held {
                                key,
                                job: claimed,
                                revision,
                                holder,
                                message,
                                notices,
                                fenced: false,
                                recalled: false,
                            });
                        }
                        Err(RecordError::Fenced | RecordError::Exists) => {}
                        // Should the claim arrive later after all, nobody says its nonce, and
                        // the reaper takes it back.
                        Err(error) => return self.give_back(&message, UNJUDGED, &error.to_string()).await,
                    }
                }
            }
        }
        self.give_back(&message, UNJUDGED, "its record keeps changing").await
    }

    async fn terminate(&self, message: &jetstream::Message, why: &str) -> Option<Held> {
        tracing::debug!(subject = %message.subject, why, "a hint was removed");
        self.queue.link.tell(message.ack_with(AckKind::Term)).await;
        None
    }

    async fn give_back(&self, message: &jetstream::Message, pause: Duration, why: &str) -> Option<Held> {
        tracing::debug!(subject = %message.subject, why, "a hint was given back");
        self.queue.link.tell(message.ack_with(AckKind::Nak(Some(pause)))).await;
        None
    }

    async fn unreadable(&self, message: &jetstream::Message, delivered: i64, error: &wire::WireError) -> Option<Held> {
        tracing::warn!(subject = %message.subject, %error, "a hint or its record cannot be read");
        if delivered < UNREADABLE_DELIVERIES_MAX {
            self.give_back(message, UNREADABLE, "it cannot be read").await
        } else {
            self.terminate(message, "it cannot be read").await
        }
    }
}
