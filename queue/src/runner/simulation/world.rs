//! The whole of it: what happens next, to whom, and what is told of it.

use std::{collections::BTreeMap, time::Instant};

use super::{
    faults::{Fault, Faults, Random},
    keeper::Keeper,
    net::{ANSWER_MAX_MS, Answer, Event, Input, KEEPERS, NODES, Net, Power, Request, Who},
    node::Node,
    server::{Server, Word},
};

/// Within this time after the last fault everything must have ended: a hint in a dead worker's
/// hands comes back, the reaper listens for a lease, and some attempts follow one another.
const CALM_MAX_MS: u64 = 180_000;

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
