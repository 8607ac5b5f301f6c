//! What the tests of steering have in common.

use framemill_schemas::delivery::{EDGE_LOAD_VERSION, EdgeLoad};

/// An edge that serves, is well, and has nothing to do.
pub fn idle(edge: &str) -> EdgeLoad {
    EdgeLoad {
        v: EDGE_LOAD_VERSION,
        edge: edge.parse().unwrap(),
        url: String::new(),
        zone: None,
        place: None,
        serves: true,
        health: 100,
        connections: 0,
        connections_max: 100,
        sent_bytes_per_s: 0,
        egress_bytes_per_s: 0,
        written_ms: 0,
    }
}
