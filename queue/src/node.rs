//! How a node's record may change. Pure: each function takes a record and returns what it
//! becomes, or nothing where it is so already or may not be; the caller stores the result by
//! compare-and-set. Events are written into the record with the change they tell of.

use framemill_schemas::{
    event::{Event, EventData},
    failure::Failure,
    ids::{NodeId, Tenant},
    node::{CANARY_GOOD, Canary, Decider, NODE_VERSION, NodeRecord, NodeRole, NodeState},
};

/// Most events that wait in a record to be sent; the oldest go first.
const UNSENT_MAX: usize = 64;
/// Roles of a node; more are no roles of ours.
const ROLES_MAX: usize = 8;

/// When a change is decided, and from which revision of the record (0 before there is one): an
/// event decided twice from the same revision is one event.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Unix milliseconds.
    pub now_ms: i64,
    /// Revision of the record.
    pub revision: u64,
}

/// A process with a role starts on the node, or the node is heard of again.
///
/// Takes the record, if there is one. Returns it with the role as it is now, and present.
/// Guards: not so already. What a record says of draining and quarantine stays: a restart changes
/// nothing about it.
pub fn join(found: Option<NodeRecord>, id: &NodeId, role: &NodeRole, at: Moment) -> Option<NodeRecord> {
    let known = found.is_some();
    let mut node = found.unwrap_or_else(|| NodeRecord {
        v: NODE_VERSION,
        id: id.clone(),
        state: NodeState::Active,
        by: Decider::Farm,
        why: "it joined".to_owned(),
        since_ms: at.now_ms,
        roles: Vec::new(),
        present: false,
        lost_ms: 0,
        deadline_s: 0,
        drained: false,
        suspicion: None,
        canary: Canary::default(),
        unsent: Vec::new(),
    });
    let back = !node.present;
    if !back && node.roles.contains(role) {
        return None;
    }
    node.roles.retain(|held| held.role != role.role);
    node.roles.push(role.clone());
    node.roles.sort_by(|a, b| a.role.cmp(&b.role));
    node.roles.truncate(ROLES_MAX);
    node.present = true;
    node.lost_ms = 0;
    if back {
        let why = if known { "it is heard of again" } else { "it joined" };
        tell(&mut node, "joined", why.to_owned(), at);
    }
    Some(node)
}

/// An operator wants it empty.
///
/// Takes a record in any state. Returns it `draining`.
/// Guards: not draining already with that deadline.
pub fn drain(mut node: NodeRecord, deadline_s: u32, at: Moment) -> Option<NodeRecord> {
    if node.state == NodeState::Draining && node.deadline_s == deadline_s {
        return None;
    }
    if node.state != NodeState::Draining {
        enter(&mut node, NodeState::Draining, Decider::Operator, "an operator drains it".to_owned(), at);
    }
    node.deadline_s = deadline_s;
    Some(node)
}

/// A draining node runs nothing any more.
///
/// Takes a `draining` record. Returns it marked.
/// Guards: draining, and not marked already.
pub fn drained(mut node: NodeRecord, at: Moment) -> Option<NodeRecord> {
    if node.state != NodeState::Draining || node.drained {
        return None;
    }
    node.drained = true;
    tell(&mut node, "drained", "it runs nothing any more".to_owned(), at);
    Some(node)
}

/// An operator wants it to take jobs.
///
/// Takes a record in any state. Returns it `active`, with nothing held against it.
/// Guards: not active already without a suspicion.
pub fn resume(mut node: NodeRecord, at: Moment) -> Option<NodeRecord> {
    if node.state == NodeState::Active && node.suspicion.is_none() {
        return None;
    }
    let why = "an operator resumed it";
    enter(&mut node, NodeState::Active, Decider::Operator, why.to_owned(), at);
    tell(&mut node, "joined", why.to_owned(), at);
    Some(node)
}

