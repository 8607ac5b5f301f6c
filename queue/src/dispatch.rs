//! Hints: messages that say "look at this record now". At most one per job is ever queued,
//! because each job has a subject of its own and the server is told that it must be empty.

use async_nats::{
    HeaderMap,
    jetstream::{context::PublishErrorKind, message::PublishMessage, stream::RawMessageErrorKind},
};
use framemill_schemas::{
    job::{Hint, JobRecord},
    load::Load,
    subject,
    trace::TraceContext,
    wire,
};

use crate::{error::QueueError, queue::Queue};

/// Format of hints written by this version.
pub(crate) const HINT_VERSION: u32 = 1;

impl Queue {
    /// Queues a job that is ready, at the revision of its record that was made ready. Doing so
    /// again while its hint is queued or in work changes nothing, so a sweep may call this for
    /// every ready record.
    pub async fn dispatch(&self, job: &JobRecord, revision: u64) -> Result<(), QueueError> {
        fail::fail_point!("dispatch/before", |_| std::process::abort());
        let record = subject::job_record(job.asset, job.id);
        let payload = wire::encode(&Hint { v: HINT_VERSION, record, revision, load: Load::of(&job.spec) })?;
        // No message id: the server would swallow the hint of a later attempt without a word.
        let message = PublishMessage::build()
            .payload(payload.into())
            .headers(trace_headers(&job.trace))
            .expected_last_subject_sequence(0);
        let subject = subject::job_hint(job.lane, job.id);
        let sent = self
            .link
            .call(async { self.link.context.send_publish(subject, message).await?.await })
            .await
            .map_err(|error| QueueError::Unavailable(error.to_string()))?;
        match sent {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(()),
            Err(error) => Err(QueueError::Unavailable(error.to_string())),
        }
    }

    /// Removes a job's hint, queued or in work. Whoever makes a job ready for another reason
    /// than its holder's own word does this first: the old hint may be in the hands of a holder
    /// that hangs, and would keep the new one out.
    pub async fn undispatch(&self, job: &JobRecord) -> Result<(), QueueError> {
        let Some(sequence) = self.hint_sequence(job).await? else { return Ok(()) };
        let deleted = self
            .link
            .call(self.hints.delete_message(sequence))
            .await
            .map_err(|error| QueueError::Unavailable(error.to_string()))?;
        match deleted {
            Ok(_) => Ok(()),
            // Acknowledged in between: then it is gone as well.
            Err(_) if self.hint_sequence(job).await? != Some(sequence) => Ok(()),
            Err(error) => Err(QueueError::Unavailable(error.to_string())),
        }
    }

    /// Whether a hint of the job is queued or in work.
    pub async fn waiting(&self, job: &JobRecord) -> Result<bool, QueueError> {
        Ok(self.hint_sequence(job).await?.is_some())
    }

    async fn hint_sequence(&self, job: &JobRecord) -> Result<Option<u64>, QueueError> {
        let subject = subject::job_hint(job.lane, job.id);
        let found = self
            .link
            .call(self.hints.get_last_raw_message_by_subject(&subject))
            .await
            .map_err(|error| QueueError::Unavailable(error.to_string()))?;
        match found {
            Ok(message) => Ok(Some(message.sequence)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(QueueError::Unavailable(error.to_string())),
        }
    }
}

/// The trace as headers. Names are lower case: look-ups are case-sensitive; an empty state is
/// left out, as the standard asks.
fn trace_headers(trace: &TraceContext) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !trace.traceparent.is_empty() {
        headers.insert("traceparent", trace.traceparent.as_str());
        if !trace.tracestate.is_empty() {
            headers.insert("tracestate", trace.tracestate.as_str());
        }
    }
    headers
}
