//! Documents of the API about purges and edges.

use serde::{Deserialize, Serialize};

use super::{
    Place,
    purge::{AdapterStatus, PurgeCause, PurgeId, PurgeState},
};
use crate::ids::{NodeId, Tenant, Zone};

/// Body of `POST /v1/purges`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeRequest {
    /// What to forget: objects with any of these tags, 1 to 256 of them.
    pub tags: Vec<String>,
    /// Whose they are; left out, the key's tenant, or whose the tags are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Whether viewers are refused what has these tags from now on, for as long as the purge is kept (7 days).
    #[serde(default)]
    pub refuse: bool,
}

/// Answer of `POST /v1/purges`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PurgeAccepted {
    /// Its id.
    pub id: PurgeId,
    /// Its place in the order of purges.
    pub sequence: u64,
    /// Where it is.
    pub state: PurgeState,
}

/// A purge as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PurgeView {
    /// Its id.
    pub id: PurgeId,
    /// Whose objects.
    pub tenant: Tenant,
    /// What they are tagged with.
    pub tags: Vec<String>,
    /// Whether viewers are refused them.
    pub refuse: bool,
    /// What asked for it.
    pub cause: PurgeCause,
    /// Its place in the order of purges.
    pub sequence: u64,
    /// Where it is.
    pub state: PurgeState,
    /// Edges that have not acknowledged it.
    pub waiting: Vec<NodeId>,
    /// How many edges have.
    pub acknowledged: u32,
    /// How far caches of others are.
    pub adapters: Vec<AdapterStatus>,
    /// When it was asked for, Unix milliseconds.
    pub requested_ms: i64,
    /// When the last edge had acknowledged it, Unix milliseconds; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_ms: Option<i64>,
}

/// Answer of `GET /v1/purges/{id}/report`: whether what a purge names is gone everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PurgeReport {
    /// The purge.
    pub purge: PurgeView,
    /// Every edge has acknowledged it, every cache of others has confirmed it, and the store has no object with
    /// any of its tags.
    pub gone: bool,
    /// Objects in the store that have one of its tags.
    pub objects_left: u64,
    /// The first of them.
    pub examples: Vec<String>,
    /// Caches of others that find an object by its address alone: what one of them fetched for a token in the path stays
    /// there until that token ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_address: Vec<String>,
}

/// An edge as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EdgeView {
    /// Its name.
    pub id: NodeId,
    /// Where viewers reach it; empty: nobody is sent there.
    pub url: String,
    /// What it shares with others that may fail together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// When this start of it began, Unix milliseconds.
    pub started_ms: i64,
    /// The place of the last purge that it has applied.
    pub applied: u64,
    /// When it had, Unix milliseconds.
    pub applied_ms: i64,
    /// Purges that it has not applied.
    pub behind: u64,
    /// What it says of its load; absent when it has not for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<EdgeLoadView>,
}

/// What an edge says of its load, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EdgeLoadView {
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Whether it may serve.
    pub serves: bool,
    /// How well it serves, 0 to 100.
    pub health: u8,
    /// How full it is, percent.
    pub load_percent: u8,
    /// Viewers' connections.
    pub connections: u32,
    /// Most that it takes.
    pub connections_max: u32,
    /// Bytes of bodies that it sent lately, per second.
    pub sent_bytes_per_s: u64,
    /// Bytes per second that it can send; 0: not known.
    pub egress_bytes_per_s: u64,
    /// When it said so, Unix milliseconds.
    pub written_ms: i64,
}
