//! A scheduler: plans, sweeps, sends events, reaps, and does what operators ask. Both reap here,
//! which a lease forbids in earnest: a reaper may wake up late.

use std::collections::BTreeMap;

use framemill_schemas::{ids::JobId, job::JobState};
use uuid::Uuid;

use super::{
    errand::{Errand, Kind, id},
    faults::Slip,
    net::{Input, Net, Request, Timer, Who},
};
use crate::hearing::{Hearing, LEASE};

const SWEEP_MS: u64 = 5_000;
const REAP_MS: u64 = 500;
const NOTIFY_MS: u64 = 2_000;
const PLAN_MS: u64 = 4_000;

#[derive(Clone, Copy)]
struct Seen {
    state: JobState,
    nonce: Option<Uuid>,
    revision: u64,
}

pub struct Keeper {
    who: Who,
    hearing: Hearing,
    view: Vec<Option<Seen>>,
    errands: BTreeMap<u64, Errand>,
    pulse: Option<u64>,
}

impl Keeper {
    pub fn new(at: usize, jobs: usize, net: &Net) -> Self {
        Self {
            who: Who::Keeper(at),
            hearing: Hearing::new(LEASE, net.instant()),
            view: vec![None; jobs],
            errands: BTreeMap::new(),
            pulse: None,
        }
    }

    pub fn start(&mut self, net: &mut Net) {
        self.view.fill(None);
        self.errands.clear();
        self.pulse = None;
        self.hearing.restart(net.instant());
        for (every, timer) in [(SWEEP_MS, Timer::Sweep), (REAP_MS, Timer::Reap), (NOTIFY_MS, Timer::Notify)] {
            let after = net.random.below(every);
            net.timer(self.who, after, timer);
        }
        for job in 0..self.view.len() {
            let after = net.random.below(PLAN_MS);
            net.timer(self.who, after, Timer::Plan(job));
            if net.faults.meddling {
                let within = net.faults.until_ms;
                for timer in [Timer::Cancel(job), Timer::Redrive(job)] {
                    let after = net.random.below(4 * within);
                    net.timer(self.who, after, timer);
                }
            }
        }
    }

    pub fn input(&mut self, net: &mut Net, input: Input) {
        match input {
            Input::Answer(token, answer) if self.pulse == Some(token) => {
                self.pulse = None;
                if answer.is_some() {
                    self.hearing.pulse(net.instant());
                }
                self.reap(net);
                net.timer(self.who, REAP_MS, Timer::Reap);
            }
            Input::Answer(token, answer) => {
                if let Some(mut errand) = self.errands.remove(&token)
                    && let Some(token) = errand.answer(net, self.who, answer)
                {
                    self.errands.insert(token, errand);
                }
            }
            Input::Timer(Timer::Reap) => self.pulse = Some(net.ask(self.who, Request::Ask)),
            Input::Timer(Timer::Sweep) => {
                let swept = net.faults.slip != Some(Slip::NoSweep);
                for job in self.seen(|state| swept && state == JobState::Ready) {
                    self.send(net, job, Kind::Sweep);
                }
                net.timer(self.who, SWEEP_MS, Timer::Sweep);
            }
            Input::Timer(Timer::Notify) => {
                for job in self.seen(|_| true) {
                    self.send(net, job, Kind::Notify);
                }
                net.timer(self.who, NOTIFY_MS, Timer::Notify);
            }
            Input::Timer(Timer::Plan(job)) => {
                if self.view[job].is_none() {
                    self.send(net, job, Kind::Plan);
                    net.timer(self.who, PLAN_MS, Timer::Plan(job));
                }
            }
            Input::Timer(Timer::Cancel(job)) if !net.is_calm() => self.send(net, job, Kind::Cancel),
            Input::Timer(Timer::Redrive(job)) if !net.is_calm() => self.send(net, job, Kind::Redrive),
            Input::Heard(nonces) => self.hearing.hear(&nonces, net.instant()),
            Input::Seen { job, state, nonce, revision } => {
                if self.view[job].is_none_or(|seen| seen.revision < revision) {
                    self.view[job] = Some(Seen { state, nonce, revision });
                }
            }
            Input::Back => self.hearing.restart(net.instant()),
            Input::Timer(_) | Input::Notice { .. } | Input::Stop => {}
        }
    }

    fn reap(&mut self, net: &mut Net) {
        let running: Vec<(JobId, Uuid)> = (0..self.view.len())
            .filter_map(|job| {
                let seen = self.view[job].filter(|seen| seen.state == JobState::Running)?;
                Some((id(job), seen.nonce?))
            })
            .collect();
        if net.faults.slip == Some(Slip::NoReaper) {
            return;
        }
        for (lost, nonce) in self.hearing.lost(&running, net.instant()) {
            let busy = |errand: &Errand| matches!(errand.kind, Kind::TakeBack(_)) && id(errand.job) == lost;
            if !self.errands.values().any(busy) {
                let job = (0..self.view.len()).find(|job| id(*job) == lost).unwrap_or_default();
                self.send(net, job, Kind::TakeBack(nonce));
            }
        }
    }

    fn seen(&self, wanted: impl Fn(JobState) -> bool) -> Vec<usize> {
        let is = |job: &usize| self.view[*job].is_some_and(|seen| wanted(seen.state));
        (0..self.view.len()).filter(is).collect()
    }

    fn send(&mut self, net: &mut Net, job: usize, kind: Kind) {
        let (errand, token) = Errand::begin(net, self.who, job, kind);
        self.errands.insert(token, errand);
    }
}
