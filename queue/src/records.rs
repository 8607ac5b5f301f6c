//! Records: values changed only by compare-and-set, and read only from the leader.
//!
//! The outcome of a change is never guessed. When an answer is lost, the record is read back: if
//! it holds the very bytes that were written, they were written; if it is as before, the same
//! change is sent again, which cannot be made twice. Only a server that says "wrong last
//! sequence" means somebody else was faster.

use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{
    HeaderMap,
    jetstream::{
        context::PublishErrorKind,
        message::PublishMessage,
        stream::{RawMessageErrorKind, Stream},
    },
};
use bytes::Bytes;
use framemill_schemas::{
    subject,
    wire::{self, WireError},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{error::RecordError, layout, link::Link};

/// How long one change goes on looking for its outcome.
const SETTLE_MAX: Duration = Duration::from_secs(15);
/// Pause before a change is sent again, growing.
const AGAIN: Duration = Duration::from_millis(50);
/// How long the marker of a deleted record stays: as long as a reader may be away.
const MARKER_TTL_S: &str = "3600";

const OPERATION: &str = "KV-Operation";
const TTL: &str = "Nats-TTL";

/// Where records are kept.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub name: &'static str,
    pub stream: Stream<()>,
    /// The newest format of its records that this version reads.
    newest: u32,
    /// Whether it was said that there are newer ones.
    said: Arc<AtomicBool>,
}

impl Bucket {
    pub fn new(name: &'static str, newest: u32, stream: Stream<()>) -> Self {
        Self { name, stream, newest, said: Arc::default() }
    }

    /// Reads a record. One of a newer format is an error like any other that cannot be read, so
    /// nobody changes it; that there are some is said once, not at every look.
    pub fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, WireError> {
        let decoded = wire::decode_up_to(bytes, self.newest);
        if let Err(error @ WireError::Newer { .. }) = &decoded
            && !self.said.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(bucket = self.name, %error, "records of a newer version are left alone");
        }
        decoded
    }
}

/// The records of one bucket. Cheap to clone.
pub struct Records<T> {
    pub(crate) link: Link,
    pub(crate) bucket: Bucket,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Records<T> {
    fn clone(&self) -> Self {
        Self { link: self.link.clone(), bucket: self.bucket.clone(), value: PhantomData }
    }
}

/// How far a bucket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Revision of its last change, whether that is still there or has been forgotten since.
    pub last: u64,
    /// The same, if anything is still there, else 0: what a watch comes to.
    pub kept: u64,
}

/// A record as it is stored.
struct Stored {
    bytes: Bytes,
    revision: u64,
    deleted: bool,
}

/// Why a change was not made.
enum Refused {
    /// The record is not at the expected revision, for certain.
    Stale,
    /// Nothing is known.
    Unavailable(String),
}

impl<T: Serialize + DeserializeOwned> Records<T> {
    pub(crate) fn new(link: Link, bucket: Bucket) -> Self {
        Self { link, bucket, value: PhantomData }
    }

    /// Stores a record that is not there, and returns its revision. [`RecordError::Exists`] when
    /// it is.
    pub async fn create(&self, key: &str, value: &T) -> Result<u64, RecordError> {
        self.create_with(key, value, &HeaderMap::new()).await
    }

    /// The same, for a record that the server forgets after `lifetime`, of at least a second.
    pub async fn create_for(&self, key: &str, value: &T, lifetime: Duration) -> Result<u64, RecordError> {
        self.create_with(key, value, &lives_for(lifetime)).await
    }

    async fn create_with(&self, key: &str, value: &T, headers: &HeaderMap) -> Result<u64, RecordError> {
        let bytes = Bytes::from(wire::encode(value)?);
        let mut expected = 0;
        loop {
            match self.compare_and_set(key, &bytes, expected, headers).await {
                Ok(revision) => return Ok(revision),
                Err(Refused::Unavailable(reason)) => return Err(RecordError::Unavailable(reason)),
                Err(Refused::Stale) => match self.stored(key).await? {
                    // The marker of a record that was deleted stands where the new one goes.
                    Some(stored) if stored.deleted && stored.revision > expected => expected = stored.revision,
                    None if expected > 0 => expected = 0,
                    _ => return Err(RecordError::Exists),
                },
            }
        }
    }

    /// The record and its revision, from the leader.
    pub async fn get(&self, key: &str) -> Result<Option<(T, u64)>, RecordError> {
        match self.stored(key).await? {
            Some(stored) if !stored.deleted => Ok(Some((self.bucket.decode(&stored.bytes)?, stored.revision))),
            _ => Ok(None),
        }
    }

