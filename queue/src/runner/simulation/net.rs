//! Time, and the network between processes and the server.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use framemill_schemas::job::{Hint, JobRecord, JobState};
use uuid::Uuid;

use super::{
    faults::{Fault, Faults, Random},
    server::{By, Delivery, Stored, Word},
};

/// How long a process waits for an answer.
pub const ANSWER_MAX_MS: u64 = 5_000;
pub const NODES: usize = 3;
pub const KEEPERS: usize = 2;

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

pub enum Event {
    Arrive { who: Who, epoch: u32, token: Option<u64>, request: Request },
    Input { who: Who, epoch: u32, input: Input },
    Strike,
    Fault(Fault, Who),
}

#[derive(Clone, Copy, Default)]
pub struct Power {
    pub epoch: u32,
    pub alive: bool,
    pub stalled_until: u64,
    pub cut_until: u64,
}

/// Time and the network.
pub struct Net {
    pub now: u64,
    pub random: Random,
    pub faults: Faults,
    pub base: Instant,
    pub serial: u64,
    pub events: BTreeMap<(u64, u64), Event>,
    pub powers: [[Power; NODES]; 2],
    pub server_stalled_until: u64,
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

    pub fn power(&mut self, who: Who) -> &mut Power {
        match who {
            Who::Node(at) => &mut self.powers[0][at],
            Who::Keeper(at) => &mut self.powers[1][at],
        }
    }

    pub fn push(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.events.insert((at.max(self.now), self.serial), event);
    }

    pub fn latency(&mut self) -> u64 {
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
