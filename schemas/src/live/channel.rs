//! Channel records.

use serde::{Deserialize, Serialize};

use crate::{
    event::Event,
    failure::Failure,
    ids::{AssetId, ChannelId, JobId, NodeId, Tenant},
    inventory::Engine,
    ladder::Ladder,
    live::{Access, Flaw, LiveSource, Observability, OnAir},
    rate::{Ratio, rescale},
    trace::TraceContext,
};

/// Newest format of channel records that this version reads.
pub const CHANNEL_VERSION: u32 = 1;

/// What an operator wants of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// On air.
    Running,
    /// Off air; what was published stays for its time.
    Stopped,
    /// Removed with everything it published. Nothing leaves this.
    Retired,
}

/// How a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelState {
    /// Off air.
    Stopped,
    /// Off air until its schedule puts it on, or for ever where that is over.
    Scheduled,
    /// Its replicas are being placed, and nothing was published yet.
    Starting,
    /// On air with all its replicas.
    Live,
    /// On air, with something missing: the record says what.
    Degraded,
    /// Wanted on air, and nothing is published.
    Down,
    /// To be collected.
    Retired,
}

impl ChannelState {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Stopped, Self::Scheduled, Self::Starting, Self::Live, Self::Degraded, Self::Down, Self::Retired];

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Scheduled => "scheduled",
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Retired => "retired",
        }
    }
}

/// What a channel is made of; a change makes the next edition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    /// Counts from 1.
    pub number: u32,
    /// The best first.
    pub sources: Vec<LiveSource>,
    /// The ladder as it was then.
    pub ladder: Ladder,
    /// Replicas on different nodes.
    pub redundancy: u32,
    /// Length of a segment, milliseconds; rounded to whole frames on each source's grid.
    pub segment_ms: u32,
    /// Length of the live playlists, seconds.
    pub window_s: u32,
    /// How far back a viewer may go, seconds.
    pub timeshift_s: u32,
    /// How long a better source must be there again before it is returned to, seconds.
    pub return_after_s: u32,
    /// Who may watch.
    pub access: Access,
    /// When to raise an alarm.
    pub observability: Observability,
}

impl Edition {
    /// Frames of a group of pictures and of a segment: whole groups as long as the ladder's, or as near
    /// as whole groups in a segment of this length come to it.
    pub fn frames(&self, rate: Ratio) -> (u32, u32) {
        let groups = (self.segment_ms + self.ladder.gop_s / 2) / self.ladder.gop_s.max(1);
        let groups = groups.max(1);
        let gop_ms = i64::from(self.segment_ms / groups);
        let gop = rescale(gop_ms, u64::from(rate.num), u64::from(rate.den) * 1000).max(1);
        let gop = u32::try_from(gop).unwrap_or(u32::MAX / groups);
        (gop, gop * groups)
    }
}

/// A replica as the failover controller placed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Its job.
    pub job: JobId,
    /// Its node, once one claimed it.
    #[serde(default)]
    pub node: Option<NodeId>,
    /// Nodes it must not be claimed on.
    #[serde(default)]
    pub apart: Vec<NodeId>,
    /// When it was placed, Unix milliseconds.
    pub placed_ms: i64,
    /// Whether it was seen to publish.
    #[serde(default)]
    pub proven: bool,
    /// What encodes it.
    #[serde(default = "software")]
    pub engine: Engine,
}

const fn software() -> Engine {
    Engine::Software
}

/// What the failover controller remembers of a channel from one look to the next, whoever looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upkeep {
    /// Replicas that were lost and are not replaced yet.
    #[serde(default)]
    pub lost: u32,
    /// Replicas in a row that ended before they published.
    #[serde(default)]
    pub strikes: u32,
    /// No replica is placed before this, Unix milliseconds.
    #[serde(default)]
    pub rest_ms: i64,
    /// Until when zones are not looked at: nobody in another one took a replica. Unix milliseconds.
    #[serde(default)]
    pub anywhere_ms: i64,
    /// Sources that no replica reaches, by their place in the edition.
    #[serde(default)]
    pub dark: Vec<u32>,
    /// The first number of the gaps that go on.
    #[serde(default)]
    pub gap_from: Option<u64>,
    /// Gaps of numbers below this were told of.
    #[serde(default)]
    pub told: u64,
    /// What all that is published has been for a while: black, frozen, silent.
    #[serde(default)]
    pub shown: Vec<Flaw>,
}

/// A channel, and the truth about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRecord {
    /// Format of this record.
    pub v: u32,
    /// Whose it is.
    pub tenant: Tenant,
    /// Its name.
    pub id: ChannelId,
    /// What its jobs are filed under. Another channel of the same name has another one.
    pub asset: AssetId,
    /// What it is made of.
    pub edition: Edition,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// When it is on air while it is wanted running. No part of the edition: another one changes
    /// nothing that is encoded.
    #[serde(default, skip_serializing_if = "OnAir::is_empty")]
    pub on_air: OnAir,
    /// How it is.
    pub state: ChannelState,
    /// Why, where that needs words.
    #[serde(default)]
    pub why: Option<Failure>,
    /// Its replicas: the placement. Only the failover controller changes it.
    #[serde(default)]
    pub replicas: Vec<Replica>,
    /// Replicas placed so far: names the next job.
    #[serde(default)]
    pub placed: u32,
    /// Nodes that failed it lately, each with when: others are tried first.
    #[serde(default)]
    pub shunned: Vec<(NodeId, i64)>,
    /// What the failover controller goes by.
    #[serde(default)]
    pub upkeep: Upkeep,
    /// Events that were decided together with this record and are not sent yet.
    #[serde(default)]
    pub unsent: Vec<Event>,
    /// Root of its trace.
    #[serde(default)]
    pub trace: TraceContext,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// When its state changed last, Unix milliseconds.
    pub since_ms: i64,
}

impl ChannelRecord {
    /// Whether it is on air now, or on its way there: wanted, and not between two spans of its schedule.
    pub fn is_on_air(&self) -> bool {
        self.wanted == Wanted::Running && self.state != ChannelState::Scheduled
    }

    /// Whether it is off air, for now or for good: viewers are told that it ended.
    pub fn is_off_air(&self) -> bool {
        !self.is_on_air() && matches!(self.state, ChannelState::Stopped | ChannelState::Scheduled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_whole_groups_as_long_as_the_ladder_asks() {
        let text = "{name: l, gop_s: 2, segment_s: 4, video: [{name: v, codec: h264, height: 360, quality: 23}]}";
        let ladder = Ladder::from_yaml(text).expect("good");
        for (segment_ms, rate, expected) in [
            (4000, (25, 1), (50, 100)),
            (3840, (25, 1), (48, 96)),
            (3840, (50, 1), (96, 192)),
            (4000, (30_000, 1001), (60, 120)),
            (2000, (60_000, 1001), (120, 120)),
            (1000, (25, 1), (25, 25)),
            (6000, (24, 1), (48, 144)),
        ] {
            let edition = Edition {
                number: 1,
                sources: Vec::new(),
                ladder: ladder.clone(),
                redundancy: 2,
                segment_ms,
                window_s: 60,
                timeshift_s: 0,
                return_after_s: 30,
                access: Access::default(),
                observability: Observability::default(),
            };
            assert_eq!(edition.frames(Ratio::new(rate.0, rate.1).expect("a rate")), expected, "{segment_ms} {rate:?}");
        }
    }
}
