//! The fleet: who is heard of, who has drained, who is sick. One scheduler at a time does this.
//! What follows for a node it reads in its own record; this loop never speaks to one.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use framemill_queue::{Change, Changed, LEASE, Outbox, Queue, QueueError, RecordError, node};
use framemill_schemas::{
    ids::NodeId,
    job::JobState,
    node::{Decider, NodeRecord, NodeState},
    presence::Heartbeat,
};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    chain::chain,
    clock::now_ms,
    triage::{Trial, Verdict, WINDOW_MS, triage},
    view::View,
};

const EVERY: Duration = Duration::from_secs(1);
/// A node that is silent for this long is lost.
const LOST: Duration = Duration::from_secs(30);
/// A node that is lost for this long, and about which nobody decided anything, is forgotten.
const FORGOTTEN_MS: i64 = 7 * 24 * 3_600_000;

/// What a process said last.
#[derive(Clone, Copy, Debug)]
struct Sign {
    at: Instant,
    takes: bool,
    holds: bool,
}

/// Who was heard, by this process's monotonic clock alone.
#[derive(Debug)]
pub struct Presence {
    /// Since when heartbeats have been heard in one piece.
    since: Instant,
    signs: HashMap<NodeId, HashMap<Uuid, Sign>>,
}

impl Presence {
    /// Starts to listen.
    pub fn new(now: Instant) -> Self {
        Self { since: now, signs: HashMap::new() }
    }

    /// Listening was interrupted: nobody is judged by what was heard before.
    pub fn restart(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// A process lives.
    pub fn hear(&mut self, beat: &Heartbeat, now: Instant) {
        let sign = Sign { at: now, takes: beat.slots > 0, holds: !beat.nonces.is_empty() };
        let processes = self.signs.entry(beat.node.clone()).or_default();
        processes.retain(|_, sign| now.duration_since(sign.at) <= LOST);
        processes.insert(beat.process, sign);
    }

    /// Whether nothing was heard of a node for so long that it is lost.
    pub fn is_lost(&self, node: &NodeId, now: Instant) -> bool {
        now.duration_since(self.since) > LOST && self.heard_within(node, LOST, now).next().is_none()
    }

    /// Whether every process of a node said that it takes nothing and holds nothing.
    pub fn is_idle(&self, node: &NodeId, now: Instant) -> bool {
        let mut heard = self.heard_within(node, LEASE, now).peekable();
        now.duration_since(self.since) > LEASE && heard.peek().is_some() && heard.all(|sign| !sign.takes && !sign.holds)
    }

    fn heard_within(&self, node: &NodeId, limit: Duration, now: Instant) -> impl Iterator<Item = &Sign> {
        let signs = self.signs.get(node).into_iter().flat_map(HashMap::values);
        signs.filter(move |sign| now.duration_since(sign.at) <= limit)
    }
}

/// Records by node, with their revisions.
pub type Fleet = BTreeMap<NodeId, (NodeRecord, u64)>;

/// What is to be done about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is lost.
    Lost,
    /// It has drained.
    Drained,
    /// What triage says.
    Verdict(Verdict),
    /// It is gone for good.
    Forget,
}

/// Decides about every node. `busy`: nodes that records say run something. Takes no step twice:
/// what a record says already is not decided again.
pub fn decide(
    fleet: &Fleet,
    presence: &Presence,
    busy: &HashSet<NodeId>,
    trials: &[Trial],
    now: Instant,
    now_ms: i64,
) -> Vec<(NodeId, Decision)> {
    let mut decisions = Vec::new();
    for (id, (node, _)) in fleet {
        if node.present && presence.is_lost(id, now) {
            decisions.push((id.clone(), Decision::Lost));
        }
        let still = !busy.contains(id) && (!node.present || presence.is_idle(id, now));
        if node.state == NodeState::Draining && !node.drained && still {
            decisions.push((id.clone(), Decision::Drained));
        }
        if !node.present && node.state == NodeState::Active && now_ms - node.lost_ms > FORGOTTEN_MS {
            decisions.push((id.clone(), Decision::Forget));
        }
    }
    let nodes = fleet.iter().map(|(id, (node, _))| (id.clone(), node.clone())).collect();
    let news = triage(&nodes, trials, now_ms).into_iter().filter(|(id, verdict)| match verdict {
        Verdict::Quarantine(_) => true,
        Verdict::Suspect(_) => nodes[id].suspicion.is_none(),
        Verdict::Clear => nodes[id].suspicion.is_some(),
    });
    decisions.extend(news.map(|(id, verdict)| (id, Decision::Verdict(verdict))));
    decisions
}

