//! Following records: what there is, then every change, in order, across reconnects.

use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_nats::jetstream::consumer::{DeliverPolicy, push};
use framemill_schemas::wire;
use futures_util::{Stream, StreamExt};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    error::RecordError,
    layout,
    records::{Records, is_marker},
};

/// How long a watch waits for the last of the initial values. A record that is deleted while it
/// is being delivered leaves a gap that the count of pending messages does not show.
const SETTLED: Duration = Duration::from_secs(1);

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
    /// jobs). Goes on by itself after a loss of the connection; ends with an error only when it
    /// cannot.
    pub async fn watch(&self, filter: &str) -> Result<Watch<T>, RecordError> {
        let prefix = layout::record_subject(self.bucket, "");
        let config = push::OrderedConfig {
            deliver_subject: self.link.client.new_inbox(),
            description: Some("watch".to_owned()),
            filter_subject: layout::record_subject(self.bucket, filter),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..Default::default()
        };
        let unavailable = |error: String| RecordError::Unavailable(error);
        let consumer = self
            .link
            .call(self.stream.create_consumer(config))
            .await
            .map_err(|error| unavailable(error.to_string()))?
            .map_err(|error| unavailable(error.to_string()))?;
        let empty = consumer.cached_info().num_pending == 0;
        let messages = consumer.messages().await.map_err(|error| unavailable(error.to_string()))?;
        Ok(Watch {
            messages: Box::pin(messages),
            prefix,
            initial: if empty { Initial::Delivered } else { Initial::Waiting(Box::pin(sleep(SETTLED))) },
            value: std::marker::PhantomData,
        })
    }

    /// The records whose keys match `filter`, with their revisions.
    pub async fn list(&self, filter: &str) -> Result<Vec<(String, T, u64)>, RecordError> {
        let mut watch = self.watch(filter).await?;
        let mut found: HashMap<String, (T, u64)> = HashMap::new();
        while let Some(change) = watch.next().await {
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
    messages: Pin<Box<push::Ordered>>,
    prefix: String,
    initial: Initial,
    value: std::marker::PhantomData<fn() -> T>,
}

/// Where the delivery of the initial values is.
enum Initial {
    /// Some are under way; the timer starts anew with each.
    Waiting(Pin<Box<Sleep>>),
    /// All are delivered, which is not said yet.
    Delivered,
    /// All are delivered, which is said.
    Said,
}

impl<T: DeserializeOwned> Stream for Watch<T> {
    type Item = Result<Change<T>, RecordError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if matches!(self.initial, Initial::Delivered) {
            self.initial = Initial::Said;
            return Poll::Ready(Some(Ok(Change::Current)));
        }
        let polled = loop {
            match self.messages.poll_next_unpin(context) {
                // The consumer is made anew by itself, after the last message that was delivered.
                Poll::Ready(Some(Err(error))) if error.kind() == push::OrderedErrorKind::MissingHeartbeat => {}
                polled => break polled,
            }
        };
        match polled {
            Poll::Ready(Some(Ok(message))) => {
                let (revision, pending) = match message.info() {
                    Ok(info) => (info.stream_sequence, info.pending),
                    Err(error) => return Poll::Ready(Some(Err(RecordError::Unavailable(error.to_string())))),
                };
                if let Initial::Waiting(timer) = &mut self.initial {
                    timer.as_mut().reset(Instant::now() + SETTLED);
                    if pending == 0 {
                        self.initial = Initial::Delivered;
                    }
                }
                let key = message.subject.strip_prefix(self.prefix.as_str()).unwrap_or_default().to_owned();
                let deleted = message.headers.as_ref().is_some_and(is_marker);
                let change = if deleted {
                    Ok(Change::Deleted { key, revision })
                } else {
                    wire::decode(&message.payload)
                        .map(|value| Change::Put { key, value: Box::new(value), revision })
                        .map_err(RecordError::from)
                };
                Poll::Ready(Some(change))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(RecordError::Unavailable(error.to_string())))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match &mut self.initial {
                Initial::Waiting(timer) => timer.as_mut().poll(context).map(|()| {
                    self.initial = Initial::Said;
                    Some(Ok(Change::Current))
                }),
                _ => Poll::Pending,
            },
        }
    }
}
