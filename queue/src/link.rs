//! The connection: whether it is up, how often it came back, and calls that notice its loss at
//! once instead of waiting for a timeout.

use std::{future::Future, sync::Arc, time::Duration};

use async_nats::{Client, Event, RequestErrorKind, jetstream::Context};
use bytes::Bytes;
use tokio::{sync::watch, time::timeout};

/// Longest one request to the server may take.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(5);

/// What is known of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkState {
    /// Connections made so far.
    pub connects: u64,
    /// Connections lost so far.
    pub losses: u64,
    /// Whether there is one now.
    pub up: bool,
}

/// Turns the client's events into a [`LinkState`].
pub(crate) fn observe(state: &watch::Sender<LinkState>, event: &Event) {
    match event {
        Event::Connected => state.send_modify(|state| {
            state.connects += 1;
            state.up = true;
        }),
        Event::Disconnected | Event::Closed => state.send_modify(|state| {
            state.losses += 1;
            state.up = false;
        }),
        _ => {}
    }
}

/// A call that got no answer: the connection was lost, or the time ran out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoAnswer(pub &'static str);

/// The connection and what is needed to call the server.
#[derive(Clone)]
pub(crate) struct Link {
    pub client: Client,
    pub context: Context,
    pub(crate) state: watch::Receiver<LinkState>,
    /// Keeps the sender's callback alive as long as somebody may wait for it.
    pub(crate) _events: Arc<watch::Sender<LinkState>>,
}

impl Link {
    pub fn now(&self) -> LinkState {
        *self.state.borrow()
    }

    /// Waits until there is a connection; false when `limit` passed without one.
    pub async fn wait_up(&self, limit: Duration) -> bool {
        let mut state = self.state.clone();
        matches!(timeout(limit, state.wait_for(|state| state.up)).await, Ok(Ok(_)))
    }

    /// Runs a request; ends early when the connection it was sent on is lost, since its answer
    /// would never come.
    pub async fn call<F: Future>(&self, request: F) -> Result<F::Output, NoAnswer> {
        let mut state = self.state.clone();
        if !self.wait_up(CALL_MAX).await {
            return Err(NoAnswer("not connected"));
        }
        let losses = self.now().losses;
        tokio::select! {
            biased;
            output = timeout(CALL_MAX, request) => output.map_err(|_| NoAnswer("timed out")),
            _ = state.wait_for(|state| state.losses > losses) => Err(NoAnswer("the connection was lost")),
        }
    }

    /// Waits until the server has taken in everything sent before. Flushing would only empty
    /// our own buffers; the answer to a question nobody can answer comes from the server.
    pub async fn settle(&self) -> Result<(), NoAnswer> {
        let nobody = self.client.new_inbox();
        match self.call(self.client.request(nobody, Bytes::new())).await? {
            Err(error) if error.kind() != RequestErrorKind::NoResponders => Err(NoAnswer("the server did not answer")),
            _ => Ok(()),
        }
    }

    /// Sends a message that needs no answer. Without a connection it is dropped: what is said
    /// this way is said again, or not needed by then.
    pub async fn tell<F: Future>(&self, send: F) {
        if self.now().up {
            // The client's outgoing queue is full only when the connection is stuck.
            let _ = timeout(CALL_MAX, send).await;
        }
    }
}
