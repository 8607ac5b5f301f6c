//! The shell around the decision: it remembers what runs, looks at the readings, and hands the queue's
//! questions on. Shared by the queue's loop, which asks, and the jobs, which start and end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use framemill_queue::runner::{Ask, Offer, Room};
use framemill_schemas::{
    job::JobKind,
    ladder::VideoCodec,
    lane::{Demand, Lane, Priority, Size},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    ceilings::{Ceilings, HeadroomConfig},
    choose::{Choice, DeviceState, Facts, Readings, Running, choose, is_busy, is_hot},
    cost::{Grant, WHOLE, least_of, wish},
    device::Node,
    learn::Learned,
    starts::{Begun, Starts, Turn},
    xid::Strikes,
};
use crate::machine::now::Now;

/// How often the machine is looked at though nothing starts or ends: as often as it is read.
const LOOK: Duration = Duration::from_secs(1);
/// How long a device that refused a session is believed to have no more, doubled with each in a row.
const BELIEF: Duration = Duration::from_secs(5);
/// Longest such time: what refused may be a desktop that was closed since.
const BELIEF_MAX: Duration = Duration::from_secs(20);
/// Why a device takes nothing that is not read.
const SILENT: &str = "the driver says nothing of it";
/// How long what a job takes of the processors is not read: one reading, and the start before it.
const READ: Duration = Duration::from_millis(1500);
/// How long after its claim a process counts as about to start.
const SOON: Duration = Duration::from_secs(3);
/// Loads that teach something, percent: at its limit a device says no more how much is asked of it, and
/// of little the whole percents that are told say too little.
const TELLING: std::ops::Range<u32> = 20..99;
/// Readings of a job's time that must be there before it teaches something.
const LESSON_MIN: u64 = 5;

/// A node's headroom. Clones are the same one.
#[derive(Clone)]
pub struct Headroom(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// A start came to its first picture or its end.
    started: Notify,
}

struct State {
    node: Node,
    ceilings: Ceilings,
    now: Now,
    readings: Readings,
    learned: Learned,
    running: Vec<Running>,
    kept: Option<Running>,
    /// Claims whose process has started, or never will.
    begun: BTreeSet<Uuid>,
    /// When each claim was made.
    taken_at: BTreeMap<Uuid, Instant>,
    devices: Vec<Memory>,
    lessons: BTreeMap<Uuid, Lesson>,
    sampled: Option<Instant>,
}

/// What is remembered of a device.
struct Memory {
    starts: Starts,
    strikes: Strikes,
    shut: Option<Shut>,
    belief: Option<Belief>,
    /// When something was taken, started or ended last.
    changed: Option<Instant>,
}

impl Memory {
    fn new(gap: Duration) -> Self {
        Self { starts: Starts::new(gap), strikes: Strikes::default(), shut: None, belief: None, changed: None }
    }
}

/// Why a device takes nothing, and until when at least.
struct Shut {
    why: String,
    until: Instant,
}

/// Sessions a device refused to go beyond.
#[derive(Clone, Copy)]
struct Belief {
    sessions: u32,
    until: Instant,
    lasts: Duration,
}

/// What was measured and predicted while a job ran, summed.
#[derive(Clone, Copy, Default)]
struct Lesson {
    measured: u64,
    predicted: u64,
    count: u64,
}

