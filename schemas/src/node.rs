//! Nodes: what the farm knows of a machine, and what of it an operator sees.

use serde::{Deserialize, Serialize};

use crate::{
    event::Event,
    failure::Failure,
    ids::{AssetId, JobId, NodeId, Zone},
    inventory::Inventory,
    ladder::VideoCodec,
};

/// Format of node records written by this version.
pub const NODE_VERSION: u32 = 1;
/// Good canaries in a row after which a node takes jobs again.
pub const CANARY_GOOD: u32 = 2;
/// How long a draining node may finish what it runs, where nobody says otherwise.
pub const DRAIN_DEADLINE_S: u32 = 60;
/// Longest deadline of a drain: a day.
pub const DRAIN_DEADLINE_S_MAX: u32 = 24 * 3600;

/// What a node may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It takes jobs.
    Active,
    /// It takes none; it finishes what it runs, or hands it back after a deadline.
    Draining,
    /// It takes none: something is wrong with it.
    Quarantined,
}

impl NodeState {
    /// The name in events and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Quarantined => "quarantined",
        }
    }
}

/// Who decided on a node's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    /// The farm, which may also take it back.
    Farm,
    /// A person: only a person takes it back.
    Operator,
}

impl Decider {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Farm => "farm",
            Self::Operator => "operator",
        }
    }
}

/// What a node does for the farm, as it said when it joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeRole {
    /// `worker` or `packager`.
    pub role: String,
    /// Jobs of the role at once.
    pub slots: u32,
    /// Codecs it encodes; empty for a role that encodes nothing.
    #[serde(default)]
    pub encodes: Vec<VideoCodec>,
    /// What its machine shares with others that may fail together, as it was told; only of workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// What a worker found on its machine; in the API a part of the detail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
}

/// How a quarantined node did when it tried itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Canary {
    /// Runs since the quarantine began.
    pub runs: u32,
    /// Good ones in a row, up to now.
    pub good: u32,
    /// When it ran last, Unix milliseconds; 0 before.
    pub at_ms: i64,
    /// Why the last one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The truth about a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Format of this record.
    pub v: u32,
    /// The machine.
    pub id: NodeId,
    /// What it may do.
    pub state: NodeState,
    /// Who says so.
    pub by: Decider,
    /// Why, for people.
    pub why: String,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
    /// What it does.
    pub roles: Vec<NodeRole>,
    /// Whether it is heard of.
    pub present: bool,
    /// When it was taken for lost, Unix milliseconds; 0 while it is heard of.
    #[serde(default)]
    pub lost_ms: i64,
    /// How long it may finish what it runs, while it drains.
    #[serde(default)]
    pub deadline_s: u32,
    /// Whether a draining node runs nothing any more.
    #[serde(default)]
    pub drained: bool,
    /// Why it would be quarantined if the farm could do without it.
    #[serde(default)]
    pub suspicion: Option<String>,
    /// How it did since it was quarantined.
    #[serde(default)]
    pub canary: Canary,
    /// Events that were decided together with this record and are not sent yet.
    #[serde(default)]
    pub unsent: Vec<Event>,
}

impl NodeRecord {
    /// Whether it has a role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|held| held.role == role)
    }

    /// Whether it would take a job of a role now.
    pub fn serves(&self, role: &str) -> bool {
        self.present && self.state == NodeState::Active && self.has_role(role)
    }

    /// Whether it would take some job of a role now that needs this codec.
    fn encodes(&self, role: &str, codec: VideoCodec) -> bool {
        self.serves(role) && self.roles.iter().any(|held| held.role == role && held.encodes.contains(&codec))
    }

    /// Whether others do all that a role of this node does, each codec of it.
    pub fn is_covered<'a>(&self, held: &NodeRole, others: impl Iterator<Item = &'a NodeRecord> + Clone) -> bool {
        let others = others.filter(|other| other.id != self.id);
        let role = held.role.as_str();
        others.clone().any(|other| other.serves(role))
            && held.encodes.iter().all(|codec| others.clone().any(|other| other.encodes(role, *codec)))
    }

    /// The first of its roles that `others` do not cover: the farm cannot do without it.
    pub fn last_of<'a>(&self, others: impl Iterator<Item = &'a NodeRecord> + Clone) -> Option<&str> {
        self.roles.iter().find(|held| !self.is_covered(held, others.clone())).map(|held| held.role.as_str())
    }
}

