//! What replicas say of themselves, and packagers of a channel's playlists, every second: plain NATS
//! messages, never stored.

use serde::{Deserialize, Serialize};

use crate::{
    failure::Failure,
    finding::Finding,
    ids::{ChannelId, JobId, NodeId, Tenant},
    live::{Flaw, RenditionSample, SourceFormat},
};

/// Format of status messages written by this version.
pub const REPLICA_STATUS_VERSION: u32 = 1;
/// Format of playlists' status messages written by this version.
pub const PLAYLIST_STATUS_VERSION: u32 = 1;
/// Most findings that a playlist's status carries.
pub const PLAYLIST_FINDINGS_MAX: usize = 16;

/// How one replica of a channel is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReplicaStatus {
    /// Format of this message.
    pub v: u32,
    /// Whose channel it is.
    pub tenant: Tenant,
    /// The channel.
    pub channel_id: ChannelId,
    /// The replica's job.
    pub job_id: JobId,
    /// Its node.
    pub node: NodeId,
    /// When it said so, Unix milliseconds.
    pub at_ms: i64,
    /// The timeline it encodes; nothing before it has one.
    pub timeline: Option<u32>,
    /// Whether its encoder runs.
    pub encoding: bool,
    /// How often its encoder had to be started again.
    pub restarts: u32,
    /// The last number it finished in all renditions.
    pub number: Option<u64>,
    /// How long after that number's end on the channel's clock it had it, milliseconds.
    pub lag_ms: Option<i64>,
    /// How fast it encoded the last segments, thousandths of real time.
    pub speed_milli: Option<u64>,
    /// Numbers it committed first.
    pub committed: u64,
    /// Numbers that its peer committed first.
    pub yielded: u64,
    /// What it sees wrong with its picture and sound.
    pub flaws: Vec<Flaw>,
    /// Its sources, in the order of the channel.
    pub sources: Vec<SourceStatus>,
    /// Its renditions.
    pub tracks: Vec<TrackStatus>,
    /// What stands in its way, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Failure>,
}

/// How a replica finds one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceStatus {
    /// Its address, without secrets.
    pub uri: String,
    /// Whether this one is encoded.
    pub active: bool,
    /// Whether anything came of it within the last seconds.
    pub reachable: bool,
    /// Bits per second, over the last seconds.
    pub bits_per_s: u64,
    /// How long ago its last packet came, milliseconds.
    pub last_packet_ms: Option<u64>,
    /// What it is like.
    pub format: Option<SourceFormat>,
    /// How often it had to be opened again.
    pub reconnects: u32,
    /// Packets that were lost or broken on the way, by their counters (ISO/IEC 13818-1, clause 2.4.3.3).
    pub lost_packets: u64,
    /// Why it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Failure>,
}

/// How far a rendition is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrackStatus {
    /// The rendition.
    pub rendition: String,
    /// Its last number that this replica stored, or found stored.
    pub number: Option<u64>,
}

/// How the playlists of a channel are, as its packager finds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlaylistStatus {
    /// Format of this message.
    pub v: u32,
    /// Whose channel it is.
    pub tenant: Tenant,
    /// The channel.
    pub channel_id: ChannelId,
    /// The node of the packager that writes them.
    pub node: NodeId,
    /// When it said so, Unix milliseconds.
    pub at_ms: i64,
    /// The last number that a playlist names which was read back from the store, as a viewer reads it.
    pub number: Option<u64>,
    /// How long ago that playlist was put there, milliseconds.
    pub age_ms: Option<u64>,
    /// Gaps in the live playlist.
    pub gaps: u32,
    /// From hearing of that number's commit to the playlist that names it, milliseconds.
    pub commit_ms: Option<u64>,
    /// Numbers whose segments were checked.
    pub checked: u64,
    /// Numbers that were passed over, because checking fell behind.
    pub skipped: u64,
    /// The last faults found in segments, newest first, at most [`PLAYLIST_FINDINGS_MAX`].
    pub findings: Vec<SegmentFinding>,
    /// How far the sound of the last checked number lies from its place beside the picture, milliseconds: more
    /// than 0 where it is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound_offset_ms: Option<i64>,
    /// How often each rendition is to be decoded and looked at, seconds; 0: never.
    #[serde(default)]
    pub sample_every_s: u32,
    /// Whether that falls behind.
    #[serde(default)]
    pub samples_late: bool,
    /// The last sample of each rendition that was decoded.
    #[serde(default)]
    pub samples: Vec<RenditionSample>,
    /// What keeps the playlists from being written, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Failure>,
}

/// A fault in a committed segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SegmentFinding {
    /// Its number.
    pub number: u64,
    /// What was found.
    pub finding: Finding,
}
