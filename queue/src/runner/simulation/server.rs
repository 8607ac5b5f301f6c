//! The server as the protocol sees it: records with compare-and-set, one hint a job with
//! redelivery, and the rules that no history may break.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use framemill_schemas::job::{Hint, JobRecord, JobState};
use uuid::Uuid;

use crate::{
    layout::ACK_WAIT,
    transition::{HOLDER_LOST, LOSSES_MAX},
};

/// Who changes a record, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Planner,
    Claim(Uuid),
    End(Uuid),
    Reaper,
    Canceller,
    Redriver,
    Notifier,
}

/// What is said of a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Ack(Uuid),
    Term,
    Nak { pause_ms: u64 },
    Progress,
}

#[derive(Clone, Debug)]
pub struct Stored {
    pub job: Rc<JobRecord>,
    pub revision: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Queued { from: u64 },
    Out { until: u64 },
}

#[derive(Clone, Debug)]
struct Queued {
    job: usize,
    hint: Hint,
    delivered: i64,
    place: Place,
}

/// A hint in a worker's hands.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub sequence: u64,
    pub job: usize,
    pub hint: Hint,
    pub delivered: i64,
}

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub claims: u64,
    pub commits: u64,
    pub fenced: u64,
    pub lost: u64,
    pub dead: u64,
    pub cancelled: u64,
    pub redriven: u64,
    pub redelivered: u64,
}

