//! Following records: what there is, then every change, in order, across reconnects.

use std::{
    collections::HashMap,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_nats::jetstream::{self, consumer::DeliverPolicy};
use futures_util::{Stream, StreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{
    error::RecordError,
    follow::Follow,
    layout,
    records::{Bucket, Records, is_marker},
};

/// How long a watch waits for the next of the initial values before it asks whether there is one.
/// A record that is deleted while it is being delivered leaves a gap that the count of pending
/// messages does not show; a busy server is silent too.
const ASK: Duration = Duration::from_secs(1);
/// How long a list goes on without hearing anything.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// One step of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// A record is there, or was changed.
    Put {
        /// Its key.
        key: String,
        /// Its value.
        value: Box<T>,
        /// Its revision.
        revision: u64,
    },
    /// A record was removed.
    Deleted {
        /// Its key.
        key: String,
        /// Revision of the removal.
        revision: u64,
    },
    /// Everything that was there when the watch began has been delivered.
    Current,
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Records<T> {
    /// Follows the records whose keys match `filter` (`>` for all, `<asset>.*` for an asset's
    /// jobs). Goes on by itself when the connection was lost, and never ends. An error is about
    /// one record that cannot be read; the next item is about the next change.
    pub async fn watch(&self, filter: &str) -> Result<Watch<T>, RecordError> {
        let subject = layout::record_subject(self.bucket.name, filter);
        let (link, stream) = (self.link.clone(), self.bucket.stream.clone());
        let (follow, empty) = Follow::open(link, stream, subject, DeliverPolicy::LastPerSubject)
            .await
            .map_err(RecordError::Unavailable)?;
        let watching = Watching {
            follow,
            prefix: layout::record_subject(self.bucket.name, ""),
            bucket: self.bucket.clone(),
            initial: if empty { Initial::Delivered } else { Initial::Waiting },
            value: PhantomData,
        };
        let changes = stream::unfold(watching, |mut watching| async move {
            let change = watching.next().await;
            Some((change, watching))
        });
        Ok(Watch { changes: changes.boxed() })
    }

    /// The records whose keys match `filter`, with their revisions: all of them, or an error when
    /// the server falls silent on the way.
    pub async fn list(&self, filter: &str) -> Result<Vec<(String, T, u64)>, RecordError> {
        let mut watch = self.watch(filter).await?;
        let mut found: HashMap<String, (T, u64)> = HashMap::new();
        loop {
            let heard = timeout(SILENCE_MAX, watch.next()).await.map_err(|_| {
                let seconds = SILENCE_MAX.as_secs();
                RecordError::Unavailable(format!("NATS sent nothing for {seconds} s in the middle of a list"))
            })?;
            // A watch never ends.
            let Some(change) = heard else { break };
            match change? {
                Change::Put { key, value, revision } => {
                    found.insert(key, (*value, revision));
                }
                Change::Deleted { key, .. } => {
                    found.remove(&key);
                }
                Change::Current => break,
            }
        }
        let mut records: Vec<_> = found.into_iter().map(|(key, (value, revision))| (key, value, revision)).collect();
        records.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(records)
    }
}

/// A stream of [`Change`].
pub struct Watch<T> {
    changes: stream::BoxStream<'static, Result<Change<T>, RecordError>>,
}

impl<T> Stream for Watch<T> {
    type Item = Result<Change<T>, RecordError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.changes.poll_next_unpin(context)
    }
}

/// Where the delivery of the initial values is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Initial {
    /// Some are under way.
    Waiting,
    /// All are delivered, which is not said yet.
    Delivered,
    /// All are delivered, which is said.
    Said,
}

struct Watching<T> {
    follow: Follow,
    bucket: Bucket,
    prefix: String,
    initial: Initial,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Watching<T> {
    async fn next(&mut self) -> Result<Change<T>, RecordError> {
        loop {
            match self.initial {
                Initial::Delivered => {
                    self.initial = Initial::Said;
                    return Ok(Change::Current);
                }
                Initial::Said => {
                    let (revision, message) = self.follow.next().await;
                    return self.read(revision, &message);
                }
                Initial::Waiting => match timeout(ASK, self.follow.next()).await {
                    Ok((revision, message)) => {
                        if message.info().is_ok_and(|info| info.pending == 0) {
                            self.initial = Initial::Delivered;
                        }
                        return self.read(revision, &message);
                    }
                    Err(_) => match self.follow.is_at_end().await {
                        Ok(true) => self.initial = Initial::Delivered,
                        Ok(false) => {}
                        Err(error) => tracing::debug!(error, "it is not known yet whether more is to come"),
                    },
                },
            }
        }
    }

    fn read(&self, revision: u64, message: &jetstream::Message) -> Result<Change<T>, RecordError> {
        let key = message.subject.strip_prefix(self.prefix.as_str()).unwrap_or_default().to_owned();
        if message.headers.as_ref().is_some_and(is_marker) {
            return Ok(Change::Deleted { key, revision });
        }
        Ok(Change::Put { key, value: Box::new(self.bucket.decode(&message.payload)?), revision })
    }
}