impl Headroom {
    /// Of a node that runs nothing.
    pub fn new(node: Node, config: &HeadroomConfig, now: Now) -> Self {
        let ceilings = Ceilings::from(config);
        let devices = node.devices.iter().map(|_| Memory::new(ceilings.gap)).collect();
        let state = State {
            node,
            ceilings,
            now,
            readings: Readings::default(),
            learned: Learned::default(),
            running: Vec::new(),
            kept: None,
            begun: BTreeSet::new(),
            taken_at: BTreeMap::new(),
            devices,
            lessons: BTreeMap::new(),
            sampled: None,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), started: Notify::new() }))
    }

    /// What the queue asks.
    pub fn room(&self) -> Box<dyn Room> {
        Box::new(self.clone())
    }

    /// Whether a job would be taken now.
    pub fn offer(&self, ask: &Ask) -> Offer {
        self.state().choose(*ask).into()
    }

    /// What a claim was given of a device.
    pub fn grant(&self, claim: Uuid) -> Option<Grant> {
        self.state().running.iter().find(|job| job.claim == claim)?.grant
    }

    /// Waits for a claim's turn to start a process on its device. At once for one that needs none.
    /// Nothing where it was called off.
    pub async fn start(&self, claim: Uuid, cancel: &CancellationToken) -> Option<Seated> {
        let Some(line) = Line::join(self, claim) else { return Some(Seated { place: None, went_well: false }) };
        loop {
            let started = self.0.started.notified();
            let begun = {
                let mut state = self.state();
                let begun = state.devices[line.device].starts.begin(line.turn, Instant::now());
                if begun == Begun::Now {
                    state.begun.insert(claim);
                    state.devices[line.device].changed = Some(Instant::now());
                }
                begun
            };
            let until = match begun {
                Begun::Now => {
                    return Some(Seated { place: Some((self.clone(), line.device)), went_well: false });
                }
                Begun::Ask(until) => until,
            };
            let due = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return None,
                () = started => {}
                () = due => {}
            }
        }
    }

    /// A device refused a claim a session or memory that it was believed to have: for a while it is
    /// believed to have room for one session less than that would have been.
    pub fn refused(&self, claim: Uuid, now: Instant) {
        let mut state = self.state();
        let Some(grant) = state.running.iter().find(|job| job.claim == claim).and_then(|job| job.grant) else { return };
        let device = grant.device;
        let Some(at) = state.place_of(device) else { return };
        // The claim's own are among them: it has begun.
        let held = state.sessions_on(device).saturating_sub(1);
        let memory = &mut state.devices[at];
        let lasts = match memory.belief {
            Some(belief) if belief.until + BELIEF_MAX > now => (belief.lasts * 2).min(BELIEF_MAX),
            _ => BELIEF,
        };
        memory.belief = Some(Belief { sessions: held, until: now + lasts, lasts });
        tracing::warn!(gpu = device, sessions = held, seconds = lasts.as_secs(), "a GPU refused a session or memory");
    }

    /// A device reported an error.
    pub fn reported(&self, device: u32, xid: u64, now: Instant) {
        let mut state = self.state();
        let Some(at) = state.place_of(device) else { return };
        let memory = &mut state.devices[at];
        if let Some((why, rest)) = memory.strikes.report(xid, now) {
            tracing::error!(gpu = device, xid, why, "a GPU takes nothing more");
            memory.shut = Some(Shut { why, until: now + rest });
        }
    }

    /// It encodes: whatever was held against it is forgotten, unless that was a single error of a job.
    pub fn reopened(&self, device: u32) {
        let mut state = self.state();
        let Some(at) = state.place_of(device) else { return };
        let memory = &mut state.devices[at];
        let now = Instant::now();
        if memory.shut.take_if(|shut| shut.until <= now).is_some() {
            memory.strikes.clear();
            tracing::info!(gpu = device, "a GPU that took nothing encodes again");
        }
    }

    /// It does not encode.
    pub fn shut(&self, device: u32, why: String) {
        let mut state = self.state();
        let Some(at) = state.place_of(device) else { return };
        tracing::error!(gpu = device, why, "a GPU does not encode any more; it takes nothing");
        let why = format!("it does not encode: {why}");
        state.devices[at].shut = Some(Shut { why, until: Instant::now() });
    }

    /// Another node, in place of this one, of which nothing runs.
    pub fn refit(&self, node: Node) {
        let mut state = self.state();
        let gap = state.ceilings.gap;
        state.devices = node.devices.iter().map(|_| Memory::new(gap)).collect();
        state.readings.devices.clear();
        state.node = node;
    }

    /// The devices that take nothing more because of their errors.
    pub fn shut_ones(&self) -> Vec<u32> {
        let state = self.state();
        let shut = state.node.devices.iter().zip(&state.devices).filter(|(_, memory)| memory.shut.is_some());
        shut.map(|(device, _)| device.index).collect()
    }

    /// Memory of a device in use when it was looked at last, percent; nothing where it does not tell.
    pub fn memory_percent(&self, device: u32) -> Option<u64> {
        let state = self.state();
        let reading = state.readings.gpus.iter().find(|gpu| gpu.index == device)?;
        (reading.memory_used_bytes? * 100).checked_div(reading.memory_bytes?)
    }

    /// The node it is of.
    pub fn node(&self) -> Node {
        self.state().node.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic left behind is put right by the next look.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line of a device; left when dropped.
struct Line {
    headroom: Headroom,
    device: usize,
    turn: Turn,
}

impl Line {
    fn join(headroom: &Headroom, claim: Uuid) -> Option<Self> {
        let mut state = headroom.state();
        let job = state.running.iter().find(|job| job.claim == claim).copied()?;
        let device = state.place_of(job.grant?.device)?;
        let turn = state.devices[device].starts.line_up(job.ask.lane.priority());
        Some(Self { headroom: headroom.clone(), device, turn })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.headroom.state().devices[self.device].starts.leave(self.turn);
        // Whoever is next need not wait for one that is gone.
        self.headroom.0.started.notify_waiters();
    }
}

/// A process that may start now. Dropped before its first picture, it failed.
pub struct Seated {
    place: Option<(Headroom, usize)>,
    went_well: bool,
}

impl Seated {
    /// It has its first picture.
    pub fn first_picture(&mut self) {
        if !std::mem::replace(&mut self.went_well, true)
            && let Some((headroom, device)) = &self.place
        {
            headroom.state().devices[*device].starts.went_well();
            headroom.0.started.notify_waiters();
        }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        if let (false, Some((headroom, device))) = (self.went_well, &self.place) {
            headroom.state().devices[*device].starts.failed();
            headroom.0.started.notify_waiters();
        }
    }
}

impl State {
    fn facts(&self) -> Facts<'_> {
        Facts { node: &self.node, ceilings: &self.ceilings, readings: &self.readings, learned: &self.learned }
    }

    /// What runs, and what room is kept for.
    fn taken(&self) -> Vec<Running> {
        self.running.iter().chain(&self.kept).copied().collect()
    }

    fn choose(&self, ask: Ask) -> Choice {
        choose(&self.node, &self.ceilings, &self.readings, &self.learned, &self.taken(), &[ask])
    }

    fn take(&mut self, job: Running) {
        self.running.push(job);
        self.taken_at.insert(job.claim, Instant::now());
        let Some(grant) = job.grant else {
            self.begun.insert(job.claim);
            self.readings.slot_unread = true;
            return;
        };
        // The next question is about a device on which a process is about to start.
        let at = self.place_of(grant.device);
        if let Some(device) = at.and_then(|at| self.readings.devices.get_mut(at)) {
            device.starts_in_ms = Some(millis(self.ceilings.gap));
        }
    }

    fn place_of(&self, device: u32) -> Option<usize> {
        self.node.devices.iter().position(|known| known.index == device)
    }

    fn on(&self, device: u32) -> impl Iterator<Item = (&Running, Grant)> {
        self.running.iter().filter_map(move |job| Some((job, job.grant.filter(|grant| grant.device == device)?)))
    }

    /// Sessions that opened on a device.
    fn sessions_on(&self, device: u32) -> u32 {
        let well = |job: &Running| self.begun.contains(&job.claim);
        self.on(device).filter(|(job, _)| well(job)).map(|(_, grant)| grant.cost.sessions).sum()
    }

    fn look(&mut self, now: Instant) {
        let machine = self.now.machine(now).unwrap_or_default();
        let gpus = self.now.gpus(now).unwrap_or_default();
        let mut devices = Vec::with_capacity(self.devices.len());
        for (at, device) in self.node.devices.iter().enumerate() {
            let memory = &self.devices[at];
            let was = self.readings.devices.get(at).is_some_and(|state| state.hot);
            let reading = gpus.iter().find(|gpu| gpu.index == device.index);
            // One that looks for what is stored already, or for its source, may take long: its turn to start
            // comes in line.
            let soon = |claim: &Uuid| self.taken_at.get(claim).is_some_and(|at| now.duration_since(*at) < SOON);
            let starts = self.on(device.index).any(|(job, _)| !self.begun.contains(&job.claim) && soon(&job.claim));
            let free_at = memory.starts.free_at(now);
            let starts_in = if starts { Some(self.ceilings.gap) } else { free_at.map(|at| at - now) };
            let shut = memory.shut.as_ref().map(|shut| shut.why.clone());
            devices.push(DeviceState {
                hot: reading.is_some_and(|reading| is_hot(was, reading, self.ceilings.margin_c)),
                believed_sessions: memory.belief.filter(|belief| belief.until > now).map(|belief| belief.sessions),
                shut: shut.or_else(|| reading.is_none().then(|| SILENT.to_owned())),
                starts_in_ms: starts_in.map(millis),
            });
        }
        let cpu_percent = machine.cpu_percent.map(|percent| percent.clamp(0.0, 100.0) as u32);
        let cpu_busy = is_busy(self.readings.cpu_busy, cpu_percent, self.ceilings.cpu_percent);
        let unread = |job: &Running| {
            job.grant.is_none() && self.taken_at.get(&job.claim).is_some_and(|at| now.duration_since(*at) < READ)
        };
        let slot_unread = self.running.iter().any(unread);
        let sent_per_s = machine.sent_per_s;
        self.readings = Readings { gpus, cpu_percent, sent_per_s, devices, cpu_busy, slot_unread };
        if self.sampled.is_none_or(|at| now.duration_since(at) >= LOOK) {
            self.sampled = Some(now);
            self.sample();
        }
    }

    /// Takes what is measured and what is predicted now into the account of everything that runs, where
    /// both are about the same: nothing changed in the time that the reading is of.
    fn sample(&mut self) {
        let read = self.now.gpus_at();
        for (device, memory) in self.node.devices.iter().zip(&self.devices) {
            let settled = |changed: Instant| read.is_some_and(|read| read > changed + LOOK);
            if !memory.changed.is_none_or(settled) {
                continue;
            }
            let reading = self.readings.gpus.iter().find(|gpu| gpu.index == device.index);
            let Some(percent) = reading.and_then(|gpu| gpu.encoder_percent).filter(|percent| TELLING.contains(percent))
            else {
                continue;
            };
            let claims: Vec<(Uuid, u64)> =
                self.on(device.index).map(|(job, grant)| (job.claim, grant.cost.encoder)).collect();
            if claims.iter().any(|(claim, _)| !self.begun.contains(claim)) {
                continue;
            }
            let predicted: u64 = claims.iter().map(|(_, encoder)| encoder).sum();
            for (claim, _) in claims {
                let lesson = self.lessons.entry(claim).or_default();
                // Whole percents: on average half of one more.
                lesson.measured += u64::from(percent) * (WHOLE / 100) + WHOLE / 200;
                lesson.predicted += predicted;
                lesson.count += 1;
            }
        }
    }

    fn end(&mut self, claim: Uuid) {
        let job = self.running.iter().position(|job| job.claim == claim).map(|at| self.running.swap_remove(at));
        self.begun.remove(&claim);
        self.taken_at.remove(&claim);
        if let Some(at) = job.and_then(|job| self.place_of(job.grant?.device)) {
            self.devices[at].changed = Some(Instant::now());
        }
        let lesson = self.lessons.remove(&claim).filter(|lesson| lesson.count >= LESSON_MIN);
        if let (Some(job), Some(lesson)) = (job, lesson)
            && let Some(codec) = job.ask.lane.codec()
        {
            self.learned.observe(codec, &job.ask.load, lesson.measured, lesson.predicted);
        }
    }

    /// Room kept for a job: the least it needs, where least is taken.
    fn reserve(&self, ask: Ask) -> Running {
        let used = |device: u32| self.on(device).map(|(_, grant)| grant.cost.encoder).sum::<u64>();
        let wishes = self.node.devices.iter().filter_map(|device| {
            Some((device.index, wish(&ask, device, &self.learned, self.ceilings.encoder_percent)?))
        });
        let grant = wishes
            .min_by_key(|(device, wish)| used(*device) + wish.least)
            .and_then(|(device, wish)| Some(wish.grant(device, wish.of_free(wish.least)?)));
        let grant = grant.filter(|_| ask.lane.demand() == Some(Demand::Nvenc));
        Running { claim: Uuid::nil(), ask, grant }
    }
}

