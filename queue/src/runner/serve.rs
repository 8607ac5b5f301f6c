//! The runner's loop: pulls, attempts, heartbeats, drain and stop. Nothing in it waits for the
//! server longer than a message takes to be queued.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, AckKind};
use framemill_schemas::{
    holder::Holder,
    job::Hint,
    lane::{Lane, Priority},
    load::Load,
    presence::Heartbeat,
    wire,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Handler, Place, RunnerConfig,
    attempt::Ended,
    intake::{Admit, Intake, Step},
    now_ms,
    pulls::{Arrival, Pulls},
    rest::Rest,
    room::{self, Ask, Candidate, Decision, KEEP_MAX, Offer, Room, Slots},
};
use crate::{error::QueueError, nodes::Standing, queue::Queue};

/// Format of heartbeats written by this version.
const HEARTBEAT_VERSION: u32 = 1;
/// Heartbeats in a lease: a few may be lost.
const BEATS_PER_LEASE: u32 = 4;
/// How long a job rests that room was kept for in vain.
const LET_GO: Duration = Duration::from_secs(5);
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
    let room = Box::new(Slots::new(config.slots));
    serve_within(queue, config, room, standing, handler, drain, stop).await
}

/// The same, where more than a number of slots decides what there is room for.
pub async fn serve_within<H: Handler>(
    queue: Queue,
    config: RunnerConfig,
    room: Box<dyn Room>,
    standing: watch::Receiver<Standing>,
    handler: Arc<H>,
    drain: CancellationToken,
    stop: CancellationToken,
) -> Result<(), QueueError> {
    let pulls = Pulls::open(&queue.link, &config.lanes).await?;
    let intake = Intake::new(config.lanes.len());
    let runner = Arc::new(Runner { queue, config, handler, stop, standing });
    let work = Work { attempts: JoinSet::new(), claims: HashMap::new(), rest: Rest::new() };
    Loop { runner, pulls, intake, room, kept: None, work, draining: false }.run(drain).await
}

/// What runs now.
struct Work {
    attempts: JoinSet<Ended>,
    claims: HashMap<tokio::task::Id, Claim>,
    rest: Rest,
}

/// What is known of an attempt that runs.
struct Claim {
    nonce: Uuid,
    began: Instant,
    /// Asks it to end at its next boundary.
    yields: CancellationToken,
}

/// A hint that room is kept for.
struct Kept {
    hint: Offered,
    since: Instant,
}

