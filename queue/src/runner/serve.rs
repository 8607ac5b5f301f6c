//! The runner's loop: pulls, attempts, heartbeats, drain and stop. Nothing in it waits for the
//! server longer than a message takes to be queued.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, AckKind};
use framemill_schemas::{holder::Holder, ladder::VideoCodec, lane::Lane, presence::Heartbeat};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Handler, RunnerConfig,
    attempt::Ended,
    intake::{Intake, Step},
    now_ms,
    pulls::{Arrival, Pulls},
};
use crate::{error::QueueError, queue::Queue};

/// Format of heartbeats written by this version.
const HEARTBEAT_VERSION: u32 = 1;
/// Heartbeats in a lease: a few may be lost.
const BEATS_PER_LEASE: u32 = 5;
/// How long the runner rests after an outage, doubled with each in a row.
const REST: Duration = Duration::from_secs(5);
/// Longest rest.
const REST_MAX: Duration = Duration::from_secs(60);

/// What every attempt of a runner shares.
pub(super) struct Runner<H> {
    pub queue: Queue,
    pub config: RunnerConfig,
    pub handler: Arc<H>,
    pub stop: CancellationToken,
}

/// Serves until drained or stopped. `drain`: what runs is finished, nothing new is claimed.
/// `stop`: what runs is cancelled and released, with no attempt spent. Returns once nothing runs
/// any more; fails only when the connection is closed for good.
pub async fn serve<H: Handler>(
    queue: Queue,
    config: RunnerConfig,
    handler: Arc<H>,
    drain: CancellationToken,
    stop: CancellationToken,
) -> Result<(), QueueError> {
    let pulls = Pulls::open(&queue.link, &config.lanes).await?;
    let intake = Intake::new(config.lanes.len());
    let runner = Arc::new(Runner { queue, config, handler, stop });
    let work = Work { attempts: JoinSet::new(), nonces: HashMap::new(), rest: REST, resting: None };
    let encodes = encodes(&runner.config.lanes);
    Loop { runner, pulls, intake, work, encodes, draining: false }.run(drain).await
}

/// What runs now.
struct Work {
    attempts: JoinSet<Ended>,
    nonces: HashMap<tokio::task::Id, Uuid>,
    rest: Duration,
    resting: Option<Instant>,
}

struct Loop<H> {
    runner: Arc<Runner<H>>,
    pulls: Pulls,
    intake: Intake<Box<jetstream::Message>>,
    work: Work,
    encodes: Vec<VideoCodec>,
    draining: bool,
}

/// The codecs some lanes need.
fn encodes(lanes: &[Lane]) -> Vec<VideoCodec> {
    VideoCodec::ALL.into_iter().filter(|codec| lanes.iter().any(|lane| lane.codec() == Some(*codec))).collect()
}

impl<H: Handler> Loop<H> {
    async fn run(mut self, drain: CancellationToken) -> Result<(), QueueError> {
        let stop = self.runner.stop.clone();
        let mut beats = interval(self.runner.config.lease / BEATS_PER_LEASE);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut link = self.runner.queue.link.state.clone();
        loop {
            self.act().await;
            if self.draining && self.work.attempts.is_empty() {
                return self.leave().await;
            }
            // Without a connection nothing falls due: coming back is what wakes the loop.
            let due = [self.intake.wake(), self.work.resting].into_iter().flatten().min();
            let wake = due.filter(|_| self.runner.queue.is_connected());
            tokio::select! {
                arrival = self.pulls.next() => match arrival {
                    Some(Arrival::Hint { lane, more, message }) => self.intake.hint(lane, more, message),
                    Some(Arrival::Answer { lane, serial, answer }) => {
                        self.intake.answer(lane, serial, answer, Instant::now());
                    }
                    None => return Err(QueueError::Unavailable("the connection was closed".to_owned())),
                },
                Some(ended) = self.work.attempts.join_next_with_id() => self.work.ended(ended),
                _ = beats.tick() => self.beat().await,
                Ok(()) = link.changed() => {
                    if link.borrow_and_update().up {
                        self.intake.reset();
                        self.beat().await;
                    }
                }
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => {}
                () = drain.cancelled(), if !self.draining => self.drain().await,
                () = stop.cancelled(), if !self.draining => self.drain().await,
            }
        }
    }

    /// Does what the intake decides.
    async fn act(&mut self) {
        if !self.runner.queue.is_connected() {
            return;
        }
        let room = if self.draining { 0 } else { self.work.room(self.runner.config.slots) };
        for step in self.intake.plan(room, Instant::now()) {
            match step {
                Step::Take(message) => self.take(message),
                Step::Refuse(message) => self.runner.queue.link.tell(message.ack_with(AckKind::Nak(None))).await,
                Step::Try { lane, serial } => self.pulls.try_now(lane, serial).await,
                Step::Stand { lane, serial } => self.pulls.stand(lane, serial).await,
            }
        }
    }

    fn take(&mut self, message: Box<jetstream::Message>) {
        let config = &self.runner.config;
        let nonce = Uuid::new_v4();
        let holder = Holder { node: config.node.clone(), process: config.process, nonce };
        let task = self.work.attempts.spawn(self.runner.clone().attempt(*message, holder, now_ms()));
        // Known before the claim is made, so that no heartbeat misses it.
        self.work.nonces.insert(task.id(), nonce);
    }

    async fn beat(&self) {
        let config = &self.runner.config;
        let heartbeat = Heartbeat {
            v: HEARTBEAT_VERSION,
            node: config.node.clone(),
            process: config.process,
            role: config.role.to_owned(),
            nonces: self.work.nonces.values().copied().collect(),
            encodes: self.encodes.clone(),
            slots: if self.draining { 0 } else { u32::try_from(config.slots).unwrap_or(u32::MAX) },
        };
        if let Err(error) = self.runner.queue.beat(&heartbeat).await {
            tracing::warn!(%error, "a heartbeat could not be written");
        }
    }

    async fn drain(&mut self) {
        self.draining = true;
        self.beat().await;
    }

    /// Hints that are on their way to nobody would be missed until their time runs out.
    async fn leave(mut self) -> Result<(), QueueError> {
        self.pulls.close().await;
        while let Ok(Some(arrival)) = tokio::time::timeout(REST, self.pulls.next()).await {
            if let Arrival::Hint { message, .. } = arrival {
                self.runner.queue.link.tell(message.ack_with(AckKind::Nak(None))).await;
            }
        }
        Ok(())
    }
}

impl Work {
    fn room(&mut self, slots: usize) -> usize {
        if self.resting.is_some_and(|until| until <= Instant::now()) {
            self.resting = None;
        }
        if self.resting.is_some() { 0 } else { slots.saturating_sub(self.attempts.len()) }
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, Ended), tokio::task::JoinError>) {
        match ended {
            Ok((id, ended)) => {
                self.nonces.remove(&id);
                match ended {
                    Ended::Outage => {
                        self.resting = Some(Instant::now() + self.rest);
                        self.rest = (self.rest * 2).min(REST_MAX);
                    }
                    Ended::Done => self.rest = REST,
                }
            }
            Err(error) => {
                self.nonces.remove(&error.id());
                tracing::error!(%error, "an attempt broke off; the reaper will find its job");
            }
        }
    }
}
