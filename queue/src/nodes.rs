//! The records of nodes, and being a node: a process joins, follows what the farm says of its
//! machine, and tries itself while the machine is quarantined.
//!
//! `node` decides what a record becomes; here it is stored, and obeyed through a [`Standing`].

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    time::{Duration, Instant},
};

use framemill_schemas::{
    failure::Failure,
    ids::NodeId,
    node::{Decider, NodeRecord, NodeRole, NodeState},
    subject,
};
use futures_util::StreamExt;
use tokio::{sync::watch, time::sleep_until};

use crate::{
    error::RecordError,
    node::{self, Moment},
    queue::Queue,
    records::Records,
    runner::now_ms,
    watch::Change,
};

/// Pause before a record is asked for again that did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// How often a change is tried when the record changes under it.
const CHANGE_TRIES: u32 = 8;
/// Pause between two canaries that go well.
const CANARY_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the first canary that fails, doubled with each in a row.
const CANARY_REST: Duration = Duration::from_secs(2);
/// Longest pause between canaries.
const CANARY_REST_MAX: Duration = Duration::from_secs(300);

/// What a node's processes may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Take jobs.
    pub takes: bool,
    /// What still runs is to be given back.
    pub hands_back: bool,
    /// No other node is there that could take a job of this role. Not said of a node that is
    /// suspected itself: what breaks there says nothing about a source.
    pub alone: bool,
}

impl Standing {
    /// Before anything is known, nothing is taken.
    pub const UNKNOWN: Self = Self { takes: false, hands_back: false, alone: false };
    /// Of a process that belongs to no fleet.
    pub const FREE: Self = Self { takes: true, hands_back: false, alone: false };
}

/// What becomes of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It was made: the record and its revision.
    Yes(NodeRecord, u64),
    /// The record is so already, or the change may not be.
    No(NodeRecord, u64),
    /// There is no such node.
    Missing,
}

impl Queue {
    /// Node records, by node.
    pub fn nodes(&self) -> Records<NodeRecord> {
        self.records(subject::NODES_BUCKET)
    }

