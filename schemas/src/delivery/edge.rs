//! What an edge says of itself.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, Zone};

/// Format of edge records written by this version.
pub const EDGE_VERSION: u32 = 1;

/// An edge: bucket `edges`, by name. The edge writes it, and an operator removes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeRecord {
    /// Format of this record.
    pub v: u32,
    /// Its name.
    pub edge: NodeId,
    /// Where viewers reach it; empty: nobody is sent there.
    pub url: String,
    /// What it shares with others that may fail together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// When this start of it began, Unix milliseconds.
    pub started_ms: i64,
    /// The last purge that it has applied: an edge's durable acknowledgement of it and of all before.
    pub applied: u64,
    /// When it had, Unix milliseconds.
    pub applied_ms: i64,
}