    /// How far the bucket has come.
    pub async fn extent(&self) -> Result<Extent, RecordError> {
        let info = self.link.call(self.bucket.stream.get_info()).await;
        let state = info
            .map_err(|error| RecordError::Unavailable(error.to_string()))?
            .map_err(|error| RecordError::Unavailable(error.to_string()))?
            .state;
        let kept = if state.messages == 0 { 0 } else { state.last_sequence };
        Ok(Extent { last: state.last_sequence, kept })
    }

    /// Whether any key matches `filter`, of a record or the marker of one that was deleted: cheaper to ask than a list.
    pub async fn any(&self, filter: &str) -> Result<bool, RecordError> {
        Ok(self.stored(filter).await?.is_some())
    }

    /// Replaces the record if it is still at `revision`, and returns its new revision.
    pub async fn update(&self, key: &str, value: &T, revision: u64) -> Result<u64, RecordError> {
        let bytes = Bytes::from(wire::encode(value)?);
        self.compare_and_set(key, &bytes, revision, &HeaderMap::new()).await.map_err(changed)
    }

    /// Removes the record if it is still at `revision`.
    pub async fn delete(&self, key: &str, revision: u64) -> Result<(), RecordError> {
        let mut headers = HeaderMap::new();
        headers.insert(OPERATION, "DEL");
        headers.insert(TTL, MARKER_TTL_S);
        match self.compare_and_set(key, &Bytes::new(), revision, &headers).await {
            Ok(_) => Ok(()),
            Err(refused) => Err(changed(refused)),
        }
    }

    async fn compare_and_set(
        &self,
        key: &str,
        bytes: &Bytes,
        expected: u64,
        headers: &HeaderMap,
    ) -> Result<u64, Refused> {
        let subject = layout::record_subject(self.bucket.name, key);
        let deadline = Instant::now() + SETTLE_MAX;
        let mut pause = AGAIN;
        let mut uncertain = false;
        loop {
            let losses = self.link.now().losses;
            let reason = match self.publish(&subject, bytes, expected, headers).await {
                Ok(sequence) => return Ok(sequence),
                // A first answer on an unbroken connection can only be about this very change.
                Err(Refused::Stale) if !uncertain && self.link.now().losses == losses => return Err(Refused::Stale),
                Err(Refused::Stale) => "a change was answered twice".to_owned(),
                Err(Refused::Unavailable(reason)) => reason,
            };
            uncertain = true;
            match self.stored(key).await {
                Ok(stored) if stored.as_ref().map_or(0, |stored| stored.revision) == expected => {}
                Ok(Some(stored)) if stored.bytes == *bytes => return Ok(stored.revision),
                Ok(_) => return Err(Refused::Stale),
                Err(error) => tracing::debug!(%error, "a change could not be read back yet"),
            }
            if Instant::now() + pause > deadline {
                return Err(Refused::Unavailable(reason));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn publish(&self, subject: &str, bytes: &Bytes, expected: u64, headers: &HeaderMap) -> Result<u64, Refused> {
        let message = PublishMessage::build()
            .payload(bytes.clone())
            .headers(headers.clone())
            .expected_last_subject_sequence(expected);
        let sent = self
            .link
            .call(async { self.link.context.send_publish(subject.to_owned(), message).await?.await })
            .await
            .map_err(|error| Refused::Unavailable(error.to_string()))?;
        match sent {
            Ok(ack) => Ok(ack.sequence),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Err(Refused::Stale),
            Err(error) => Err(Refused::Unavailable(error.to_string())),
        }
    }

    async fn stored(&self, key: &str) -> Result<Option<Stored>, RecordError> {
        let subject = layout::record_subject(self.bucket.name, key);
        let read = self
            .link
            .call(self.bucket.stream.get_last_raw_message_by_subject(&subject))
            .await
            .map_err(|error| RecordError::Unavailable(error.to_string()))?;
        match read {
            Ok(message) => Ok(Some(Stored {
                deleted: is_marker(&message.headers),
                bytes: message.payload,
                revision: message.sequence,
            })),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(RecordError::Unavailable(error.to_string())),
        }
    }

    /// Subject of the notices about a record.
    pub(crate) fn notices(&self, key: &str) -> String {
        subject::changed(self.bucket.name, key)
    }
}

/// What tells the server how long to keep a record.
fn lives_for(lifetime: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(TTL, lifetime.as_secs().max(1).to_string());
    headers
}

/// Whether a message says that its record is gone.
pub(crate) fn is_marker(headers: &HeaderMap) -> bool {
    headers.get(OPERATION).is_some_and(|operation| ["DEL", "PURGE"].contains(&operation.as_str()))
}

fn changed(refused: Refused) -> RecordError {
    match refused {
        Refused::Stale => RecordError::Fenced,
        Refused::Unavailable(reason) => RecordError::Unavailable(reason),
    }
}
