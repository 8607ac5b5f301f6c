//! Documents of the HTTP API, shared by the server and the operator's commands.

use serde::{Deserialize, Serialize};

use crate::{
    asset::AssetState,
    failure::Failure,
    field_error::FieldError,
    finding::{Finding, Report, ReportState},
    ids::{AssetId, JobId, NodeId, Tenant},
    job::{JobKind, JobState},
    ladder::{AudioCodec, VideoCodec},
    lane::{Demand, Lane, Priority},
    live::ArchiveView,
    object::Generation,
    rate::Ratio,
};

/// An error (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// Stable kind: `urn:framemill:problem:<kind>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here, and the mend.
    pub detail: String,
    /// Every fault of a document that was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Which of the reasons of its kind, where there are several: a word that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An asset as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AssetView {
    /// Its id.
    pub id: AssetId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Where it comes from, without secrets.
    pub source: String,
    /// Name of its ladder.
    pub ladder: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Where it is in its life.
    pub state: AssetState,
    /// Its generation.
    pub generation: Generation,
    /// Unix milliseconds.
    pub submitted_ms: i64,
    /// Unix milliseconds; absent while it is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    /// Unix milliseconds at which the last segment was committed; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_segment_ms: Option<i64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What its source is; absent before the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputView>,
    /// Picture renditions; empty before the plan.
    pub renditions: Vec<RenditionView>,
    /// Sound renditions.
    pub audio: Vec<AudioView>,
    /// Rungs above the source, and tracks that were left out, with the reason.
    pub dropped: Vec<Dropped>,
    /// Its stages in order.
    pub stages: Vec<StageView>,
    /// Why one of its jobs finds nobody to run it, for people; absent where somebody could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// How many jobs.
    pub jobs: JobCounts,
    /// Verdict; absent before the validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationView>,
    /// Key of the HLS entry playlist in the store; absent before publishing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hls: Option<String>,
    /// Key of the DASH entry manifest in the store; absent before publishing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dash: Option<String>,
    /// The repair that is under way, or the last one where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairView>,
    /// Id of its trace, to be looked up in the collector; absent where nothing is traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// What of a channel it keeps; absent where it is of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveView>,
}

/// A repair of what is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RepairView {
    /// The generation that takes the place of the damaged one.
    pub generation: Generation,
    /// Units that are encoded again; the others are carried over.
    pub encoded: Vec<String>,
    /// Unix milliseconds.
    pub since_ms: i64,
    /// Why it was given up; absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Answer of `POST /v1/assets/{id}/check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Checked {
    /// What was found.
    #[serde(flatten)]
    pub report: Report,
    /// The generation that mends it; absent where nothing is being mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Generation>,
}

/// An object that nothing refers to any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GarbageObject {
    /// Its key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// Why it may go.
    pub why: String,
}

/// A record whose time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GarbageRecord {
    /// Its asset.
    pub asset: AssetId,
    /// The job; absent where it is the asset's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Why it may go.
    pub why: String,
}

/// Answer of `POST /v1/gc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Garbage {
    /// Whether it was only looked for.
    pub dry_run: bool,
    /// Objects, at most 1000 of them.
    pub objects: Vec<GarbageObject>,
    /// How many there are.
    pub objects_total: u64,
    /// Their bytes.
    pub bytes_total: u64,
    /// Records, at most 1000 of them.
    pub records: Vec<GarbageRecord>,
    /// How many there are.
    pub records_total: u64,
    /// What was not collected though it looked like garbage, and why.
    pub held_back: Vec<String>,
}

/// A source as the probe saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InputView {
    /// Container format.
    pub format: String,
    /// Picture codec.
    pub codec: String,
    /// Width as shown.
    pub width: u32,
    /// Height as shown.
    pub height: u32,
    /// Frames per second of the grid.
    pub rate: Ratio,
    /// Frames of the grid.
    pub frames: u64,
    /// Length of the grid.
    pub duration_ms: u64,
}

/// A picture rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RenditionView {
    /// Its name.
    pub name: String,
    /// Codec.
    pub codec: VideoCodec,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Segments stored.
    pub segments: u64,
    /// Bytes stored.
    pub bytes: u64,
}

