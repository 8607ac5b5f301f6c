//! Sick node or poison source? Pure: records in, verdicts out.
//!
//! A failure alone says little: the same crash may be the machine's or the source's. What tells
//! them apart is who else tried. A job that failed on one node and ran on another accuses the
//! node; one that fails wherever it is tried accuses its source, and no node.

use std::collections::{BTreeMap, BTreeSet};

use framemill_schemas::{
    failure::{Class, Failure},
    ids::{AssetId, JobId, NodeId},
    job::{JobKind, JobState},
    node::{NodeRecord, NodeState},
};

use crate::view::JobSummary;

/// How far back failures count.
pub const WINDOW_MS: i64 = 10 * 60_000;
/// Different jobs that must accuse a node.
const ACCUSERS_MIN: usize = 2;
/// How long after its failure a job that nobody tried again accuses a node: others usually come to
/// it within a second or two, and then say more.
const UNTRIED_MS: i64 = 10_000;
/// Accusers that are named.
const NAMED_MAX: usize = 4;

/// Symptoms, besides those of ffmpeg itself, that a machine can have and a canary can show.
const NODE_CODES: [&str; 4] = ["disk-full", "encoder-missing", "encoder-off-plan", "out-of-memory"];

/// What triage needs to know of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The job.
    pub job: JobId,
    /// Its asset: jobs of one asset share a source.
    pub asset: AssetId,
    /// What it does.
    pub kind: JobKind,
    /// What it is within its asset.
    pub unit: String,
    /// What went wrong.
    pub failures: Vec<Failure>,
    /// Where it was done, and when (Unix milliseconds).
    pub done: Option<(NodeId, i64)>,
    /// Whether it may still be done: it waits, and nobody is at it now.
    pub waits: bool,
}

impl Trial {
    /// Whether a job has anything to say since `since_ms`.
    pub fn says(job: &JobSummary, since_ms: i64) -> bool {
        let done = job.state == JobState::Done && job.ended_ms >= since_ms;
        done || job.failures.iter().any(|failure| failure.at_ms >= since_ms)
    }

    /// What a job has to say.
    pub fn of(job: &JobSummary, since_ms: i64) -> Self {
        let holder = job.holder.as_ref().filter(|_| job.state == JobState::Done && job.ended_ms >= since_ms);
        Self {
            job: job.id,
            asset: job.asset,
            kind: job.kind,
            unit: job.unit.clone(),
            failures: job.failures.clone(),
            done: holder.map(|holder| (holder.node.clone(), job.ended_ms)),
            waits: job.state == JobState::Ready,
        }
    }
}

/// What is to become of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sick, and others can do its work.
    Quarantine(String),
    /// It is sick, or may be, and the farm has no other of this role.
    Suspect(String),
    /// Nothing is held against it any more.
    Clear,
}

/// Whether a failure may be the machine's: never what was read or written over the network, and
/// never a holder that was killed.
pub fn may_blame_node(failure: &Failure) -> bool {
    matches!(failure.class, Class::Transient | Class::Resource)
        && (failure.code.starts_with("ffmpeg-") || NODE_CODES.contains(&failure.code.as_str()))
}

/// Judges every active node. What happened before a node's present state began is forgiven: a
/// node that was released starts anew. Each verdict counts for those after it, so that no two
/// nodes that stand in for each other are quarantined together.
pub fn triage(nodes: &BTreeMap<NodeId, NodeRecord>, trials: &[Trial], now_ms: i64) -> Vec<(NodeId, Verdict)> {
    let mut nodes = nodes.clone();
    let mut verdicts = Vec::new();
    let judged: Vec<NodeId> =
        nodes.values().filter(|node| node.state == NodeState::Active).map(|node| node.id.clone()).collect();
    for id in judged {
        let node = &nodes[&id];
        let charge = Charge::of(node, trials, now_ms);
        let last = node.last_of(nodes.values()).map(str::to_owned);
        let verdict = match (charge, last) {
            (Charge::Proven(why), None) => Verdict::Quarantine(why),
            (Charge::Proven(why) | Charge::Likely(why), Some(role)) => {
                Verdict::Suspect(format!("{why}; it goes on, because no other {role} is there"))
            }
            (Charge::Likely(_) | Charge::None, _) => Verdict::Clear,
        };
        if matches!(verdict, Verdict::Quarantine(_))
            && let Some(node) = nodes.get_mut(&id)
        {
            node.state = NodeState::Quarantined;
        }
        verdicts.push((id, verdict));
    }
    verdicts
}

