//! What a scheduler does about one job, one question to the server at a time.

use framemill_schemas::{
    ids::{AssetId, JobId, Tenant},
    job::{Hint, JobKind, JobRecord, JobState},
    lane::{Lane, Priority},
    load::Load,
    spec::{JobSpec, ValidatePartSpec},
};
use uuid::Uuid;

use super::{
    net::{Answer, Net, Request, Who},
    server::{By, Stored},
};
use crate::{dispatch::HINT_VERSION, transition};

/// Ready for less than this, a job's hint is most likely on its way.
const SETTLED_MS: i64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Creates the record and queues the job.
    Plan,
    /// Queues a job again whose hint may be missing.
    Sweep,
    TakeBack(Uuid),
    Cancel,
    Redrive,
    /// Says that the events of a record are sent.
    Notify,
}

#[derive(Clone, Copy)]
enum Step {
    Read,
    /// Where is the old hint?
    Find,
    Remove,
    Change,
    Publish,
}

pub struct Errand {
    pub kind: Kind,
    pub job: usize,
    step: Step,
    next: Option<Box<JobRecord>>,
    revision: u64,
}

impl Errand {
    pub fn begin(net: &mut Net, who: Who, job: usize, kind: Kind) -> (Self, u64) {
        let mut errand = Self { kind, job, step: Step::Read, next: None, revision: 0 };
        let token = if kind == Kind::Plan {
            errand.next = Some(Box::new(record(job, net.now_ms())));
            errand.change(net, who)
        } else {
            net.ask(who, Request::Get { job })
        };
        (errand, token)
    }

    /// Goes on after an answer; returns what is asked next. Without an answer it ends here: every
    /// one of these is taken up again by somebody.
    pub fn answer(&mut self, net: &mut Net, who: Who, answer: Option<Answer>) -> Option<u64> {
        match (self.step, answer?) {
            (Step::Read, Answer::Record(Some(stored))) => self.decide(net, who, stored),
            (Step::Find, Answer::Where(Some(sequence))) => {
                self.step = Step::Remove;
                Some(net.ask(who, Request::Delete { sequence }))
            }
            (Step::Find, Answer::Where(None)) | (Step::Remove, Answer::Done) => match self.kind {
                Kind::Cancel => None,
                _ => Some(self.change(net, who)),
            },
            (Step::Change, Answer::Changed(Ok(revision))) => {
                self.revision = revision;
                match self.kind {
                    Kind::Cancel => Some(self.find(net, who)),
                    Kind::Notify => None,
                    _ => self.publish(net, who),
                }
            }
            _ => None,
        }
    }

    fn decide(&mut self, net: &mut Net, who: Who, stored: Stored) -> Option<u64> {
        let now_ms = net.now_ms();
        self.revision = stored.revision;
        let job = (*stored.job).clone();
        let next = match self.kind {
            Kind::Sweep => {
                self.next = Some(Box::new(job));
                return if stored.job.ready_ms < now_ms - SETTLED_MS { self.publish(net, who) } else { None };
            }
            Kind::Notify if job.unsent.is_empty() => return None,
            Kind::Notify => JobRecord { unsent: Vec::new(), ..job },
            Kind::TakeBack(nonce) if job.holder.as_ref().is_none_or(|holder| holder.nonce != nonce) => return None,
            Kind::TakeBack(_) => transition::lose(job, now_ms).ok()?,
            Kind::Cancel => transition::cancel(job, now_ms).ok()?,
            Kind::Redrive => transition::redrive(job, now_ms).ok()?,
            Kind::Plan => return None,
        };
        self.next = Some(Box::new(next));
        match self.kind {
            Kind::TakeBack(_) | Kind::Redrive => Some(self.find(net, who)),
            _ => Some(self.change(net, who)),
        }
    }

    fn find(&mut self, net: &mut Net, who: Who) -> u64 {
        self.step = Step::Find;
        net.ask(who, Request::Where { job: self.job })
    }

    fn change(&mut self, net: &mut Net, who: Who) -> u64 {
        self.step = Step::Change;
        let by = match self.kind {
            Kind::TakeBack(_) => By::Reaper,
            Kind::Cancel => By::Canceller,
            Kind::Redrive => By::Redriver,
            Kind::Notify => By::Notifier,
            Kind::Plan | Kind::Sweep => By::Planner,
        };
        let new = self.next.clone().unwrap_or_else(|| Box::new(record(self.job, 0)));
        net.ask(who, Request::Change { job: self.job, expected: self.revision, new, by })
    }

    fn publish(&mut self, net: &mut Net, who: Who) -> Option<u64> {
        self.next.as_ref().filter(|job| job.state == JobState::Ready)?;
        self.step = Step::Publish;
        let hint = Hint { v: HINT_VERSION, record: self.job.to_string(), revision: self.revision, load: Load::NONE };
        Some(net.ask(who, Request::Publish { job: self.job, hint }))
    }
}

pub fn id(job: usize) -> JobId {
    JobId::new(Uuid::from_u128(job as u128 + 1))
}

fn record(job: usize, now_ms: i64) -> JobRecord {
    let spec = JobSpec::ValidatePart(ValidatePartSpec { part: id(job), part_key: String::new() });
    let lane = Lane::Plain { kind: JobKind::Validate, priority: Priority::Standard };
    let (asset, unit) = (AssetId::new(Uuid::from_u128(1)), format!("validate/{job}"));
    JobRecord { id: id(job), ..JobRecord::ready(asset, 1, unit, Tenant::default_tenant(), lane, spec, now_ms) }
}