impl From<Choice> for Offer {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Take { grant, .. } => Self::Take(grant.map(|grant| grant.device)),
            Choice::Wait(why) => Self::Wait(why),
            Choice::Never(why) => Self::Never(why),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Room for Headroom {
    fn look(&mut self, now: Instant) {
        self.state().look(now);
    }

    fn opens(&self, lane: Lane) -> bool {
        let state = self.state();
        let (facts, taken) = (state.facts(), state.taken());
        // A channel that finds no room may make some.
        facts.closed(lane, &taken).is_none() || facts.victim(&least_of(lane), &state.running).is_some()
    }

    fn take(&mut self, claim: Uuid, ask: Ask) -> Offer {
        let mut state = self.state();
        let choice = state.choose(ask);
        if let Choice::Take { grant, .. } = choice {
            state.take(Running { claim, ask, grant });
        }
        choice.into()
    }

    fn end(&mut self, claim: Uuid) {
        self.state().end(claim);
    }

    fn keep(&mut self, ask: Option<Ask>) {
        let mut state = self.state();
        state.kept = ask.map(|ask| state.reserve(ask));
    }

    fn makes_room(&self, ask: &Ask) -> Option<Uuid> {
        let state = self.state();
        state.facts().victim(ask, &state.running)
    }

    fn hardware(&self) -> (Vec<VideoCodec>, u32) {
        let state = self.state();
        let open = state.node.devices.iter().zip(&state.devices).filter(|(_, memory)| memory.shut.is_none());
        let devices = open.map(|(device, _)| device.clone()).collect();
        let open = Node { devices, ..state.node.clone() };
        (open.hardware(), open.engines())
    }

    fn due(&self) -> Option<Instant> {
        let state = self.state();
        if state.node.devices.is_empty() {
            return None;
        }
        let now = Instant::now();
        let starts = state.devices.iter().filter_map(|memory| memory.starts.free_at(now));
        starts.chain([now + LOOK]).min()
    }

    fn waiting(&self) -> Option<String> {
        let state = self.state();
        let taken = state.taken();
        let hardware = state.node.hardware().first().map(|codec| Lane::Encode {
            engine: Demand::Nvenc,
            codec: *codec,
            size: Size::Small,
            priority: Priority::Bulk,
        });
        let plain = Lane::Plain { kind: JobKind::Audio, priority: Priority::Bulk };
        let closed = |lane| state.facts().closed(lane, &taken);
        let mut whys: Vec<String> = hardware.into_iter().chain([plain]).filter_map(closed).collect();
        whys.dedup();
        (!whys.is_empty()).then(|| whys.join("; "))
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
