//! One attempt, step by step as `attempt`, `hold` and `settle` take it, with the same decisions.

use std::time::Duration;

use framemill_schemas::{
    failure::{Class, Failure},
    finding::{Report, ReportState},
    holder::Holder,
    job::{Hint, JobRecord, JobState},
    spec::JobOutput,
};

use super::{
    faults::Slip,
    net::{Answer, Net, Request, Timer, Who},
    server::{By, Delivery, Stored, Word},
};
use crate::{
    layout::ACK_WAIT,
    runner::{
        ending::{Farewell, Outcome, apply, farewell, is_this},
        judge::{Standing, Verdict, judge, standing},
    },
    transition,
};

const CLAIM_TRIES: u32 = 4;
const AGAIN_MS: u64 = 1_000;

enum Phase {
    Reading,
    Claiming(Box<JobRecord>),
    Running,
    /// The end is being stored.
    Storing(Box<JobRecord>),
    /// The end was refused: is the record still ours?
    Rereading(Box<JobRecord>),
    /// Waits before the end is stored again.
    Pausing,
    /// The hint of a job that is ready again is being made sure of.
    Dispatching,
    Over,
}

pub struct Attempt {
    pub id: u64,
    pub holder: Holder,
    pub delivery: Delivery,
    who: Who,
    phase: Phase,
    asked: Option<u64>,
    job: Option<JobRecord>,
    revision: u64,
    tries: u32,
    outcome: Option<Outcome>,
    /// Looks at the record once more when this look is over.
    again: bool,
}

impl Attempt {
    pub fn begin(net: &mut Net, who: Who, id: u64, holder: Holder, delivery: Delivery) -> Self {
        let mut attempt = Self {
            id,
            holder,
            delivery,
            who,
            phase: Phase::Reading,
            asked: None,
            job: None,
            revision: 0,
            tries: 0,
            outcome: None,
            again: false,
        };
        attempt.read(net);
        attempt
    }

    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether an answer is to what this attempt asked last: it waits for nothing else.
    pub fn awaits(&self, token: u64) -> bool {
        self.asked == Some(token)
    }

    pub fn answer(&mut self, net: &mut Net, answer: Option<Answer>) {
        self.asked = None;
        match (std::mem::replace(&mut self.phase, Phase::Over), answer) {
            (Phase::Reading, Some(Answer::Record(found))) => self.judged(net, found),
            (Phase::Reading, _) => self.give_back(net, AGAIN_MS),
            (Phase::Claiming(claimed), Some(Answer::Changed(Ok(revision)))) => self.claimed(net, *claimed, revision),
            (Phase::Claiming(_), Some(Answer::Changed(Err(())))) if self.tries < CLAIM_TRIES => self.read(net),
            (Phase::Claiming(_), _) => self.give_back(net, AGAIN_MS),
            (Phase::Running, Some(Answer::Record(found))) => {
                self.phase = Phase::Running;
                self.compare(found);
                if std::mem::take(&mut self.again) && !self.is_over() {
                    self.look(net);
                }
            }
            (Phase::Running, _) => self.phase = Phase::Running,
            (Phase::Storing(next), Some(Answer::Changed(Ok(_)))) => self.conclude(net, &next),
            (Phase::Storing(next), Some(Answer::Changed(Err(())))) => self.reread(net, next),
            (Phase::Storing(next), None) if net.faults.slip == Some(Slip::AcksInDoubt) => self.conclude(net, &next),
            (Phase::Storing(_), _) => {
                self.phase = Phase::Pausing;
                net.timer(self.who, AGAIN_MS, Timer::Again(self.id));
            }
            (Phase::Rereading(next), Some(Answer::Record(Some(found)))) if is_this(&found.job, &next) => {
                self.conclude(net, &next);
            }
            (Phase::Rereading(next), Some(Answer::Record(Some(found))))
                if net.faults.slip == Some(Slip::CommitsOver) =>
            {
                self.asked = Some(self.change(net, found.revision, (*next).clone(), By::End(self.holder.nonce)));
                self.phase = Phase::Storing(next);
            }
            (Phase::Rereading(_), Some(Answer::Record(Some(found)))) => {
                self.revision = found.revision;
                self.job = Some((*found.job).clone());
                self.store(net);
            }
            (Phase::Rereading(_), Some(Answer::Record(None))) => {}
            (Phase::Rereading(_), _) => self.store(net),
            (Phase::Dispatching | Phase::Pausing | Phase::Over, _) => {}
        }
    }

    fn read(&mut self, net: &mut Net) {
        self.tries += 1;
        self.phase = Phase::Reading;
        self.asked = Some(net.ask(self.who, Request::Get { job: self.delivery.job }));
    }

    fn judged(&mut self, net: &mut Net, found: Option<Stored>) {
        let judged = found.as_ref().map(|found| (&*found.job, found.revision));
        let (hint, delivered) = (&self.delivery.hint, self.delivery.delivered);
        let verdict = match judge(hint, judged, delivered, &self.holder.node, net.now_ms()) {
            Verdict::Terminate(_) if net.faults.slip == Some(Slip::ClaimsHeld) => Verdict::Claim,
            verdict => verdict,
        };
        match (verdict, found) {
            (Verdict::Claim, Some(found)) => {
                let mut job = (*found.job).clone();
                if net.faults.slip == Some(Slip::ClaimsHeld) {
                    job.state = JobState::Ready;
                }
                let Ok(claimed) = transition::claim(job, self.holder.clone(), net.now_ms()) else {
                    return self.read(net);
                };
                self.asked = Some(self.change(net, found.revision, claimed.clone(), By::Claim(self.holder.nonce)));
                self.phase = Phase::Claiming(Box::new(claimed));
            }
            (Verdict::Terminate(_), _) | (Verdict::Claim, None) => self.word(net, Word::Term),
            (Verdict::Later(pause, _), _) => self.give_back(net, pause.as_millis() as u64),
        }
    }

