//! Sending events and following them.

use std::future::IntoFuture;

use async_nats::jetstream::{self, consumer::DeliverPolicy, message::PublishMessage};
use framemill_schemas::{event::Event, subject};
use futures_util::{Stream, StreamExt, stream};

use crate::{cloud_event, error::QueueError, follow::Follow, queue::Queue};

impl Queue {
    /// Sends an event. Sent again within two minutes, it is stored once; later it is stored
    /// again under the same id, which readers look at.
    pub async fn publish_event(&self, event: &Event) -> Result<(), QueueError> {
        self.publish_events(&[event]).await
    }

    /// Sends events in their order, without waiting for one before the next.
    pub async fn publish_events(&self, events: &[&Event]) -> Result<(), QueueError> {
        let unavailable = |error: String| QueueError::Unavailable(error);
        let mut stored = Vec::with_capacity(events.len());
        for event in events {
            let (headers, body) = cloud_event::write(event).map_err(|error| unavailable(error.to_string()))?;
            let message = PublishMessage::build().payload(body).headers(headers).message_id(event.id.to_string());
            let sent = self.link.call(self.link.context.send_publish(subject::event(event), message)).await;
            stored.push(sent.map_err(|error| unavailable(error.to_string()))?);
        }
        for answer in stored {
            let answer = answer.map_err(|error| unavailable(error.to_string()))?;
            let answer = self.link.call(answer.into_future()).await.map_err(|error| unavailable(error.to_string()))?;
            answer.map_err(|error| unavailable(error.to_string()))?;
        }
        Ok(())
    }

    /// Follows the events on subjects that match `filter` (`events.>` for all), each with its
    /// sequence in the stream: those after sequence `after`, or those from now on. Goes on by
    /// itself after a loss of the connection. Messages that are no events are skipped.
    pub async fn events(
        &self,
        filter: String,
        after: Option<u64>,
    ) -> Result<impl Stream<Item = Result<(u64, Event), QueueError>> + Send + use<>, QueueError> {
        let unavailable = |error: String| QueueError::Unavailable(error);
        let after = match after {
            Some(sequence) => sequence,
            None => {
                let info = self.link.call(self.events.get_info()).await;
                let info = info.map_err(|error| unavailable(error.to_string()))?;
                info.map_err(|error| unavailable(error.to_string()))?.state.last_sequence
            }
        };
        let start = DeliverPolicy::ByStartSequence { start_sequence: after + 1 };
        let (follow, _) =
            Follow::open(self.link.clone(), self.events.clone(), filter, start).await.map_err(unavailable)?;
        let messages = stream::unfold(follow, |mut follow| async move {
            let message = follow.next().await;
            Some((message, follow))
        });
        Ok(messages
            .filter_map(move |(sequence, message)| {
                let event = if sequence > after { read(sequence, &message) } else { None };
                std::future::ready(event.map(|event| Ok((sequence, event))))
            })
            .boxed())
    }
}

/// One message as an event.
fn read(sequence: u64, message: &jetstream::Message) -> Option<Event> {
    cloud_event::read(message.headers.as_ref(), &message.payload)
        .inspect_err(|error| tracing::warn!(%error, sequence, "a message that is no event was skipped"))
        .ok()
}
