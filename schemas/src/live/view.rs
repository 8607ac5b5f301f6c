//! Channels as the API and the operator's commands show them. Secrets are no part of any of it: a
//! source shows the name of its secret, and its address without a query.

use serde::{Deserialize, Serialize};

use crate::{
    failure::Failure,
    ids::{ChannelId, JobId, NodeId, Tenant},
    inventory::Engine,
    job::JobState,
    live::{
        ChannelState, Flaw, LiveSourceKind, OnAirChange, RenditionSample, SegmentFinding, SourceFormat, SpanDocument,
        Wanted,
    },
};

/// A channel as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChannelView {
    /// Its name.
    pub channel_id: ChannelId,
    /// Whose it is.
    pub tenant: Tenant,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// How it is.
    pub state: ChannelState,
    /// Why, where that needs words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Failure>,
    /// What its schedule does next; absent without one, while it is stopped, and where nothing comes any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<OnAirChange>,
    /// Which edition of it is made, from 1.
    pub edition: u32,
    /// Name of its ladder.
    pub ladder: String,
    /// Replicas it is to have.
    pub redundancy: u32,
    /// Replicas that were seen to publish.
    pub proven: u32,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// When its state changed last, Unix milliseconds.
    pub since_ms: i64,
}

/// What a `PUT` did to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelChange {
    /// It was not there before.
    Created,
    /// It has a new edition, another schedule, or both.
    Changed,
    /// It is as asked for already.
    Unchanged,
}

impl ChannelChange {
    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Answer of `PUT /v1/channels/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChannelPut {
    /// What was done, or would be.
    pub outcome: ChannelChange,
    /// Whether nothing was stored, as was asked.
    pub dry_run: bool,
    /// What differs from before, for people.
    pub changes: Vec<String>,
    /// What was taken and may not be meant, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The channel; as it would be, where nothing was stored.
    pub channel: ChannelView,
}

/// A channel with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChannelDetail {
    /// The channel.
    #[serde(flatten)]
    pub channel: ChannelView,
    /// Length of a segment, milliseconds.
    pub segment_ms: u32,
    /// Length of the live playlists, seconds.
    pub window_s: u32,
    /// How far back a viewer may go, seconds.
    pub timeshift_s: u32,
    /// When it is on air while it is started; always where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_air: Vec<SpanDocument>,
    /// The last number that something became of; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadView>,
    /// The timeline in force; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    /// Whether any replica may publish any number; no where its source gives each reader timestamps of
    /// its own: then one publishes, and the other stands by.
    pub aligned: bool,
    /// Its sources, the best first.
    pub sources: Vec<SourceView>,
    /// Its replicas.
    pub replicas: Vec<EncoderView>,
    /// Why nobody takes a replica that waits, for people; absent where none waits, or somebody would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Its renditions; empty before the first timeline.
    pub renditions: Vec<RenditionStatus>,
    /// How long ago the last number was written into the playlists, milliseconds; absent where nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_age_ms: Option<u64>,
    /// The last number in the playlists; absent where nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_number: Option<u64>,
    /// The last faults that were found in what is published, newest first.
    #[serde(default)]
    pub findings: Vec<SegmentFinding>,
    /// How far the sound of the last checked number lies from its place beside the picture, milliseconds: more
    /// than 0 where it is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound_offset_ms: Option<i64>,
    /// Whether decoding samples falls behind.
    #[serde(default)]
    pub samples_late: bool,
    /// Key of the HLS entry playlist in the store.
    pub hls: String,
    /// Key of the DASH manifest in the store.
    pub dash: String,
}

/// The end of a channel's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeadView {
    /// The number.
    pub number: u64,
    /// `segment`, `filler` or `gap`.
    pub what: String,
    /// The node whose copy it is; absent for a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// How long ago it was heard of, milliseconds.
    pub age_ms: u64,
}

/// A source of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceView {
    /// Its address, without a query.
    pub uri: String,
    /// How it is read.
    pub kind: LiveSourceKind,
    /// Name of its secret on the workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Replicas that encode it now.
    pub active: u32,
    /// Whether some replica gets anything of it; absent where none says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reachable: Option<bool>,
    /// Bits per second, the most that a replica gets of it.
    pub bits_per_s: u64,
    /// How long ago its last packet came, milliseconds; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_packet_ms: Option<u64>,
    /// What it is like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<SourceFormat>,
    /// How often it had to be opened again, the most of any replica.
    pub reconnects: u32,
    /// Packets that were lost or broken on the way, the most of any replica.
    pub lost_packets: u64,
    /// Why it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Failure>,
}

/// A replica of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EncoderView {
    /// Its job.
    pub job_id: JobId,
    /// Its node, once one claimed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// What encodes it.
    pub engine: Engine,
    /// Where its job is in its life; absent before there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// When it was placed, Unix milliseconds.
    pub placed_ms: i64,
    /// Whether it was seen to publish.
    pub proven: bool,
    /// Whether its encoder runs; absent where nothing was heard of it lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<bool>,
    /// The last number it finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// How long after that number's end on the channel's clock it had it, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<i64>,
    /// How fast it encodes, thousandths of real time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_milli: Option<u64>,
    /// Numbers it committed first.
    pub committed: u64,
    /// Numbers that its peer committed first.
    pub yielded: u64,
    /// How often its encoder had to be started again.
    pub restarts: u32,
    /// What it sees wrong with its picture and sound.
    pub flaws: Vec<Flaw>,
    /// What stands in its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Failure>,
}

/// A rendition of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RenditionStatus {
    /// Its name.
    pub name: String,
    /// Its last published number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Gaps among the last numbers that are remembered.
    pub gaps: u32,
    /// Filler among them.
    pub filler: u32,
    /// What was seen when one of its segments was decoded last; absent where none was lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<RenditionSample>,
}

/// What a channel passes on its way to a viewer, in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Station {
    /// Who may watch.
    Entitlement,
    /// What is wanted of it, and whether somebody sees to it.
    Control,
    /// Where it comes from.
    Source,
    /// Its replicas.
    Encoder,
    /// The log of its numbers.
    Queue,
    /// The playlists in the store.
    OriginPlaylist,
    /// The playlists as an edge serves them.
    EdgePlaylist,
    /// What a player sees.
    Playback,
}

impl Station {
    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entitlement => "entitlement",
            Self::Control => "control",
            Self::Source => "source",
            Self::Encoder => "encoder",
            Self::Queue => "queue",
            Self::OriginPlaylist => "origin playlist",
            Self::EdgePlaylist => "edge playlist",
            Self::Playback => "playback",
        }
    }
}

/// How a station does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StationState {
    /// As it should.
    Ok,
    /// It does its work, with something missing.
    Warning,
    /// It does not do its work.
    Failed,
    /// Nobody says.
    Unknown,
}

impl StationState {
    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One station of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StationView {
    /// Which.
    pub station: Station,
    /// How it does.
    pub state: StationState,
    /// What is there, for people.
    pub says: String,
    /// What to do about it, where something can be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// Where a channel fails: answer of `GET /v1/channels/{id}/diagnose`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Diagnosis {
    /// The channel.
    pub channel_id: ChannelId,
    /// Whose it is.
    pub tenant: Tenant,
    /// How it is.
    pub state: ChannelState,
    /// The first station that failed; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Station>,
    /// All of them, in the order of the signal.
    pub stations: Vec<StationView>,
}
