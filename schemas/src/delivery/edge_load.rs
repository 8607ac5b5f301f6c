//! What an edge says of its load, its health and its place.

use serde::{Deserialize, Serialize};

use super::EdgeLoadView;
use crate::ids::{NodeId, Zone};

/// Format of load records written by this version.
pub const EDGE_LOAD_VERSION: u32 = 1;

/// Kilometres of the earth's mean radius.
const RADIUS_KM: f64 = 6371.0;

/// A place on the earth, in degrees (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// North of the equator, -90 to 90.
    pub latitude: f64,
    /// East of Greenwich, -180 to 180.
    pub longitude: f64,
}

impl Place {
    /// Whether there is such a place.
    pub fn is_on_earth(&self) -> bool {
        (-90.0..=90.0).contains(&self.latitude) && (-180.0..=180.0).contains(&self.longitude)
    }

    /// Kilometres to another place along a great circle, by the haversine formula.
    pub fn distance_km(&self, other: &Self) -> u32 {
        let (own, far) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
        let bow = half(other.latitude - self.latitude) + own.cos() * far.cos() * half(other.longitude - self.longitude);
        // Half the earth's girth at most, and never below nothing.
        (2.0 * RADIUS_KM * bow.clamp(0.0, 1.0).sqrt().asin()).round() as u32
    }
}

/// An edge's load: bucket `edge-loads`, by name. The edge writes it every few seconds, and nobody else; one that is old is
/// of an edge that is gone, or cut off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeLoad {
    /// Format of this record.
    pub v: u32,
    /// Its name.
    pub edge: NodeId,
    /// Where viewers reach it; empty: nobody is sent there.
    pub url: String,
    /// What it shares with others that may fail together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Whether it may serve: it knows what it must not.
    pub serves: bool,
    /// How well it serves, 0 to 100.
    pub health: u8,
    /// Viewers' connections.
    pub connections: u32,
    /// Most that it takes.
    pub connections_max: u32,
    /// Bytes of bodies that it sent lately, per second.
    pub sent_bytes_per_s: u64,
    /// Bytes per second that it can send; 0: not known.
    #[serde(default)]
    pub egress_bytes_per_s: u64,
    /// When this was written, Unix milliseconds.
    pub written_ms: i64,
}

impl EdgeLoad {
    /// As it is shown.
    pub fn view(&self) -> EdgeLoadView {
        EdgeLoadView {
            place: self.place,
            serves: self.serves,
            health: self.health,
            load_percent: self.load_percent(),
            connections: self.connections,
            connections_max: self.connections_max,
            sent_bytes_per_s: self.sent_bytes_per_s,
            egress_bytes_per_s: self.egress_bytes_per_s,
            written_ms: self.written_ms,
        }
    }

    /// How full it is, percent: of its connections or of what it can send, whichever is more.
    pub fn load_percent(&self) -> u8 {
        let percent = |of: u64, all: u64| of.saturating_mul(100).checked_div(all).unwrap_or(0).min(100) as u8;
        let connections = percent(u64::from(self.connections), u64::from(self.connections_max));
        connections.max(percent(self.sent_bytes_per_s, self.egress_bytes_per_s))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_earth() {
        let at = |latitude, longitude| Place { latitude, longitude };
        let (oslo, bergen, sydney) = (at(59.91, 10.75), at(60.39, 5.32), at(-33.87, 151.21));
        for (a, b, km) in [
            (oslo, oslo, 0),
            (oslo, bergen, 306),
            (oslo, sydney, 15_960),
            (at(0.0, 179.5), at(0.0, -179.5), 111),
            (at(90.0, 0.0), at(-90.0, 0.0), 20_015),
        ] {
            assert!(a.distance_km(&b).abs_diff(km) <= 10, "{a:?} {b:?}: {}", a.distance_km(&b));
            assert_eq!(a.distance_km(&b), b.distance_km(&a));
        }
        assert!(oslo.is_on_earth() && !at(91.0, 0.0).is_on_earth() && !at(0.0, f64::NAN).is_on_earth());
    }

    #[test]
    fn an_edge_is_as_full_as_what_it_has_least_of() {
        let load = EdgeLoad {
            v: EDGE_LOAD_VERSION,
            edge: "edge-1".parse().unwrap(),
            url: String::new(),
            zone: None,
            place: None,
            serves: true,
            health: 100,
            connections: 0,
            connections_max: 0,
            sent_bytes_per_s: 0,
            egress_bytes_per_s: 0,
            written_ms: 0,
        };
        for (connections, connections_max, sent, egress, percent) in [
            (0, 0, 9, 0, 0),
            (50, 100, 0, 0, 50),
            (50, 100, 90, 100, 90),
            (99, 100, 90, 100, 99),
            (300, 100, 0, 0, 100),
            (1, 100, u64::MAX, 1, 100),
        ] {
            let load = EdgeLoad {
                connections,
                connections_max,
                sent_bytes_per_s: sent,
                egress_bytes_per_s: egress,
                ..load.clone()
            };
            assert_eq!(load.load_percent(), percent, "{connections}/{connections_max} {sent}/{egress}");
        }
    }
}
