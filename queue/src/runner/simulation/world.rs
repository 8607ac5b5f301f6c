//! Time, the network between processes and the server, and what goes wrong with either.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use framemill_schemas::job::{Hint, JobRecord, JobState};
use uuid::Uuid;

use super::{
    keeper::Keeper,
    node::Node,
    server::{By, Delivery, Server, Stored, Word},
};

/// How long a process waits for an answer.
const ANSWER_MAX_MS: u64 = 5_000;
/// Within this time after the last fault everything must have ended: a hint in a dead worker's
/// hands comes back, the reaper listens for a lease, and some attempts follow one another.
const CALM_MAX_MS: u64 = 180_000;
const NODES: usize = 3;
const KEEPERS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Node(usize),
    Keeper(usize),
}

pub enum Request {
    Get { job: usize },
    Change { job: usize, expected: u64, new: Box<JobRecord>, by: By },
    Publish { job: usize, hint: Hint },
    Where { job: usize },
    Delete { sequence: u64 },
    Fetch,
    Say { sequence: u64, word: Word },
    Beat { nonces: Vec<Uuid> },
    Ask,
}

#[derive(Clone, Debug)]
pub enum Answer {
    Record(Option<Stored>),
    Changed(Result<u64, ()>),
    Where(Option<u64>),
    Hint(Option<Delivery>),
    Done,
}

/// What reaches a process.
pub enum Input {
    /// The answer to what was asked under this number; nothing where none came.
    Answer(u64, Option<Answer>),
    Timer(Timer),
    /// A record was changed; may be lost.
    Notice {
        job: usize,
        revision: u64,
    },
    Heard(Vec<Uuid>),
    Seen {
        job: usize,
        state: JobState,
        nonce: Option<Uuid>,
        revision: u64,
    },
    /// The connection is back, or the process has started.
    Back,
    Stop,
}

#[derive(Clone, Copy, Debug)]
pub enum Timer {
    Beat,
    Pull,
    Sign(u64),
    Worked(u64),
    Again(u64),
    Sweep,
    Reap,
    Notify,
    Plan(usize),
    Cancel(usize),
    Redrive(usize),
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Crash,
    Restart,
    Stall,
    Cut,
    Mend,
    Stop,
    ServerStall,
}

/// A rule that is broken on purpose, to see that it is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// The hint is acknowledged although nobody knows whether the commit is stored.
    AcksInDoubt,
    /// A commit that was refused is stored over what stands there.
    CommitsOver,
    /// A claim is made of a job that somebody holds.
    ClaimsHeld,
    /// Nobody looks for ready jobs without a hint.
    NoSweep,
    /// Nobody takes jobs back from silent holders.
    NoReaper,
}

/// What goes wrong in one schedule, in thousandths of all messages, and until when.
pub struct Faults {
    lost: u64,
    late: u64,
    notices_lost: u64,
    slow: u64,
    pub failing: u64,
    pub meddling: bool,
    kinds: Vec<(Fault, Who)>,
    every_ms: u64,
    stall_ms: u64,
    server_stall_ms: u64,
    pub until_ms: u64,
    pub slip: Option<Slip>,
}

impl Faults {
    /// Everything, in a mixture that differs from seed to seed.
    pub fn wild(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x5eed);
        let mut kinds = Vec::new();
        for kind in [Fault::Crash, Fault::Stall, Fault::Cut, Fault::Stop] {
            kinds.extend((0..NODES).filter(|_| random.below(1000) < 700).map(|node| (kind, Who::Node(node))));
            kinds.extend((0..KEEPERS).filter(|_| random.below(1000) < 400).map(|at| (kind, Who::Keeper(at))));
        }
        if random.below(2) == 0 {
            kinds.push((Fault::ServerStall, Who::Node(0)));
        }
        Self {
            lost: random.below(100),
            late: random.below(60),
            notices_lost: random.below(600),
            slow: random.below(100),
            failing: random.below(500),
            meddling: random.below(3) == 0,
            kinds,
            every_ms: 500 + random.below(5_000),
            stall_ms: 14_000,
            server_stall_ms: 9_000,
            until_ms: 20_000 + random.below(30_000),
            slip: None,
        }
    }

    /// Only the server and the schedulers stand still, and nobody's request runs out of time.
    pub fn deaf(seed: u64) -> Self {
        let mut random = Random(seed ^ 0xdeaf);
        let mut kinds: Vec<_> = (0..KEEPERS).map(|at| (Fault::Stall, Who::Keeper(at))).collect();
        kinds.push((Fault::ServerStall, Who::Node(0)));
        Self {
            lost: 0,
            late: 0,
            notices_lost: 0,
            slow: 0,
            failing: 0,
            meddling: false,
            kinds,
            every_ms: 2_000 + random.below(8_000),
            stall_ms: 14_000,
            server_stall_ms: 4_900,
            until_ms: 40_000,
            slip: None,
        }
    }
}