/// What is held against a node.
enum Charge {
    None,
    /// Enough jobs failed here, and nothing is known of how they do elsewhere.
    Likely(String),
    /// Enough jobs failed here, and others do well elsewhere.
    Proven(String),
}

/// A job that failed on a node.
struct Accuser<'a> {
    trial: &'a Trial,
    failure: &'a Failure,
}

impl Charge {
    fn of(node: &NodeRecord, trials: &[Trial], now_ms: i64) -> Self {
        let since = node.since_ms.max(now_ms - WINDOW_MS);
        // Whoever is blamed for one of its jobs may have broken the others too, also those that
        // were cancelled before anybody else tried them.
        let blamed: BTreeSet<AssetId> =
            trials.iter().filter(|trial| is_blamed(trial)).map(|trial| trial.asset).collect();
        let heard = trials.iter().filter(|trial| !blamed.contains(&trial.asset));
        let accusers: Vec<Accuser<'_>> = heard.filter_map(|trial| accuser(&node.id, trial, since)).collect();
        let (proved, open): (Vec<_>, Vec<_>) = accusers.into_iter().partition(|accuser| accuser.trial.done.is_some());
        // A job nobody else has tried yet may have a source that breaks every encoder, and so may
        // all the others of its asset: together they count as one. None counts on a node that has
        // done the same kind of work since.
        let mut counted = proved;
        let mut assets: BTreeSet<AssetId> = counted.iter().map(|accuser| accuser.trial.asset).collect();
        for accuser in open {
            let untried = accuser.trial.waits && now_ms - accuser.failure.at_ms >= UNTRIED_MS;
            if untried && !did_since(&node.id, trials, &accuser) && assets.insert(accuser.trial.asset) {
                counted.push(accuser);
            }
        }
        if counted.len() < ACCUSERS_MIN {
            return Self::None;
        }
        let first = counted.iter().map(|accuser| accuser.failure.at_ms).min().unwrap_or(now_ms);
        let elsewhere = |trial: &Trial| trial.done.as_ref().is_some_and(|(at, when)| *at != node.id && *when >= first);
        let why = words(&counted);
        if trials.iter().any(elsewhere) { Self::Proven(why) } else { Self::Likely(why) }
    }
}

/// Whether the job's source is at fault.
fn is_blamed(trial: &Trial) -> bool {
    trial.failures.iter().any(|failure| failure.class == Class::Input)
}

/// The job as an accuser of the node, if it is one: it failed here by what may be the node's
/// fault, did not fail anywhere else that way, and was not done here after all.
fn accuser<'a>(node: &NodeId, trial: &'a Trial, since_ms: i64) -> Option<Accuser<'a>> {
    let mut blaming = trial.failures.iter().filter(|failure| may_blame_node(failure));
    if blaming.any(|failure| failure.node.as_ref() != Some(node)) {
        return None;
    }
    if trial.done.as_ref().is_some_and(|(at, _)| at == node) {
        return None;
    }
    let here = trial.failures.iter().rev().find(|failure| may_blame_node(failure) && failure.at_ms > since_ms);
    here.map(|failure| Accuser { trial, failure })
}

/// Whether the node did a job of the same kind after the failure.
fn did_since(node: &NodeId, trials: &[Trial], accuser: &Accuser<'_>) -> bool {
    trials.iter().any(|trial| {
        trial.kind == accuser.trial.kind
            && trial.done.as_ref().is_some_and(|(at, when)| at == node && *when >= accuser.failure.at_ms)
    })
}

fn words(accusers: &[Accuser<'_>]) -> String {
    let named: Vec<String> = accusers
        .iter()
        .take(NAMED_MAX)
        .map(|Accuser { trial, failure }| format!("{} ({}, {})", trial.job, trial.unit, failure.code))
        .collect();
    let minutes = WINDOW_MS / 60_000;
    format!("{} jobs failed here within {minutes} minutes, among them {}", accusers.len(), named.join(", "))
}

#[cfg(test)]
#[path = "triage_tests.rs"]
mod tests;
