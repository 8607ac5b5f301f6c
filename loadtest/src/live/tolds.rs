//! Whether each strike was told of as it should be: that a channel is degraded, that a replica was replaced,
//! that it is whole again; each once. Pure, over the farm's log of events.

use std::collections::BTreeMap;

use framemill_schemas::finding::Finding;
use serde::Serialize;

use super::faults::Kind;
use crate::chaos::audit::commits::Told;

/// Events of a channel between one strike and the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tale {
    /// `channel.degraded`.
    pub degraded: u64,
    /// `channel.failover`.
    pub failover: u64,
    /// `channel.recovered`.
    pub recovered: u64,
    /// `channel.gap`.
    pub gap: u64,
}

impl Tale {
    /// Those of a span, each once however often it was sent.
    pub fn of(events: &[Told], from_ms: i64, to_ms: i64) -> Self {
        let within = events.iter().filter(|told| (from_ms..to_ms).contains(&told.at_ms));
        let unique: BTreeMap<&str, &str> = within.map(|told| (told.id.as_str(), told.kind.as_str())).collect();
        let count = |kind: &str| unique.values().filter(|told| **told == kind).count() as u64;
        Self {
            degraded: count("channel.degraded"),
            failover: count("channel.failover"),
            recovered: count("channel.recovered"),
            gap: count("channel.gap"),
        }
    }

    /// What is wrong with it after a strike of this kind: a dead worker is told of whole; of what may pass
    /// before anybody notices, nothing may be told, but nothing by halves or twice.
    pub fn judge(&self, at: &str, kind: Kind) -> Option<Finding> {
        let Self { degraded, failover, recovered, gap } = *self;
        let whole = (degraded, failover, recovered) == (1, 1, 1);
        let passed = degraded <= 1 && recovered == degraded && failover <= degraded;
        let good = gap == 0 && if kind == Kind::KillWorker { whole } else { passed };
        let expected = if kind == Kind::KillWorker { "each once, and no gap" } else { "each once at most, and no gap" };
        (!good).then(|| Finding::error("told", at, format!("{self:?}"), expected))
    }
}

#[cfg(test)]
mod tests {
    use framemill_schemas::event::EventData;

    use super::*;

    fn told(id: &str, kind: &str, at_ms: i64) -> Told {
        Told { id: id.to_owned(), kind: format!("channel.{kind}"), at_ms, data: EventData::default() }
    }

    #[test]
    fn an_event_that_is_sent_twice_is_one() {
        let events = [told("1", "degraded", 5), told("1", "degraded", 5), told("2", "degraded", 50)];
        assert_eq!(Tale::of(&events, 0, 10), Tale { degraded: 1, ..Tale::default() });
        assert_eq!(Tale::of(&events, 0, 51).degraded, 2);
    }

    #[test]
    fn halves_and_doubles_are_found() {
        let tale = |degraded, failover, recovered, gap| Tale { degraded, failover, recovered, gap };
        for (tale, kill, other) in [
            (tale(1, 1, 1, 0), true, true),
            (tale(0, 0, 0, 0), false, true),
            (tale(1, 0, 1, 0), false, true),
            (tale(1, 1, 0, 0), false, false),
            (tale(2, 1, 2, 0), false, false),
            (tale(0, 1, 0, 0), false, false),
            (tale(1, 1, 1, 1), false, false),
        ] {
            assert_eq!(tale.judge("x", Kind::KillWorker).is_none(), kill, "{tale:?}");
            assert_eq!(tale.judge("x", Kind::StopWorker).is_none(), other, "{tale:?}");
        }
    }
}