struct Loop<H> {
    runner: Arc<Runner<H>>,
    pulls: Pulls,
    intake: Intake<Offered>,
    room: Box<dyn Room>,
    kept: Option<Kept>,
    work: Work,
    draining: bool,
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
            let kept = self.kept.as_ref().map(|kept| kept.since + KEEP_MAX);
            let due = [self.intake.wake(), self.work.rest.until(Instant::now()), self.room.due(), kept];
            let due = due.into_iter().flatten().min();
            let wake = due.filter(|_| self.runner.queue.is_connected());
            tokio::select! {
                arrival = self.pulls.next() => match arrival {
                    Some(Arrival::Hint { lane, more, message }) => {
                        let hint = Offered::read(message, self.runner.config.lanes[lane]);
                        self.intake.hint(lane, more, hint);
                    }
                    Some(Arrival::Answer { lane, serial, answer }) => {
                        self.intake.answer(lane, serial, answer, Instant::now());
                    }
                    None => return Err(QueueError::Unavailable("the connection was closed".to_owned())),
                },
                Some(ended) = self.work.attempts.join_next_with_id() => {
                    if let Some(claim) = self.work.ended(ended) {
                        self.room.end(claim);
                    }
                    self.intake.freed();
                }
                _ = beats.tick() => self.beat().await,
                Ok(()) = link.changed() => {
                    if link.borrow_and_update().up {
                        self.intake.reset();
                        // Away for long, its hint went to somebody else.
                        self.kept = None;
                        self.room.keep(None);
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
        let now = Instant::now();
        self.room.look(now);
        let resting = self.work.rest.until(now).is_some();
        let shut = !self.takes() || !self.runner.config.gate.is_open() || resting;
        self.look_at_kept(shut, now).await;
        let keeps = self.kept.as_ref().map(|kept| kept.hint.ask.lane.priority());
        let lanes = &self.runner.config.lanes;
        let mut desk = Desk { room: self.room.as_mut(), lanes, shut, keeps, now_ms: now_ms() };
        for step in self.intake.plan(&mut desk, now) {
            match step {
                Step::Take(hint, seat) => self.start(hint, seat),
                Step::Keep(hint) => self.keep(hint, now).await,
                Step::Refuse(hint, pause) => self.give_back(hint, pause).await,
                Step::Try { lane, serial } => self.pulls.try_now(lane, serial).await,
                Step::Stand { lane, serial } => self.pulls.stand(lane, serial).await,
            }
        }
    }

    async fn give_back(&self, hint: Offered, pause: Option<Duration>) {
        self.runner.queue.link.tell(hint.message.ack_with(AckKind::Nak(pause))).await;
    }

    /// Room is kept for this one from now on, and no longer for another.
    async fn keep(&mut self, hint: Offered, now: Instant) {
        if let Some(before) = self.kept.take() {
            self.give_back(before.hint, None).await;
        }
        tracing::debug!(lane = %hint.ask.lane, "room is kept for a job until there is enough");
        self.room.keep(Some(hint.ask));
        self.kept = Some(Kept { hint, since: now });
        self.ask_to_yield();
    }

    /// Starts what room was kept for once there is enough, or lets it go.
    async fn look_at_kept(&mut self, shut: bool, now: Instant) {
        let Some(kept) = self.kept.take() else { return };
        self.room.keep(None);
        if shut || now.duration_since(kept.since) >= KEEP_MAX {
            return self.give_back(kept.hint, (!shut).then_some(LET_GO)).await;
        }
        match self.room.take(kept.hint.claim, kept.hint.ask) {
            Offer::Take(seat) => self.start(kept.hint, seat),
            Offer::Never(_) => self.give_back(kept.hint, Some(LET_GO)).await,
            Offer::Wait(_) => {
                self.room.keep(Some(kept.hint.ask));
                self.kept = Some(kept);
                self.ask_to_yield();
            }
        }
    }

    /// Asks one that runs to make room for what is more urgent.
    fn ask_to_yield(&self) {
        let victim = self.kept.as_ref().and_then(|kept| self.room.makes_room(&kept.hint.ask));
        let claim = self.work.claims.values().find(|claim| Some(claim.nonce) == victim);
        if let Some(claim) = claim.filter(|claim| !claim.yields.is_cancelled()) {
            tracing::info!(claim = %claim.nonce, "a job is asked to make room at its next boundary");
            claim.yields.cancel();
        }
    }

    fn start(&mut self, hint: Offered, seat: Option<u32>) {
        let config = &self.runner.config;
        let Offered { message, claim: nonce, .. } = hint;
        let holder = Holder { node: config.node.clone(), process: config.process, nonce };
        let yields = CancellationToken::new();
        let place = Place { seat, yields: yields.clone() };
        let task = self.work.attempts.spawn(self.runner.clone().attempt(*message, holder, place, now_ms()));
        // Known before the claim is made, so that no heartbeat misses it.
        self.work.claims.insert(task.id(), Claim { nonce, began: Instant::now(), yields });
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
        config.gate.why().or_else(|| self.work.resting(Instant::now())).or_else(|| self.room.waiting())
    }

    async fn beat(&mut self) {
        let waiting = self.waiting();
        let (hardware, engines) = self.room.hardware();
        let config = &self.runner.config;
        let heartbeat = Heartbeat {
            v: HEARTBEAT_VERSION,
            node: config.node.clone(),
            process: config.process,
            role: config.role.to_owned(),
            nonces: self.work.claims.values().map(|claim| claim.nonce).collect(),
            encodes: config.encodes.clone(),
            zone: config.zone.clone(),
            hardware,
            engines,
            waiting,
            slots: if !self.takes() { 0 } else { u32::try_from(config.slots).unwrap_or(u32::MAX) },
        };
        if let Err(error) = self.runner.queue.beat(&heartbeat).await {
            tracing::warn!(%error, "a heartbeat could not be written");
        }
        if let Some(kept) = &self.kept {
            self.runner.queue.link.tell(kept.hint.message.ack_with(AckKind::Progress)).await;
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
        if let Some(kept) = self.kept.take() {
            self.give_back(kept.hint, None).await;
        }
        while let Ok(Some(arrival)) = tokio::time::timeout(LEAVE_MAX, self.pulls.next()).await {
            if let Arrival::Hint { message, .. } = arrival {
                self.runner.queue.link.tell(message.ack_with(AckKind::Nak(None))).await;
            }
        }
        Ok(())
    }
}

impl Work {
    /// Why nothing is taken after an outage, for people.
    fn resting(&mut self, now: Instant) -> Option<String> {
        let until = self.rest.until(now)?;
        let seconds = until.saturating_duration_since(now).as_secs();
        Some(format!("it rests for {seconds} s more, because something it needs was away"))
    }

    /// Takes note of an end; the claim that ended.
    fn ended(&mut self, ended: Result<(tokio::task::Id, Ended), tokio::task::JoinError>) -> Option<Uuid> {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Some(ended)),
            Err(error) => {
                tracing::error!(%error, "an attempt broke off; the reaper will find its job");
                (error.id(), None)
            }
        };
        let claim = self.claims.remove(&id)?;
        match ended {
            Some(Ended::Outage) => self.rest.outage(claim.began, Instant::now()),
            Some(Ended::Worked) => self.rest.worked(),
            Some(Ended::Idle) | None => {}
        }
        Some(claim.nonce)
    }
}

/// A hint with what it says of its job, and the nonce of the claim it may become.
struct Offered {
    message: Box<jetstream::Message>,
    ask: Ask,
    claim: Uuid,
    /// When it was published, Unix milliseconds.
    published_ms: i64,
    /// How often it was delivered.
    delivered: i64,
}

impl Offered {
    /// One that cannot be read asks for nothing: whoever takes it says so.
    fn read(message: Box<jetstream::Message>, lane: Lane) -> Self {
        let load = wire::decode(&message.payload).map_or(Load::NONE, |hint: Hint| hint.load);
        let published_ms = message
            .info()
            .ok()
            .and_then(|info| i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).ok())
            .unwrap_or_else(now_ms);
        let delivered = message.info().map_or(1, |info| info.delivered);
        Self { message, ask: Ask { lane, load }, claim: Uuid::new_v4(), published_ms, delivered }
    }
}

/// Where the intake asks for room.
struct Desk<'a> {
    room: &'a mut dyn Room,
    lanes: &'a [Lane],
    shut: bool,
    keeps: Option<Priority>,
    now_ms: i64,
}

impl Admit<Offered> for Desk<'_> {
    fn opens(&self, lane: usize) -> bool {
        !self.shut && self.room.opens(self.lanes[lane])
    }

    fn decide(&mut self, _lane: usize, hint: &Offered) -> Decision {
        let age = u64::try_from(self.now_ms - hint.published_ms).unwrap_or_default();
        let priority = hint.ask.lane.priority();
        let job = Candidate { priority, age: Duration::from_millis(age), delivered: hint.delivered };
        let decision = room::decide(&self.room.take(hint.claim, hint.ask), job, self.keeps);
        if decision == Decision::Keep {
            self.keeps = Some(priority);
        }
        decision
    }
}
