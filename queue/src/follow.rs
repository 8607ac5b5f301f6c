//! Following a stream in order, across losses of the connection: the consumer is made anew at
//! once when the server is back, after the last message that was handed out.

use std::time::Duration;

use async_nats::jetstream::{
    self,
    consumer::{DeliverPolicy, push},
    stream::{RawMessageErrorKind, Stream},
};
use futures_util::StreamExt;
use tokio::time::sleep;

use crate::link::Link;

/// Pause before a consumer is asked for again that could not be made.
const AGAIN: Duration = Duration::from_millis(100);
/// Longest such pause: a server that just started takes a while to know its streams.
const AGAIN_MAX: Duration = Duration::from_secs(1);

/// A place in a stream, and what comes after it.
pub(crate) struct Follow {
    link: Link,
    stream: Stream<()>,
    filter: String,
    start: DeliverPolicy,
    last: u64,
    live: Option<Live>,
}

struct Live {
    messages: push::Ordered,
    /// Losses of the connection when it was made.
    losses: u64,
}

impl Follow {
    /// Follows the messages on `filter`, from `start`. Also tells whether there are none now.
    pub async fn open(
        link: Link,
        stream: Stream<()>,
        filter: String,
        start: DeliverPolicy,
    ) -> Result<(Self, bool), String> {
        let mut follow = Self { link, stream, filter, start, last: 0, live: None };
        let none = follow.connect().await?;
        Ok((follow, none))
    }

    /// Whether nothing is left in the stream after the last message that was handed out. Asked
    /// of the stream, and not of the consumer: that one is made anew without a word when it is
    /// lost, and messages come in the order of the stream.
    pub async fn is_at_end(&mut self) -> Result<bool, String> {
        let newest = self.link.call(self.stream.get_last_raw_message_by_subject(&self.filter)).await;
        match newest.map_err(|error| error.to_string())? {
            Ok(newest) => Ok(newest.sequence <= self.last),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(true),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The next message, with its sequence. Waits as long as it takes. Cancel-safe.
    pub async fn next(&mut self) -> (u64, jetstream::Message) {
        let mut pause = AGAIN;
        let mut state = self.link.state.clone();
        loop {
            let Some(live) = &mut self.live else {
                // The state's sender lives as long as the link.
                let _ = state.wait_for(|state| state.up).await;
                if let Err(error) = self.connect().await {
                    tracing::debug!(error, filter = self.filter, "a consumer could not be made yet");
                    sleep(pause).await;
                    pause = (pause * 2).min(AGAIN_MAX);
                }
                continue;
            };
            let losses = live.losses;
            let message = tokio::select! {
                biased;
                message = live.messages.next() => message,
                _ = state.wait_for(|state| state.losses > losses) => None,
            };
            let Some(Ok(message)) = message else {
                self.live = None;
                continue;
            };
            let Ok(sequence) = message.info().map(|info| info.stream_sequence) else { continue };
            // A consumer that the client made anew by itself may begin too early.
            if sequence > self.last {
                self.last = sequence;
                return (sequence, message);
            }
        }
    }

    async fn connect(&mut self) -> Result<bool, String> {
        let losses = self.link.now().losses;
        let config = push::OrderedConfig {
            deliver_subject: self.link.client.new_inbox(),
            filter_subject: self.filter.clone(),
            deliver_policy: match self.last {
                0 => self.start,
                last => DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
            },
            ..Default::default()
        };
        let made = self.link.call(self.stream.create_consumer(config)).await;
        let consumer = made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let none = consumer.cached_info().num_pending == 0;
        let messages = consumer.messages().await.map_err(|error| error.to_string())?;
        self.live = Some(Live { messages, losses });
        Ok(none)
    }
}
