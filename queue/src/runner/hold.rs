//! Keeping a claim while its handler works: signs of life for the hint, a look at the record
//! whenever it may have changed, and an end when somebody else took it.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use async_nats::{Subscriber, jetstream, jetstream::AckKind};
use framemill_schemas::{
    failure::{Class, Failure},
    holder::Holder,
    job::JobRecord,
    spec::JobOutput,
};
use futures_util::{FutureExt, StreamExt};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Handler,
    judge::{Standing, standing},
    progress::Reporter,
    serve::Runner,
};
use crate::{error::RecordError, layout::ACK_WAIT, nodes};

/// How long a handler may take to end once it is told to; then it is dropped.
const CANCEL_MAX: Duration = Duration::from_secs(3);

/// A claim that was made.
pub(super) struct Held {
    pub key: String,
    pub job: JobRecord,
    pub revision: u64,
    pub holder: Holder,
    pub message: jetstream::Message,
    /// Notices that the record was changed.
    pub notices: Subscriber,
    /// Whether the claim was lost.
    pub fenced: bool,
    /// Whether it is given back because the node is to be empty.
    pub recalled: bool,
}

type Look = Pin<Box<dyn Future<Output = Result<Option<(JobRecord, u64)>, RecordError>> + Send>>;

impl<H: Handler> Runner<H> {
    /// Keeps the claim until the handler has ended, and returns what it returned.
    pub(super) async fn hold(
        self: &Arc<Self>,
        held: &mut Held,
        mut task: AbortOnDropHandle<Result<JobOutput, Failure>>,
        cancel: &CancellationToken,
        mut reporter: Reporter,
    ) -> Result<JobOutput, Failure> {
        let sign = ACK_WAIT / 3;
        let mut signs = interval_at(Instant::now() + sign, sign);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut link = self.queue.link.state.clone();
        let mut standing = self.standing.clone();
        let mut look: Option<Look> = None;
        let mut again = false;
        let mut give_up: Option<Instant> = None;
        let mut dropped = false;
        loop {
            let look_now = tokio::select! {
                outcome = &mut task => return ended(outcome),
                _ = signs.tick() => {
                    self.queue.link.tell(held.message.ack_with(AckKind::Progress)).await;
                    true
                }
                Some(notice) = held.notices.next() => revision_of(&notice).is_none_or(|seen| seen > held.revision),
                Ok(()) = link.changed() => {
                    // Whoever was away may have been taken for dead.
                    let up = link.borrow_and_update().up;
                    if up {
                        self.queue.link.tell(held.message.ack_with(AckKind::Progress)).await;
                    }
                    up
                }
                found = async { look.as_mut().expect("polled only when there is one").await }, if look.is_some() => {
                    look = None;
                    if let Ok(found) = found {
                        held.compare(found);
                    }
                    std::mem::take(&mut again)
                }
                report = reporter.next() => {
                    let message = reporter.message(&held.job, &self.config.node, report);
                    let _ = self.queue.publish_progress(&message).await;
                    false
                }
                () = handed_back(&mut standing), if !cancel.is_cancelled() => {
                    tracing::info!(job = %held.job.id, "the node is to be empty: the job is given back");
                    held.recalled = true;
                    cancel.cancel();
                    false
                }
                () = self.stop.cancelled(), if !cancel.is_cancelled() => {
                    cancel.cancel();
                    false
                }
                () = tokio::time::sleep_until(give_up.unwrap_or_else(Instant::now)), if give_up.is_some() => {
                    tracing::error!(job = %held.job.id, "a handler did not end when it was told to; it is dropped");
                    task.abort();
                    (give_up, dropped) = (None, true);
                    false
                }
            };
            if look_now && !held.fenced {
                if look.is_some() {
                    again = true;
                } else {
                    let (jobs, key) = (self.queue.jobs().clone(), held.key.clone());
                    look = Some(async move { jobs.get(&key).await }.boxed());
                }
            }
            if held.fenced && !cancel.is_cancelled() {
                tracing::warn!(job = %held.job.id, "the claim was lost, or the job was cancelled");
                cancel.cancel();
            }
            // Counted from here: a handler that is told may need time to kill what it started.
            if cancel.is_cancelled() && !dropped && give_up.is_none() {
                give_up = Some(Instant::now() + CANCEL_MAX);
            }
        }
    }
}

/// Waits until the node is to give back what it runs.
async fn handed_back(standing: &mut watch::Receiver<nodes::Standing>) {
    let told = standing.wait_for(|standing| standing.hands_back).await.is_ok();
    if !told {
        // Nobody says any more: whoever did is gone, and so is the reason.
        std::future::pending::<()>().await;
    }
}

impl Held {
    /// Compares the claim with the record as it was just read.
    fn compare(&mut self, found: Option<(JobRecord, u64)>) {
        let judged = found.as_ref().map(|(job, revision)| (job, *revision));
        match (standing(judged, &self.holder, self.revision), found) {
            (Standing::Ours, Some((job, revision))) => {
                self.job = job;
                self.revision = revision;
            }
            (Standing::Older, _) => {}
            _ => self.fenced = true,
        }
    }
}

/// Revision of the record a notice is about.
fn revision_of(notice: &async_nats::Message) -> Option<u64> {
    notice.headers.as_ref()?.get("Nats-Sequence")?.as_str().parse().ok()
}

/// What a handler's task came to.
fn ended(outcome: Result<Result<JobOutput, Failure>, tokio::task::JoinError>) -> Result<JobOutput, Failure> {
    outcome.unwrap_or_else(|error| {
        if error.is_cancelled() {
            return Err(Failure::new(Class::Transient, "cancelled", "the attempt was dropped"));
        }
        let panic = error.into_panic();
        let words = panic
            .downcast_ref::<&str>()
            .map(|words| (*words).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without words".to_owned());
        Err(Failure::new(Class::Bug, "handler-panicked", format!("the handler panicked: {words}")))
    })
}
