//! Heartbeats and progress: plain NATS messages, never stored.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ids::{AssetId, JobId, NodeId, Zone},
    job::JobKind,
    ladder::VideoCodec,
};

/// What a worker or packager says every heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Format of this message.
    pub v: u32,
    /// The machine.
    pub node: NodeId,
    /// The start of the process.
    pub process: Uuid,
    /// `worker` or `packager`.
    pub role: String,
    /// Nonces of the attempts it runs.
    pub nonces: Vec<Uuid>,
    /// Attempts it could run at once.
    pub slots: u32,
    /// Codecs it encodes; empty for a role that encodes nothing.
    #[serde(default)]
    pub encodes: Vec<VideoCodec>,
    /// Codecs it encodes on a GPU.
    #[serde(default)]
    pub hardware: Vec<VideoCodec>,
    /// Encoders of its GPUs.
    #[serde(default)]
    pub engines: u32,
    /// What its machine shares with others that may fail together, as it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// Why it takes no job now, for people; absent while it would take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
}

/// How far one attempt is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// The asset.
    pub asset_id: AssetId,
    /// The job.
    pub job_id: JobId,
    /// Its kind.
    pub kind: JobKind,
    /// The node it runs on.
    pub node: NodeId,
    /// Parts done: frames for a transcode, samples for audio, segments for the rest.
    pub done: u64,
    /// Parts in all.
    pub total: u64,
    /// Thousandths of real time; 0 while unknown.
    pub speed_milli: u64,
}