/// A sound rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AudioView {
    /// Its name.
    pub name: String,
    /// Codec.
    pub codec: AudioCodec,
    /// Channels.
    pub channels: u8,
    /// Language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Segments stored.
    pub segments: u64,
    /// Bytes stored.
    pub bytes: u64,
}

/// A rung or a track that is not published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Dropped {
    /// The rung or track.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// One stage of an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StageView {
    /// The stage.
    pub kind: JobKind,
    /// Jobs in it; more may follow while earlier stages run.
    pub total: u32,
    /// Jobs at their end.
    pub done: u32,
    /// Jobs being run.
    pub running: u32,
}

/// How many jobs an asset has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobCounts {
    /// In all.
    pub total: u32,
    /// With more than one attempt.
    pub retried: u32,
    /// Failed or dead.
    pub failed: u32,
}

/// What validation says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ValidationView {
    /// The verdict.
    pub state: ReportState,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// A job as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Its asset.
    pub asset_id: AssetId,
    /// Whose it is.
    pub tenant: Tenant,
    /// What it does.
    pub kind: JobKind,
    /// What it is within its asset.
    pub unit: String,
    /// Lane it waits in.
    pub lane: String,
    /// Where it is in its life.
    pub state: JobState,
    /// Claims so far.
    pub attempt: u32,
    /// Node that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// What went wrong.
    pub failures: Vec<Failure>,
    /// Unix milliseconds.
    pub ready_ms: i64,
    /// Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_ms: Option<i64>,
    /// Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
}

/// What a key may do. Each may do what the one before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessRole {
    /// Look.
    Viewer,
    /// Give out tokens, renew and revoke them: what stands behind a portal needs no more.
    Issuer,
    /// Submit, cancel, retry, remove.
    Operator,
    /// Keys.
    Admin,
}

/// Body of `POST /v1/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// Tenant the key is bound to.
    pub tenant: Tenant,
    /// What it may do.
    pub role: AccessRole,
    /// What people call it.
    #[serde(default)]
    pub label: String,
}

/// A key as it is listed: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeyView {
    /// First characters of the digest.
    pub id: String,
    /// Tenant it is bound to.
    pub tenant: Tenant,
    /// What it may do.
    pub role: AccessRole,
    /// What people call it.
    pub label: String,
    /// Unix milliseconds.
    pub created_ms: i64,
}

/// Answer of `POST /v1/keys`: the only time the key is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeyCreated {
    /// The bearer token.
    pub token: String,
    /// What is stored of it.
    pub key: KeyView,
}

/// Answer of `POST /v1/dead/{job}/redrive` and `POST /v1/jobs/{id}/retry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Redriven {
    /// The job.
    pub job: JobId,
}

/// Answer of `POST /v1/dead/redrive` and `POST /v1/dead/drop`: what became of one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadBatch {
    /// Jobs that were redriven or dropped; with `dry_run`, that would be.
    pub jobs: Vec<JobId>,
    /// Jobs that stay as they are, each with the reason.
    pub refused: Vec<DeadRefused>,
    /// Where the next batch starts; absent after the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A dead job that stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadRefused {
    /// The job.
    pub job: JobId,
    /// Why, and the mend.
    pub detail: String,
}

/// What a job needs to run, as far as a fleet can be given more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// The encoder of a GPU.
    Gpu,
    /// A worker's processor.
    Worker,
    /// A packager.
    Packager,
}

impl Work {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gpu, Self::Worker, Self::Packager];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Worker => "worker",
            Self::Packager => "packager",
        }
    }

    /// What the jobs of a lane need.
    pub const fn of(lane: Lane) -> Self {
        match (lane.demand(), lane.kind()) {
            (Some(Demand::Nvenc), _) => Self::Gpu,
            (_, JobKind::Package | JobKind::Validate) => Self::Packager,
            _ => Self::Worker,
        }
    }
}

/// Answer of `GET /v1/scaling`: whether the fleet should grow or may shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Scaling {
    /// Jobs that wait to be claimed.
    pub waiting: u64,
    /// How long the oldest of them waits, seconds; 0 where none does.
    pub oldest_wait_s: u64,
    /// Jobs that run.
    pub running: u64,
    /// Processes that could run such jobs, and take some.
    pub nodes: u64,
    /// Those of them that would take one now.
    pub free_nodes: u64,
}
