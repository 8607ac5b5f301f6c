//! A worker's process: it pulls, beats, and steps its attempts. It knows nothing after a start.

use std::collections::BTreeMap;

use framemill_schemas::{holder::Holder, ids::NodeId};
use uuid::Uuid;

use super::{
    attempt::Attempt,
    net::{Answer, Input, Net, Request, Timer, Who},
};

const BEAT_MS: u64 = 1_000;
const PULL_MS: u64 = 200;
const SLOTS: usize = 2;

pub struct Node {
    who: Who,
    name: NodeId,
    process: Uuid,
    attempts: BTreeMap<u64, Attempt>,
    next: u64,
    fetching: Option<u64>,
    stopping: bool,
}

impl Node {
    pub fn new(at: usize) -> Self {
        Self {
            who: Who::Node(at),
            name: format!("node-{at}").parse().expect("a name"),
            process: Uuid::nil(),
            attempts: BTreeMap::new(),
            next: 0,
            fetching: None,
            stopping: false,
        }
    }

    pub fn start(&mut self, net: &mut Net) {
        self.process = net.random.uuid();
        self.attempts.clear();
        self.fetching = None;
        self.stopping = false;
        net.timer(self.who, 1, Timer::Pull);
        net.timer(self.who, 1, Timer::Beat);
    }

    pub fn holds(&self, job: usize) -> bool {
        self.attempts.values().any(|attempt| attempt.delivery.job == job)
    }

    pub fn input(&mut self, net: &mut Net, input: Input) {
        match input {
            Input::Answer(token, answer) if self.fetching == Some(token) => {
                self.fetching = None;
                if let Some(Answer::Hint(Some(delivery))) = answer {
                    self.next += 1;
                    let holder = Holder { node: self.name.clone(), process: self.process, nonce: net.random.uuid() };
                    let attempt = Attempt::begin(net, self.who, self.next, holder, delivery);
                    self.attempts.insert(self.next, attempt);
                }
            }
            Input::Answer(token, answer) => {
                if let Some(attempt) = self.attempts.values_mut().find(|attempt| attempt.awaits(token)) {
                    attempt.answer(net, answer);
                }
            }
            Input::Timer(Timer::Beat) => {
                self.beat(net);
                net.timer(self.who, BEAT_MS, Timer::Beat);
            }
            Input::Timer(Timer::Pull) => {
                if self.fetching.is_none() && self.attempts.len() < SLOTS && !self.stopping {
                    self.fetching = Some(net.ask(self.who, Request::Fetch));
                }
                net.timer(self.who, PULL_MS, Timer::Pull);
            }
            Input::Timer(Timer::Sign(id)) => self.each(Some(id), |attempt| attempt.sign(net)),
            Input::Timer(Timer::Worked(id)) => self.each(Some(id), |attempt| attempt.worked(net)),
            Input::Timer(Timer::Again(id)) => self.each(Some(id), |attempt| attempt.again(net)),
            Input::Notice { job, revision } => {
                for attempt in self.attempts.values_mut().filter(|attempt| attempt.delivery.job == job) {
                    attempt.notice(net, revision);
                }
            }
            Input::Back => {
                self.beat(net);
                self.each(None, |attempt| attempt.look(net));
            }
            Input::Stop => {
                self.stopping = true;
                self.each(None, |attempt| attempt.stop(net));
            }
            Input::Timer(_) | Input::Heard(_) | Input::Seen { .. } => {}
        }
        self.attempts.retain(|_, attempt| !attempt.is_over());
    }

    fn each(&mut self, id: Option<u64>, mut act: impl FnMut(&mut Attempt)) {
        self.attempts.values_mut().filter(|attempt| id.is_none_or(|id| attempt.id == id)).for_each(&mut act);
    }

    fn beat(&self, net: &mut Net) {
        let nonces = self.attempts.values().map(|attempt| attempt.holder.nonce).collect();
        net.say(self.who, Request::Beat { nonces });
    }
}