    fn claimed(&mut self, net: &mut Net, job: JobRecord, revision: u64) {
        (self.job, self.revision) = (Some(job), revision);
        self.phase = Phase::Running;
        let lasts = 100 + net.random.below(12_000);
        net.timer(self.who, lasts, Timer::Worked(self.id));
        net.timer(self.who, sign_ms(), Timer::Sign(self.id));
    }

    /// A sign of life for the hint, and a look at the record.
    pub fn sign(&mut self, net: &mut Net) {
        if matches!(self.phase, Phase::Running) {
            net.say(self.who, Request::Say { sequence: self.delivery.sequence, word: Word::Progress });
            self.look(net);
            net.timer(self.who, sign_ms(), Timer::Sign(self.id));
        }
    }

    pub fn notice(&mut self, net: &mut Net, revision: u64) {
        if matches!(self.phase, Phase::Running) && revision > self.revision {
            self.look(net);
        }
    }

    pub fn look(&mut self, net: &mut Net) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        if self.asked.is_some() {
            self.again = true;
        } else {
            self.asked = Some(net.ask(self.who, Request::Get { job: self.delivery.job }));
        }
    }

    fn compare(&mut self, found: Option<Stored>) {
        let judged = found.as_ref().map(|found| (&*found.job, found.revision));
        match (standing(judged, &self.holder, self.revision), found) {
            (Standing::Ours, Some(found)) => {
                self.revision = found.revision;
                self.job = Some((*found.job).clone());
            }
            (Standing::Older, _) => {}
            _ => self.phase = Phase::Over,
        }
    }

    /// The handler has ended.
    pub fn worked(&mut self, net: &mut Net) {
        if matches!(self.phase, Phase::Running) {
            self.outcome = Some(outcome(net));
            self.store(net);
        }
    }

    /// The process stops: what runs is given back.
    pub fn stop(&mut self, net: &mut Net) {
        if matches!(self.phase, Phase::Running) {
            self.outcome = Some(Outcome::Released { rest: Duration::ZERO });
            self.store(net);
        }
    }

    pub fn again(&mut self, net: &mut Net) {
        if matches!(self.phase, Phase::Pausing) {
            self.store(net);
        }
    }

    fn store(&mut self, net: &mut Net) {
        let (Some(job), Some(outcome)) = (self.job.clone(), &self.outcome) else { return };
        match apply(job, &self.holder, outcome, net.now_ms()) {
            Ok(next) => {
                self.asked = Some(self.change(net, self.revision, next.clone(), By::End(self.holder.nonce)));
                self.phase = Phase::Storing(Box::new(next));
            }
            Err(_) => self.phase = Phase::Over,
        }
    }

    fn reread(&mut self, net: &mut Net, next: Box<JobRecord>) {
        self.phase = Phase::Rereading(next);
        self.asked = Some(net.ask(self.who, Request::Get { job: self.delivery.job }));
    }

    fn conclude(&mut self, net: &mut Net, ended: &JobRecord) {
        let Some(outcome) = &self.outcome else { return };
        let word = match farewell(ended, outcome) {
            Farewell::Ack => Word::Ack(self.holder.nonce),
            Farewell::Term => Word::Term,
            Farewell::Back(pause) => Word::Nak { pause_ms: pause.unwrap_or_default().as_millis() as u64 },
        };
        self.word(net, word);
        if ended.state == JobState::Ready {
            let hint = Hint { revision: self.revision, ..self.delivery.hint.clone() };
            self.asked = Some(net.ask(self.who, Request::Publish { job: self.delivery.job, hint }));
            self.phase = Phase::Dispatching;
        }
    }

    fn change(&self, net: &mut Net, expected: u64, new: JobRecord, by: By) -> u64 {
        net.ask(self.who, Request::Change { job: self.delivery.job, expected, new: Box::new(new), by })
    }

    fn give_back(&mut self, net: &mut Net, pause_ms: u64) {
        self.word(net, Word::Nak { pause_ms });
    }

    fn word(&mut self, net: &mut Net, word: Word) {
        net.say(self.who, Request::Say { sequence: self.delivery.sequence, word });
        self.phase = Phase::Over;
    }
}

fn sign_ms() -> u64 {
    ACK_WAIT.as_millis() as u64 / 3
}

fn outcome(net: &mut Net) -> Outcome {
    let failing = net.faults.failing;
    if !net.chance(failing) {
        let report = Report { v: 1, state: ReportState::Passed, frames: 1, checks: vec![], findings: vec![] };
        return Outcome::Made(Box::new(JobOutput::Validation(report)));
    }
    match net.random.below(8) {
        0 => Outcome::Failed(Failure::input("source-truncated", "ends early")),
        1 => Outcome::Failed(Failure::new(Class::Bug, "bug", "a bug")),
        2 => Outcome::Failed(Failure::new(Class::Transient, "ffmpeg-crashed", "signal 11")),
        3 | 4 => Outcome::Failed(Failure::new(Class::Resource, "no-encoder", "no session")),
        5 => Outcome::Failed(Failure::new(Class::Transient, "source-interrupted", "it broke off")),
        _ => Outcome::Released { rest: Duration::from_secs(5) },
    }
}