impl Tally {
    pub fn fields(&mut self) -> [(&'static str, &mut u64); 8] {
        [
            ("claims", &mut self.claims),
            ("commits", &mut self.commits),
            ("fenced changes", &mut self.fenced),
            ("losses", &mut self.lost),
            ("deaths", &mut self.dead),
            ("cancels", &mut self.cancelled),
            ("redrives", &mut self.redriven),
            ("redeliveries", &mut self.redelivered),
        ]
    }

    pub fn add(&mut self, other: &Self) {
        let mut other = other.clone();
        for ((_, sum), (_, more)) in self.fields().into_iter().zip(other.fields()) {
            *sum += *more;
        }
    }
}

pub struct Server {
    pub records: Vec<Option<Stored>>,
    hints: BTreeMap<u64, Queued>,
    sequence: u64,
    /// Commits of each job since it was last redriven.
    commits: Vec<u32>,
    committed: BTreeSet<Uuid>,
    pub tally: Tally,
}

type Checked = Result<(), String>;

impl Server {
    pub fn new(jobs: usize) -> Self {
        Self {
            records: vec![None; jobs],
            hints: BTreeMap::new(),
            sequence: 0,
            commits: vec![0; jobs],
            committed: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    /// Replaces a record that is at `expected` (0: not there). The inner error is the protocol's
    /// "wrong last sequence"; the outer one a broken rule.
    pub fn change(&mut self, at: usize, expected: u64, job: JobRecord, by: By) -> Result<Result<u64, ()>, String> {
        if self.records[at].as_ref().map_or(0, |stored| stored.revision) != expected {
            self.tally.fenced += 1;
            return Ok(Err(()));
        }
        self.check(at, &job, by)?;
        self.count(&job, by);
        self.sequence += 1;
        self.records[at] = Some(Stored { job: Rc::new(job), revision: self.sequence });
        Ok(Ok(self.sequence))
    }

    /// The rules, by what the server knows and nobody else says.
    fn check(&mut self, at: usize, new: &JobRecord, by: By) -> Checked {
        let broken = |rule: &str| Err(format!("{rule}: job {at}, by {by:?}, becomes {:?}", new.state));
        let Some(old) = self.records[at].as_ref().map(|stored| stored.job.clone()) else {
            return if by == By::Planner { Ok(()) } else { broken("a record came out of nothing") };
        };
        let holder = old.holder.as_ref().map(|holder| holder.nonce);
        if by == By::Notifier {
            let facts = |job: &JobRecord| (job.state, job.attempt, job.spent, job.holder.clone(), job.output.is_some());
            return if facts(&old) == facts(new) { Ok(()) } else { broken("sending events changed a job") };
        }
        if old.state.is_terminal() && by != By::Redriver {
            return broken("an end was left");
        }
        match by {
            By::Claim(_) if old.state != JobState::Ready => return broken("a held job was claimed"),
            By::End(nonce) if old.state != JobState::Running || holder != Some(nonce) => {
                return broken("a fenced holder changed the record");
            }
            By::Reaper if old.state != JobState::Running => return broken("a job nobody held was lost"),
            By::Redriver => self.commits[at] = 0,
            _ => {}
        }
        if new.state == JobState::Done {
            let By::End(nonce) = by else { return broken("done without a holder") };
            self.commits[at] += 1;
            self.committed.insert(nonce);
            if self.commits[at] > 1 {
                return broken("a second commit");
            }
        }
        let losses = new.failures.iter().filter(|failure| failure.code == HOLDER_LOST).count();
        if new.state == JobState::Dead && by == By::Reaper && losses < LOSSES_MAX as usize {
            return broken("too few losses killed a job");
        }
        Ok(())
    }

    fn count(&mut self, new: &JobRecord, by: By) {
        let tally = &mut self.tally;
        match (by, new.state) {
            (By::Claim(_), _) => tally.claims += 1,
            (By::End(_), JobState::Done) => tally.commits += 1,
            (By::Reaper, _) => tally.lost += 1,
            (By::Canceller, _) => tally.cancelled += 1,
            (By::Redriver, _) => tally.redriven += 1,
            _ => {}
        }
        tally.dead += u64::from(new.state == JobState::Dead && by != By::Notifier);
    }

    /// Queues a hint, unless its subject has one.
    pub fn publish(&mut self, job: usize, hint: Hint, now: u64) {
        if self.waiting(job).is_none() {
            self.sequence += 1;
            let queued = Queued { job, hint, delivered: 0, place: Place::Queued { from: now } };
            self.hints.insert(self.sequence, queued);
        }
    }

    pub fn waiting(&self, job: usize) -> Option<u64> {
        self.hints.iter().find(|(_, queued)| queued.job == job).map(|(sequence, _)| *sequence)
    }

    pub fn delete(&mut self, sequence: u64) {
        self.hints.remove(&sequence);
    }

    /// The oldest hint that may be delivered now.
    pub fn fetch(&mut self, now: u64) -> Option<Delivery> {
        let due = |queued: &Queued| match queued.place {
            Place::Queued { from } => from <= now,
            Place::Out { until } => until <= now,
        };
        let (sequence, queued) = self.hints.iter_mut().find(|(_, queued)| due(queued))?;
        queued.delivered += 1;
        queued.place = Place::Out { until: now + ACK_WAIT.as_millis() as u64 };
        self.tally.redelivered += u64::from(queued.delivered > 1);
        Some(Delivery { sequence: *sequence, job: queued.job, hint: queued.hint.clone(), delivered: queued.delivered })
    }

    /// A word about a hint, perhaps a late one: it counts all the same.
    pub fn hear(&mut self, sequence: u64, word: Word, now: u64) -> Checked {
        if let Word::Ack(nonce) = word
            && !self.committed.contains(&nonce)
        {
            return Err(format!("hint {sequence} was acknowledged without a commit"));
        }
        let Some(queued) = self.hints.get_mut(&sequence) else { return Ok(()) };
        match (word, queued.place) {
            (Word::Ack(_) | Word::Term, _) => {
                self.hints.remove(&sequence);
            }
            (Word::Nak { pause_ms }, Place::Out { .. }) => queued.place = Place::Queued { from: now + pause_ms },
            (Word::Progress, Place::Out { .. }) => {
                queued.place = Place::Out { until: now + ACK_WAIT.as_millis() as u64 };
            }
            (Word::Nak { .. } | Word::Progress, Place::Queued { .. }) => {}
        }
        Ok(())
    }

    /// What is not at an end yet.
    pub fn open(&self) -> Vec<usize> {
        let ended = |stored: &Option<Stored>| stored.as_ref().is_some_and(|stored| stored.job.state.is_terminal());
        (0..self.records.len()).filter(|at| !ended(&self.records[*at])).collect()
    }
}

impl Server {
    /// Whether no hint is left.
    pub fn is_swept(&self) -> bool {
        self.hints.is_empty()
    }

    /// A record in short, for a message.
    pub fn shown(&self, job: usize) -> String {
        let hint = self.hints.values().find(|queued| queued.job == job);
        match &self.records[job] {
            Some(stored) => format!("{:?} attempt {} hint {hint:?}", stored.job.state, stored.job.attempt),
            None => "not there".to_owned(),
        }
    }
}