/// A node as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeView {
    /// The machine.
    pub id: NodeId,
    /// What it may do.
    pub state: NodeState,
    /// Who says so.
    pub by: Decider,
    /// Why.
    pub why: String,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
    /// Whether it is heard of.
    pub present: bool,
    /// When it was taken for lost, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_ms: Option<i64>,
    /// What it does, with its slots.
    pub roles: Vec<NodeRole>,
    /// Jobs it runs.
    pub running: u32,
    /// How long it may finish what it runs; while it drains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u32>,
    /// Whether a draining node runs nothing any more.
    pub drained: bool,
    /// Why it would be quarantined if the farm could do without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspicion: Option<String>,
    /// How it did when it tried itself; absent before it had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

/// A node with what it does and what went wrong on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeDetail {
    /// The node.
    pub node: NodeView,
    /// What its worker found on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
    /// Its processes that take no job now, and why.
    #[serde(default)]
    pub waiting: Vec<Waiting>,
    /// Jobs it runs, the longest first.
    pub jobs: Vec<NodeJob>,
    /// Failures on it that records still hold, the latest first.
    pub failures: Vec<NodeFailure>,
}

/// Why a process of a node takes no job, as its last heartbeat told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Waiting {
    /// `worker` or `packager`.
    pub role: String,
    /// Why.
    pub why: String,
}

/// A job that a node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeJob {
    /// The job.
    pub job_id: JobId,
    /// Its asset.
    pub asset_id: AssetId,
    /// What it is within its asset.
    pub unit: String,
    /// Since when, Unix milliseconds.
    pub claimed_ms: i64,
}

/// A failure on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeFailure {
    /// The job.
    pub job_id: JobId,
    /// Its asset.
    pub asset_id: AssetId,
    /// What it is within its asset.
    pub unit: String,
    /// What went wrong.
    pub failure: Failure,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, roles: &[&str], state: NodeState, present: bool) -> NodeRecord {
        NodeRecord {
            v: NODE_VERSION,
            id: id.parse().expect("a name"),
            state,
            by: Decider::Farm,
            why: String::new(),
            since_ms: 0,
            roles: roles
                .iter()
                .map(|role| NodeRole {
                    role: (*role).to_owned(),
                    slots: 1,
                    encodes: Vec::new(),
                    zone: None,
                    inventory: None,
                })
                .collect(),
            present,
            lost_ms: 0,
            deadline_s: 0,
            drained: false,
            suspicion: None,
            canary: Canary::default(),
            unsent: Vec::new(),
        }
    }

    #[test]
    fn the_last_of_a_role_is_the_one_without_which_nobody_serves_it() {
        use NodeState::{Active, Draining, Quarantined};
        let me = node("a", &["worker"], Active, true);
        for (others, last) in [
            (vec![], Some("worker")),
            (vec![node("b", &["worker"], Active, true)], None),
            (vec![node("b", &["worker"], Active, false)], Some("worker")),
            (vec![node("b", &["worker"], Draining, true)], Some("worker")),
            (vec![node("b", &["worker"], Quarantined, true)], Some("worker")),
            (vec![node("b", &["packager"], Active, true)], Some("worker")),
            (vec![node("b", &["packager"], Active, true), node("c", &["worker"], Active, true)], None),
            // The same node, listed among the others, is none.
            (vec![node("a", &["worker"], Active, true)], Some("worker")),
        ] {
            assert_eq!(me.last_of(others.iter()), last, "{others:?}");
        }
        let encodes = |id, codecs: &[VideoCodec]| {
            let mut node = node(id, &["worker"], Active, true);
            node.roles[0].encodes = codecs.to_vec();
            node
        };
        use VideoCodec::{Av1, H264};
        for (mine, others, last) in [
            (&[H264, Av1][..], vec![encodes("b", &[H264])], Some("worker")),
            (&[H264, Av1], vec![encodes("b", &[H264]), encodes("c", &[Av1])], None),
            (&[H264], vec![encodes("b", &[])], Some("worker")),
            (&[], vec![encodes("b", &[])], None),
        ] {
            assert_eq!(encodes("a", mine).last_of(others.iter()), last, "{mine:?} {others:?}");
        }
        let both = node("a", &["worker", "packager"], Active, true);
        assert_eq!(both.last_of([node("b", &["worker"], Active, true)].iter()), Some("packager"));
    }
}
