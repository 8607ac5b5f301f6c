//! Pulling: requests go out on one subject, hints and refusals come back on one inbox.

use async_nats::{StatusCode, Subscriber, jetstream};
use bytes::Bytes;
use framemill_schemas::{lane::Lane, subject};
use futures_util::StreamExt;

use super::intake::{Answer, STANDING};
use crate::{error::QueueError, link::Link};

/// What came back.
pub(super) enum Arrival {
    /// A hint, and whether its lane had others behind it.
    Hint { lane: usize, more: bool, message: Box<jetstream::Message> },
    /// No hint.
    Answer { lane: usize, serial: u64, answer: Answer },
}

/// The pulls of one runner.
pub(super) struct Pulls {
    link: Link,
    inbox: String,
    subscriber: Subscriber,
    lanes: Vec<Lane>,
    /// Subjects of the lanes, without the job.
    prefixes: Vec<String>,
}

impl Pulls {
    pub async fn open(link: &Link, lanes: &[Lane]) -> Result<Self, QueueError> {
        let inbox = link.client.new_inbox();
        let subscriber = link
            .client
            .subscribe(format!("{inbox}.*.*"))
            .await
            .map_err(|error| QueueError::Unavailable(error.to_string()))?;
        let prefixes = lanes.iter().map(|lane| format!("jobs.{lane}.")).collect();
        Ok(Self { link: link.clone(), inbox, subscriber, lanes: lanes.to_vec(), prefixes })
    }

    /// Asks for one hint that is there now: never more, since each is kept from others.
    pub async fn try_now(&self, lane: usize, serial: u64) {
        self.pull(lane, serial, r#"{"batch":1,"no_wait":true}"#.to_owned()).await;
    }

    /// Leaves a pull for one hint. No heartbeats: a lost pull is renewed with the connection, or
    /// when its time is over.
    pub async fn stand(&self, lane: usize, serial: u64) {
        self.pull(lane, serial, format!(r#"{{"batch":1,"expires":{}}}"#, STANDING.as_nanos())).await;
    }

    async fn pull(&self, lane: usize, serial: u64, request: String) {
        let consumer = self.lanes[lane].consumer();
        let to = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}", subject::JOBS_STREAM);
        let reply = format!("{}.{lane}.{serial}", self.inbox);
        self.link.tell(self.link.client.publish_with_reply(to, reply, Bytes::from(request))).await;
    }

    /// The next arrival; `None` when the connection is closed for good.
    pub async fn next(&mut self) -> Option<Arrival> {
        loop {
            let message = self.subscriber.next().await?;
            if let Some(arrival) = self.read(message) {
                return Some(arrival);
            }
        }
    }

    /// Stops listening; hints that are on their way already still come out of `next`.
    pub async fn close(&mut self) {
        let _ = self.subscriber.drain().await;
    }

    fn read(&self, message: async_nats::Message) -> Option<Arrival> {
        match message.status {
            None | Some(StatusCode::OK) => {
                let lane = self.prefixes.iter().position(|prefix| message.subject.starts_with(prefix.as_str()))?;
                let message = Box::new(jetstream::Message { message, context: self.link.context.clone() });
                let more = message.info().is_ok_and(|info| info.pending > 0);
                Some(Arrival::Hint { lane, more, message })
            }
            Some(StatusCode::IDLE_HEARTBEAT) => None,
            Some(status) => {
                let mut tokens = message.subject.strip_prefix(self.inbox.as_str())?.split('.').skip(1);
                let lane = tokens.next()?.parse().ok().filter(|lane| *lane < self.lanes.len())?;
                let serial = tokens.next()?.parse().ok()?;
                let answer = if [StatusCode::NOT_FOUND, StatusCode::TIMEOUT].contains(&status) {
                    Answer::Nothing
                } else {
                    tracing::debug!(%status, description = ?message.description, "a pull was refused");
                    Answer::Refused
                };
                Some(Arrival::Answer { lane, serial, answer })
            }
        }
    }
}