/// splitmix64: a few lines, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn uuid(&mut self) -> Uuid {
        Uuid::from_u128(u128::from(self.next()) << 64 | u128::from(self.next()))
    }
}

enum Event {
    Arrive { who: Who, epoch: u32, token: Option<u64>, request: Request },
    Input { who: Who, epoch: u32, input: Input },
    Strike,
    Fault(Fault, Who),
}

#[derive(Clone, Copy, Default)]
struct Power {
    epoch: u32,
    alive: bool,
    stalled_until: u64,
    cut_until: u64,
}

/// Time and the network.
pub struct Net {
    pub now: u64,
    pub random: Random,
    pub faults: Faults,
    base: Instant,
    serial: u64,
    events: BTreeMap<(u64, u64), Event>,
    powers: [[Power; NODES]; 2],
    server_stalled_until: u64,
}

impl Net {
    pub fn instant(&self) -> Instant {
        self.base + Duration::from_millis(self.now)
    }

    /// Unix milliseconds, as records have them.
    pub fn now_ms(&self) -> i64 {
        1_000_000 + self.now as i64
    }

    pub fn is_calm(&self) -> bool {
        self.now >= self.faults.until_ms
    }

    pub fn chance(&mut self, thousandths: u64) -> bool {
        !self.is_calm() && self.random.below(1000) < thousandths
    }

    fn power(&mut self, who: Who) -> &mut Power {
        match who {
            Who::Node(at) => &mut self.powers[0][at],
            Who::Keeper(at) => &mut self.powers[1][at],
        }
    }

    fn push(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.events.insert((at.max(self.now), self.serial), event);
    }

    fn latency(&mut self) -> u64 {
        let slow = self.faults.slow;
        if self.chance(slow) { self.random.below(1_500) } else { 1 + self.random.below(8) }
    }

    pub fn input(&mut self, who: Who, after: u64, input: Input) {
        let epoch = self.power(who).epoch;
        self.push(self.now + after, Event::Input { who, epoch, input });
    }

    pub fn timer(&mut self, who: Who, after: u64, timer: Timer) {
        self.input(who, after, Input::Timer(timer));
    }

    /// Asks the server; the answer comes under the number that is returned.
    pub fn ask(&mut self, who: Who, request: Request) -> u64 {
        self.serial += 1;
        let token = self.serial;
        let (lost, late) = (self.faults.lost, self.faults.late);
        let cut = self.power(who).cut_until > self.now;
        if cut || self.chance(lost) {
            let after = if cut { 100 } else { ANSWER_MAX_MS };
            self.input(who, after, Input::Answer(token, None));
            return token;
        }
        let mut after = self.latency();
        let mut answered = Some(token);
        if self.chance(lost + late) {
            // It arrives, perhaps much later, and nobody learns of it.
            self.input(who, ANSWER_MAX_MS, Input::Answer(token, None));
            answered = None;
            if self.chance(500) {
                after = self.random.below(4 * ANSWER_MAX_MS);
            }
        }
        let epoch = self.power(who).epoch;
        self.push(self.now + after, Event::Arrive { who, epoch, token: answered, request });
        token
    }

    /// Says something that is not answered.
    pub fn say(&mut self, who: Who, request: Request) {
        let lost = self.faults.lost;
        if self.power(who).cut_until > self.now || self.chance(lost) {
            return;
        }
        let after = self.latency();
        let epoch = self.power(who).epoch;
        self.push(self.now + after, Event::Arrive { who, epoch, token: None, request });
    }
}

pub struct World {
    pub server: Server,
    net: Net,
    nodes: Vec<Node>,
    keepers: Vec<Keeper>,
    /// Says what happens.
    pub loud: bool,
}