/// Something is wrong with it.
///
/// Takes an `active` record; from an operator, one in any state. Returns it `quarantined`.
/// Guards: the farm never overrules an operator, and repeats nothing.
pub fn quarantine(mut node: NodeRecord, by: Decider, why: String, at: Moment) -> Option<NodeRecord> {
    let may = match by {
        Decider::Farm => node.state == NodeState::Active,
        Decider::Operator => (node.state, node.by, &node.why) != (NodeState::Quarantined, by, &why),
    };
    if !may {
        return None;
    }
    enter(&mut node, NodeState::Quarantined, by, why.clone(), at);
    tell(&mut node, "quarantined", why, at);
    Some(node)
}

/// Something is wrong with it, but the farm cannot do without it; or no longer is.
///
/// Takes an `active` record. Returns it with the suspicion, or without one.
/// Guards: active; said once, whatever the words: evidence grows, and is not news.
pub fn suspect(mut node: NodeRecord, suspicion: Option<String>, at: Moment) -> Option<NodeRecord> {
    if node.state != NodeState::Active || node.suspicion.is_some() == suspicion.is_some() {
        return None;
    }
    if let Some(why) = &suspicion {
        tell(&mut node, "degraded", why.clone(), at);
    }
    node.suspicion = suspicion;
    Some(node)
}

/// It tried itself.
///
/// Takes a record that the farm `quarantined`. Returns it with the outcome, and `active` after
/// [`CANARY_GOOD`] good ones in a row.
/// Guards: quarantined by the farm.
pub fn tried(mut node: NodeRecord, outcome: Result<(), Failure>, at: Moment) -> Option<NodeRecord> {
    if (node.state, node.by) != (NodeState::Quarantined, Decider::Farm) {
        return None;
    }
    let good = if outcome.is_ok() { node.canary.good + 1 } else { 0 };
    node.canary = Canary { runs: node.canary.runs + 1, good, at_ms: at.now_ms, failure: outcome.err() };
    if good >= CANARY_GOOD {
        let why = format!("{good} canary encodes in a row went well");
        let canary = node.canary.clone();
        enter(&mut node, NodeState::Active, Decider::Farm, why.clone(), at);
        node.canary = canary;
        tell(&mut node, "joined", why, at);
    }
    Some(node)
}

/// Nothing is heard of it any more.
///
/// Takes the record of a node that is present. Returns it absent; its state stays.
/// Guards: present. One that was drained may go without a word.
pub fn lost(mut node: NodeRecord, at: Moment) -> Option<NodeRecord> {
    if !node.present {
        return None;
    }
    node.present = false;
    node.lost_ms = at.now_ms;
    if !node.drained {
        tell(&mut node, "lost", "nothing is heard of it any more".to_owned(), at);
    }
    Some(node)
}

/// Changes the state; what belonged to the one before goes.
fn enter(node: &mut NodeRecord, state: NodeState, by: Decider, why: String, at: Moment) {
    (node.state, node.by, node.why, node.since_ms) = (state, by, why, at.now_ms);
    (node.deadline_s, node.drained, node.suspicion) = (0, false, None);
    node.canary = Canary::default();
}

/// Writes an event into the record. Nodes are the farm's own: so is the tenant.
fn tell(node: &mut NodeRecord, what: &str, reason: String, at: Moment) {
    let data = EventData {
        status: Some(node.state.as_str().to_owned()),
        node: Some(node.id.clone()),
        reason: Some(reason),
        ..EventData::default()
    };
    // A record that was deleted and is made again starts at no revision again.
    let token = if at.revision == 0 { at.now_ms.to_string() } else { at.revision.to_string() };
    let kind = format!("node.{what}");
    let event = Event::derive(
        &format!("nodes/{}", node.id),
        &format!("{kind}/{token}"),
        kind,
        &Tenant::default_tenant(),
        at.now_ms,
        data,
    );
    if node.unsent.len() == UNSENT_MAX {
        node.unsent.remove(0);
    }
    node.unsent.push(event);
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