    /// Reads a node's record, decides and stores, again where somebody else was faster.
    pub async fn change_node(
        &self,
        id: &NodeId,
        decide: impl Fn(NodeRecord, Moment) -> Option<NodeRecord>,
    ) -> Result<Changed, RecordError> {
        let records = self.nodes();
        let mut tries = 0;
        loop {
            let Some((record, revision)) = records.get(id.as_str()).await? else { return Ok(Changed::Missing) };
            let moment = Moment { now_ms: now_ms(), revision };
            let Some(changed) = decide(record.clone(), moment) else { return Ok(Changed::No(record, revision)) };
            match records.update(id.as_str(), &changed, revision).await {
                Ok(revision) => return Ok(Changed::Yes(changed, revision)),
                Err(RecordError::Fenced | RecordError::Exists) if tries < CHANGE_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// A process of a node.
#[derive(Clone, Debug)]
pub struct Member {
    /// The machine.
    pub node: NodeId,
    /// What this process does for the farm.
    pub role: NodeRole,
}

/// A canary that runs.
pub type Trial = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// Joins, and says through `standing` what the process may do, until dropped. `canary` tries
/// whether the machine can do its work.
pub async fn run(queue: Queue, member: Member, standing: watch::Sender<Standing>, canary: impl Fn() -> Trial) {
    let pace = Pace::default();
    let mut me = Me { queue, member, standing, joined: false, fleet: BTreeMap::new(), drain: None, pace };
    loop {
        if let Err(error) = me.follow(&canary).await {
            tracing::warn!(%error, "the record of this node cannot be followed for now");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

struct Me {
    queue: Queue,
    member: Member,
    standing: watch::Sender<Standing>,
    joined: bool,
    /// Every node's record, with its revision.
    fleet: BTreeMap<NodeId, (NodeRecord, u64)>,
    drain: Option<Drain>,
    pace: Pace,
}

/// A drain as this process saw it begin: its deadline runs on this machine's clock.
#[derive(Clone, Copy)]
struct Drain {
    asked: (i64, u32),
    until: Instant,
}

/// When the next canary is due.
#[derive(Default)]
struct Pace {
    rest: Option<Duration>,
    due: Option<Instant>,
}

impl Pace {
    /// A canary ended: a good one is soon followed by another, a bad one by a pause that grows.
    fn ended(&mut self, good: bool, now: Instant) {
        let pause = match (good, self.rest) {
            (true, _) => CANARY_PAUSE,
            (false, None) => CANARY_REST,
            (false, Some(rest)) => (rest * 2).min(CANARY_REST_MAX),
        };
        self.rest = (!good).then_some(pause);
        self.due = Some(now + pause);
    }
}

impl Me {
    /// One watch of the fleet, until it breaks off.
    async fn follow(&mut self, canary: &impl Fn() -> Trial) -> Result<(), RecordError> {
        let mut changes = self.queue.nodes().watch(">").await?;
        let mut listed = Some(BTreeSet::new());
        let mut trial: Option<Trial> = None;
        loop {
            let due = self.pace.due.filter(|_| trial.is_none());
            let until = self.drain.map(|drain| drain.until).filter(|_| !self.standing.borrow().hands_back);
            let wake = [due, until].into_iter().flatten().min();
            tokio::select! {
                change = changes.next() => match change {
                    None => return Ok(()),
                    Some(Ok(Change::Put { value, revision, .. })) => {
                        listed.as_mut().map(|listed| listed.insert(value.id.clone()));
                        self.put(*value, revision);
                    }
                    Some(Ok(Change::Deleted { key, .. })) => self.fleet.retain(|id, _| id.as_str() != key),
                    Some(Ok(Change::Current)) => {
                        if let Some(listed) = listed.take() {
                            self.fleet.retain(|id, _| listed.contains(id));
                        }
                    }
                    Some(Err(error)) => tracing::warn!(%error, "the record of a node was skipped"),
                },
                outcome = async { trial.as_mut().expect("polled only when there is one").await }, if trial.is_some() => {
                    trial = None;
                    self.tried(outcome).await?;
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => {
                    if due.is_some_and(|due| due <= Instant::now()) {
                        trial = Some(canary());
                    }
                }
            }
            // Half of the fleet says nothing.
            if listed.is_some() {
                continue;
            }
            if !self.joined || self.record().is_none_or(|node| !node.present) {
                self.join().await?;
            }
            if self.is_quarantined() {
                self.pace.due.get_or_insert_with(Instant::now);
            } else {
                (trial, self.pace) = (None, Pace::default());
            }
            self.say();
        }
    }

    /// Takes in a record, unless a newer one is known: our own changes are known before the watch
    /// brings them.
    fn put(&mut self, node: NodeRecord, revision: u64) {
        if self.fleet.get(&node.id).is_none_or(|(_, known)| *known < revision) {
            self.fleet.insert(node.id.clone(), (node, revision));
        }
    }

    fn record(&self) -> Option<&NodeRecord> {
        self.fleet.get(&self.member.node).map(|(node, _)| node)
    }

    fn is_quarantined(&self) -> bool {
        self.record().is_some_and(|node| (node.state, node.by) == (NodeState::Quarantined, Decider::Farm))
    }

    /// At the start, and whenever the farm does not know of this node any more. The role is not
    /// compared later on: two processes that differ would correct each other for ever.
    async fn join(&mut self) -> Result<(), RecordError> {
        let Member { node: id, role } = &self.member;
        let (node, revision) =
            match self.queue.change_node(id, |found, at| node::join(Some(found), id, role, at)).await? {
                Changed::Yes(node, revision) | Changed::No(node, revision) => (node, revision),
                Changed::Missing => {
                    let at = Moment { now_ms: now_ms(), revision: 0 };
                    let node = node::join(None, id, role, at).expect("a node that is not there can join");
                    match self.queue.nodes().create(id.as_str(), &node).await {
                        Ok(revision) => (node, revision),
                        // Another process of this machine was faster: its change wakes the watch.
                        Err(RecordError::Exists) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
            };
        tracing::info!(node = %id, state = node.state.as_str(), why = node.why, "joined the farm");
        self.joined = true;
        self.put(node, revision);
        Ok(())
    }

    async fn tried(&mut self, outcome: Result<(), Failure>) -> Result<(), RecordError> {
        match &outcome {
            Ok(()) => tracing::info!("a canary went well"),
            Err(failure) => tracing::warn!(reason = failure.reason, "a canary failed"),
        }
        self.pace.ended(outcome.is_ok(), Instant::now());
        let id = self.member.node.clone();
        let changed = self.queue.change_node(&id, |node, at| node::tried(node, outcome.clone(), at)).await?;
        if let Changed::Yes(node, revision) | Changed::No(node, revision) = changed {
            self.put(node, revision);
        }
        Ok(())
    }

    /// Tells the runner what the records say.
    fn say(&mut self) {
        let Some(me) = self.record() else { return };
        let now = Instant::now();
        let asked = (me.since_ms, me.deadline_s);
        let drain = match self.drain {
            _ if me.state != NodeState::Draining => None,
            Some(drain) if drain.asked == asked => Some(drain),
            _ => Some(Drain { asked, until: now + Duration::from_secs(me.deadline_s.into()) }),
        };
        let others = self.fleet.values().map(|(node, _)| node);
        let standing = Standing {
            takes: me.state == NodeState::Active,
            hands_back: drain.is_some_and(|drain| drain.until <= now),
            alone: me.suspicion.is_none() && !me.is_covered(&self.member.role, others),
        };
        let (state, why) = (me.state.as_str(), me.why.clone());
        self.drain = drain;
        if self.standing.send_if_modified(|known| std::mem::replace(known, standing) != standing) {
            tracing::info!(state, why, takes = standing.takes, alone = standing.alone, "what this node may do changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_canary_is_followed_by_a_pause_that_grows_up_to_a_bound() {
        let now = Instant::now();
        let mut pace = Pace::default();
        let mut pauses = Vec::new();
        for good in [false, false, false, true, false] {
            pace.ended(good, now);
            pauses.push((pace.due.unwrap() - now).as_secs());
        }
        assert_eq!(pauses, [2, 4, 8, 1, 2]);
        for _ in 0..20 {
            pace.ended(false, now);
        }
        assert_eq!(pace.due.unwrap() - now, CANARY_REST_MAX);
    }
}