impl World {
    pub fn new(seed: u64, faults: Faults) -> Self {
        let mut random = Random(seed);
        let jobs = 1 + random.below(4) as usize;
        let net = Net {
            now: 0,
            random,
            faults,
            base: Instant::now(),
            serial: 0,
            events: BTreeMap::new(),
            powers: Default::default(),
            server_stalled_until: 0,
        };
        let nodes = (0..NODES).map(Node::new).collect();
        let keepers = (0..KEEPERS).map(|at| Keeper::new(at, jobs, &net)).collect();
        Self { server: Server::new(jobs), net, nodes, keepers, loud: false }
    }

    /// Runs until everything has ended; an error is a broken rule.
    pub fn run(&mut self) -> Result<(), String> {
        for who in everybody() {
            self.fault(Fault::Restart, who);
        }
        self.net.push(1_000, Event::Strike);
        while let Some(((at, _), event)) = self.net.events.pop_first() {
            self.net.now = at;
            if self.net.is_calm() && self.server.open().is_empty() && self.server.is_swept() {
                return Ok(());
            }
            if at > self.net.faults.until_ms + CALM_MAX_MS {
                let open: Vec<_> = self.server.open().iter().map(|job| (*job, self.server.shown(*job))).collect();
                return Err(format!("after {CALM_MAX_MS} ms of calm these had not ended: {open:?}"));
            }
            self.step(event)?;
        }
        Err("nothing was left to happen".to_owned())
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Strike => self.strike(),
            Event::Fault(fault, who) => self.fault(fault, who),
            Event::Arrive { who, epoch, token, request } => return self.arrive(who, epoch, token, request),
            Event::Input { who, epoch, input } => {
                let power = *self.net.power(who);
                if epoch != power.epoch || !power.alive {
                    return Ok(());
                }
                if power.stalled_until > self.net.now {
                    self.net.push(power.stalled_until, Event::Input { who, epoch, input });
                    return Ok(());
                }
                let input = match input {
                    Input::Answer(token, Some(_)) if power.cut_until > self.net.now => Input::Answer(token, None),
                    Input::Notice { .. } | Input::Heard(_) | Input::Seen { .. } if power.cut_until > self.net.now => {
                        return Ok(());
                    }
                    input => input,
                };
                match who {
                    Who::Node(at) => self.nodes[at].input(&mut self.net, input),
                    Who::Keeper(at) => self.keepers[at].input(&mut self.net, input),
                }
            }
        }
        Ok(())
    }

    fn arrive(&mut self, who: Who, epoch: u32, token: Option<u64>, request: Request) -> Result<(), String> {
        if self.net.server_stalled_until > self.net.now {
            if let Some(token) = token {
                self.net.input(who, ANSWER_MAX_MS, Input::Answer(token, None));
            }
            let at = self.net.server_stalled_until + self.net.random.below(50);
            self.net.push(at, Event::Arrive { who, epoch, token, request });
            return Ok(());
        }
        let answer = self.serve(request)?;
        if let Some(token) = token {
            let at = self.net.now + self.net.latency();
            self.net.push(at, Event::Input { who, epoch, input: Input::Answer(token, Some(answer)) });
        }
        Ok(())
    }

    fn serve(&mut self, request: Request) -> Result<Answer, String> {
        let now = self.net.now;
        Ok(match request {
            Request::Get { job } => Answer::Record(self.server.records[job].clone()),
            Request::Change { job, expected, new, by } => {
                let state = new.state;
                let changed = self.server.change(job, expected, *new, by)?;
                if self.loud {
                    eprintln!("{now:>7} job {job} {by:?} from {expected}: {changed:?} {state:?}");
                }
                if let Ok(revision) = changed {
                    self.tell(job, revision);
                }
                Answer::Changed(changed)
            }
            Request::Publish { job, hint } => {
                self.server.publish(job, hint, now);
                Answer::Done
            }
            Request::Where { job } => Answer::Where(self.server.waiting(job)),
            Request::Delete { sequence } => {
                self.server.delete(sequence);
                Answer::Done
            }
            Request::Fetch => Answer::Hint(self.server.fetch(now)),
            Request::Say { sequence, word } => {
                if self.loud && word != Word::Progress {
                    eprintln!("{now:>7} hint {sequence} {word:?}");
                }
                self.server.hear(sequence, word, now)?;
                Answer::Done
            }
            Request::Beat { nonces } => {
                for at in 0..KEEPERS {
                    let after = self.net.latency();
                    self.net.input(Who::Keeper(at), after, Input::Heard(nonces.clone()));
                }
                Answer::Done
            }
            Request::Ask => Answer::Done,
        })
    }

    /// Tells those who hold a job, and the watches of the schedulers, of a change.
    fn tell(&mut self, job: usize, revision: u64) {
        for at in 0..NODES {
            let lost = self.net.faults.notices_lost;
            if self.nodes[at].holds(job) && !self.net.chance(lost) {
                let after = self.net.latency();
                self.net.input(Who::Node(at), after, Input::Notice { job, revision });
            }
        }
        for at in 0..KEEPERS {
            let after = self.net.latency();
            self.see(at, job, after);
        }
    }

    fn see(&mut self, keeper: usize, job: usize, after: u64) {
        let Some(stored) = &self.server.records[job] else { return };
        let nonce = stored.job.holder.as_ref().map(|holder| holder.nonce);
        let seen = Input::Seen { job, state: stored.job.state, nonce, revision: stored.revision };
        self.net.input(Who::Keeper(keeper), after, seen);
    }

    /// Something goes wrong somewhere, and something else soon.
    fn strike(&mut self) {
        if self.net.is_calm() || self.net.faults.kinds.is_empty() {
            return;
        }
        let pick = self.net.random.below(self.net.faults.kinds.len() as u64) as usize;
        let (fault, who) = self.net.faults.kinds[pick];
        self.fault(fault, who);
        let after = 1 + self.net.random.below(2 * self.net.faults.every_ms);
        self.net.push(self.net.now + after, Event::Strike);
    }

    fn fault(&mut self, fault: Fault, who: Who) {
        let (now, calm) = (self.net.now, self.net.faults.until_ms);
        let lasts = |net: &mut Net, most| (now + 100 + net.random.below(most)).min(calm);
        if self.loud {
            eprintln!("{now:>7} {fault:?} of {who:?}");
        }
        match fault {
            Fault::Crash | Fault::Stop if !self.net.power(who).alive => {}
            Fault::Crash => {
                let back = lasts(&mut self.net, 8_000);
                let power = self.net.power(who);
                (power.alive, power.epoch) = (false, power.epoch + 1);
                self.net.push(back, Event::Fault(Fault::Restart, who));
            }
            Fault::Restart => {
                let epoch = self.net.power(who).epoch + 1;
                *self.net.power(who) = Power { epoch, alive: true, stalled_until: 0, cut_until: 0 };
                match who {
                    Who::Node(at) => self.nodes[at].start(&mut self.net),
                    Who::Keeper(at) => self.keepers[at].start(&mut self.net),
                }
                self.back(who);
            }
            Fault::Stop => {
                self.net.input(who, 0, Input::Stop);
                let back = lasts(&mut self.net, 8_000);
                self.net.push(back, Event::Fault(Fault::Restart, who));
            }
            Fault::Stall => {
                let most = self.net.faults.stall_ms;
                self.net.power(who).stalled_until = lasts(&mut self.net, most);
            }
            Fault::Cut => {
                let until = lasts(&mut self.net, 14_000);
                self.net.power(who).cut_until = until;
                self.net.push(until, Event::Fault(Fault::Mend, who));
            }
            Fault::Mend => {
                if self.net.power(who).cut_until <= now {
                    self.back(who);
                }
            }
            // Between two it works off what waited, or one would only be longer than it may be.
            Fault::ServerStall if now < self.net.server_stalled_until + 500 => {}
            Fault::ServerStall => {
                let most = self.net.faults.server_stall_ms - 100;
                self.net.server_stalled_until = lasts(&mut self.net, most);
            }
        }
    }

    /// A process has a connection again: its watches deliver what there is.
    fn back(&mut self, who: Who) {
        self.net.input(who, 0, Input::Back);
        if let Who::Keeper(at) = who {
            for job in 0..self.server.records.len() {
                self.see(at, job, 5);
            }
        }
    }
}

fn everybody() -> impl Iterator<Item = Who> {
    (0..NODES).map(Who::Node).chain((0..KEEPERS).map(Who::Keeper))
}