/// Runs until `stop`; the caller holds the lease that makes it the only one.
pub async fn run(queue: &Queue, view: &View, stop: &CancellationToken) {
    let outbox = Outbox::new(queue.clone());
    let mut timer = super::timer(EVERY);
    while !stop.is_cancelled() {
        if let Some(Err(error)) = stop.run_until_cancelled(follow(queue, &outbox, view)).await {
            tracing::warn!(error = %chain(&error), "the fleet cannot be followed for now");
        }
        let _ = stop.run_until_cancelled(timer.tick()).await;
    }
}

async fn follow(queue: &Queue, outbox: &Outbox, view: &View) -> Result<(), QueueError> {
    let mut beats = std::pin::pin!(queue.heartbeats().await?);
    let mut changes = queue.nodes().watch(">").await?;
    let mut presence = Presence::new(Instant::now());
    let mut fleet = Fleet::new();
    let mut current = false;
    let mut reconnects = queue.reconnects();
    let mut timer = super::timer(EVERY);
    loop {
        tokio::select! {
            beat = beats.next() => match beat {
                Some(beat) => presence.hear(&beat, Instant::now()),
                None => return Ok(()),
            },
            change = changes.next() => match change {
                Some(Ok(Change::Put { value, revision, .. })) => {
                    fleet.insert(value.id.clone(), (*value, revision));
                }
                Some(Ok(Change::Deleted { key, .. })) => fleet.retain(|id, _| id.as_str() != key),
                Some(Ok(Change::Current)) => current = true,
                Some(Err(error)) => tracing::warn!(error = %chain(&error), "the record of a node was skipped"),
                None => return Ok(()),
            },
            _ = timer.tick() => {
                if !queue.is_connected() || queue.reconnects() != reconnects {
                    reconnects = queue.reconnects();
                    presence.restart(Instant::now());
                }
                if current && view.is_current() && queue.is_connected() {
                    tick(queue, outbox, view, &presence, &fleet).await;
                }
            }
        }
    }
}

/// One pass over the fleet.
pub async fn tick(queue: &Queue, outbox: &Outbox, view: &View, presence: &Presence, fleet: &Fleet) {
    let running = view.jobs_in(&[JobState::Running]);
    let busy = running.iter().filter_map(|job| job.holder.as_ref().map(|holder| holder.node.clone())).collect();
    let since = now_ms() - WINDOW_MS;
    let trials: Vec<Trial> =
        view.jobs_where(|job| Trial::says(job, since)).iter().map(|job| Trial::of(job, since)).collect();
    for (id, decision) in decide(fleet, presence, &busy, &trials, Instant::now(), now_ms()) {
        let (judged, revision) = &fleet[&id];
        if let Err(error) = carry_out(queue, judged, *revision, decision).await {
            tracing::warn!(node = %id, error = %chain(&error), "the node is looked at again later");
        }
    }
    for (id, _) in fleet.iter().filter(|(_, (node, _))| !node.unsent.is_empty()) {
        if let Err(error) = outbox.send_node(id).await {
            tracing::warn!(node = %id, error = %chain(&error), "events of a node are sent again later");
        }
    }
}

async fn carry_out(queue: &Queue, judged: &NodeRecord, revision: u64, decision: Decision) -> Result<(), RecordError> {
    // A verdict is about the state it was found in: a node that was released since starts anew.
    let same = |node: &NodeRecord| (node.state, node.since_ms) == (judged.state, judged.since_ms);
    let id = &judged.id;
    let changed = match &decision {
        Decision::Lost => queue.change_node(id, node::lost).await?,
        Decision::Drained => queue.change_node(id, node::drained).await?,
        Decision::Forget => return queue.nodes().delete(id.as_str(), revision).await,
        Decision::Verdict(verdict) => {
            queue
                .change_node(id, |node, at| match verdict {
                    _ if !same(&node) => None,
                    Verdict::Quarantine(why) => node::quarantine(node, Decider::Farm, why.clone(), at),
                    Verdict::Suspect(why) => node::suspect(node, Some(why.clone()), at),
                    Verdict::Clear => node::suspect(node, None, at),
                })
                .await?
        }
    };
    if let Changed::Yes(..) = changed {
        tracing::warn!(node = %id, ?decision, "a node changed");
    }
    Ok(())
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
