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
    sync::watch,
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
    rest::Rest,
};
use crate::{error::QueueError, nodes::Standing, queue::Queue};

/// Format of heartbeats written by this version.
const HEARTBEAT_VERSION: u32 = 1;
/// Heartbeats in a lease: a few may be lost.
const BEATS_PER_LEASE: u32 = 4;
/// How long hints that are on their way are waited for at the end.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// What every attempt of a runner shares.
pub(super) struct Runner<H> {
    pub queue: Queue,
    pub config: RunnerConfig,
    pub handler: Arc<H>,
    pub stop: CancellationToken,
    /// What the farm says of this node.
    pub standing: watch::Receiver<Standing>,
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
    let (_said, standing) = watch::channel(Standing::FREE);
    serve_as(queue, config, standing, handler, drain, stop).await
}

/// Serves as a node of the farm: takes nothing while `standing` says so, and gives back what it
/// runs when told to, with no attempt spent. The rest is as in [`serve`].
pub async fn serve_as<H: Handler>(
    queue: Queue,
    config: RunnerConfig,
    standing: watch::Receiver<Standing>,
    handler: Arc<H>,
    drain: CancellationToken,
    stop: CancellationToken,
) -> Result<(), QueueError> {
    let pulls = Pulls::open(&queue.link, &config.lanes).await?;
    let intake = Intake::new(config.lanes.len());
    let runner = Arc::new(Runner { queue, config, handler, stop, standing });
    let work = Work { attempts: JoinSet::new(), claims: HashMap::new(), rest: Rest::new() };
    let encodes = encodes(&runner.config.lanes);
    Loop { runner, pulls, intake, work, encodes, draining: false }.run(drain).await
}

/// What runs now.
struct Work {
    attempts: JoinSet<Ended>,
    /// Nonce of each attempt, and when it began.
    claims: HashMap<tokio::task::Id, (Uuid, Instant)>,
    rest: Rest,
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
        let mut gate = self.runner.config.gate.changes();
        let mut standing = self.runner.standing.clone();
        loop {
            self.act().await;
            if self.draining && self.work.attempts.is_empty() {
                return self.leave().await;
            }
            // Without a connection nothing falls due: coming back is what wakes the loop.
            let due = [self.intake.wake(), self.work.rest.until(Instant::now())].into_iter().flatten().min();
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
                Ok(()) = gate.changed() => {}
                // Said at once: whoever drains a node waits to hear that it takes nothing.
                Ok(()) = standing.changed() => self.beat().await,
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
        let shut = !self.takes() || !self.runner.config.gate.is_open();
        let room = if shut { 0 } else { self.work.room(self.runner.config.slots) };
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
        self.work.claims.insert(task.id(), (nonce, Instant::now()));
    }

    /// Why nothing is taken now, for people.
    fn waiting(&mut self) -> Option<String> {
        let config = &self.runner.config;
        if self.draining {
            return Some("what runs is finished first, and nothing is taken until then".to_owned());
        }
        if !self.takes() {
            return Some("the node is out of service".to_owned());
        }
        config.gate.why().or_else(|| self.work.waiting(config.slots, Instant::now()))
    }

    async fn beat(&mut self) {
        let waiting = self.waiting();
        let config = &self.runner.config;
        let heartbeat = Heartbeat {
            v: HEARTBEAT_VERSION,
            node: config.node.clone(),
            process: config.process,
            role: config.role.to_owned(),
            nonces: self.work.claims.values().map(|(nonce, _)| *nonce).collect(),
            encodes: self.encodes.clone(),
            waiting,
            slots: if !self.takes() { 0 } else { u32::try_from(config.slots).unwrap_or(u32::MAX) },
        };
        if let Err(error) = self.runner.queue.beat(&heartbeat).await {
            tracing::warn!(%error, "a heartbeat could not be written");
        }
    }

    fn takes(&self) -> bool {
        !self.draining && self.runner.standing.borrow().takes
    }

    async fn drain(&mut self) {
        self.draining = true;
        self.beat().await;
    }

    /// Hints that are on their way to nobody would be missed until their time runs out.
    async fn leave(mut self) -> Result<(), QueueError> {
        self.pulls.close().await;
        while let Ok(Some(arrival)) = tokio::time::timeout(LEAVE_MAX, self.pulls.next()).await {
            if let Arrival::Hint { message, .. } = arrival {
                self.runner.queue.link.tell(message.ack_with(AckKind::Nak(None))).await;
            }
        }
        Ok(())
    }
}

impl Work {
    fn room(&mut self, slots: usize) -> usize {
        match self.rest.until(Instant::now()) {
            Some(_) => 0,
            None => slots.saturating_sub(self.attempts.len()),
        }
    }

    /// Why there is no room, for people.
    fn waiting(&mut self, slots: usize, now: Instant) -> Option<String> {
        if let Some(until) = self.rest.until(now) {
            let seconds = until.saturating_duration_since(now).as_secs();
            return Some(format!("it rests for {seconds} s more, because something it needs was away"));
        }
        let taken = self.attempts.len();
        (taken >= slots).then(|| format!("{taken} of {slots} slots are taken"))
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, Ended), tokio::task::JoinError>) {
        match ended {
            Ok((id, ended)) => match (ended, self.claims.remove(&id)) {
                (Ended::Outage, Some((_, began))) => self.rest.outage(began, Instant::now()),
                (Ended::Worked, _) => self.rest.worked(),
                (Ended::Outage | Ended::Idle, _) => {}
            },
            Err(error) => {
                self.claims.remove(&error.id());
                tracing::error!(%error, "an attempt broke off; the reaper will find its job");
            }
        }
    }
}
