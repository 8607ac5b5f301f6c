//! Sending events and following them.

use async_nats::jetstream::{
    consumer::{DeliverPolicy, push},
    message::PublishMessage,
};
use framemill_schemas::{event::Event, subject};
use futures_util::{Stream, StreamExt};

use crate::{cloud_event, error::QueueError, queue::Queue};

impl Queue {
    /// Sends an event. Sent again within two minutes, it is stored once; later it is stored
    /// again under the same id, which readers look at.
    pub async fn publish_event(&self, event: &Event) -> Result<(), QueueError> {
        let (headers, body) = cloud_event::write(event).map_err(|error| QueueError::Unavailable(error.to_string()))?;
        let message = PublishMessage::build().payload(body).headers(headers).message_id(event.id.to_string());
        let subject = subject::event(event);
        self.link
            .call(async { self.link.context.send_publish(subject, message).await?.await })
            .await
            .map_err(|error| QueueError::Unavailable(error.to_string()))?
            .map(|_| ())
            .map_err(|error| QueueError::Unavailable(error.to_string()))
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
        let config = push::OrderedConfig {
            deliver_subject: self.link.client.new_inbox(),
            description: Some("events".to_owned()),
            filter_subject: filter,
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
            ..Default::default()
        };
        let consumer = self
            .link
            .call(self.events.create_consumer(config))
            .await
            .map_err(|error| unavailable(error.to_string()))?
            .map_err(|error| unavailable(error.to_string()))?;
        let messages = consumer.messages().await.map_err(|error| unavailable(error.to_string()))?;
        Ok(messages.filter_map(move |message| std::future::ready(read(message, after))))
    }
}

/// One delivery as an event. A consumer that is made anew before its first message starts at the
/// beginning of the stream: what is not after `after` is skipped.
fn read(
    message: Result<async_nats::jetstream::Message, push::OrderedError>,
    after: u64,
) -> Option<Result<(u64, Event), QueueError>> {
    let message = match message {
        Ok(message) => message,
        Err(error) if error.kind() == push::OrderedErrorKind::MissingHeartbeat => return None,
        Err(error) => return Some(Err(QueueError::Unavailable(error.to_string()))),
    };
    let sequence = message.info().ok()?.stream_sequence;
    if sequence <= after {
        return None;
    }
    match cloud_event::read(message.headers.as_ref(), &message.payload) {
        Ok(event) => Some(Ok((sequence, event))),
        Err(error) => {
            tracing::warn!(%error, sequence, "a message that is no event was skipped");
            None
        }
    }
}
