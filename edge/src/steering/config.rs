//! The section `edge.steering` of the configuration.

use framemill_schemas::delivery::Place;
use serde::{Deserialize, Serialize};

/// How viewers are sent to other edges.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SteeringConfig {
    /// Whether playlists name other edges, where there are some.
    pub enabled: bool,
    /// Where this edge is.
    pub place: Option<Place>,
    /// What it can send, megabits per second; unset, its connections alone say how full it is.
    pub egress_mbps: Option<u32>,
    /// How many other edges a multivariant playlist lists itself, for players that know no steering: 0 to 4.
    pub redundant: usize,
    /// Where viewers are; the smallest network that holds an address counts.
    pub networks: Vec<NetworkPlace>,
}

impl Default for SteeringConfig {
    fn default() -> Self {
        Self { enabled: true, place: None, egress_mbps: None, redundant: 0, networks: Vec::new() }
    }
}

/// Where the viewers of a network are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPlace {
    /// `10.1.0.0/16`.
    pub network: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}
