//! Events: what happened, for webhooks, purges, failover and people.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    failure::Class,
    ids::{AssetId, ChannelId, JobId, NodeId, PurgeId, Tenant},
};

/// Format of events written by this version.
pub const EVENT_VERSION: u32 = 1;

/// One event. Sent at least once; `id` repeats when the event does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Format of this event.
    pub v: u32,
    /// Identity (CloudEvents `id`).
    #[schema(value_type = String, example = "0198c0de-0000-7000-8000-000000000000")]
    pub id: Uuid,
    /// `<thing>.<what happened>` (CloudEvents `type`).
    #[serde(rename = "type")]
    pub kind: String,
    /// Whose it is.
    pub tenant: Tenant,
    /// When, Unix milliseconds (CloudEvents `time`).
    pub time_ms: i64,
    /// What about.
    pub data: EventData,
}

/// The facts of an event. Fields that do not apply are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventData {
    /// The asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_id: Option<AssetId>,
    /// The channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<ChannelId>,
    /// The purge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge_id: Option<PurgeId>,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// What the job is within its asset, for example `transcode/h264/0003`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Identity of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_checksum: Option<String>,
    /// Key or folder of what was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_uri: Option<String>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// State after the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Class of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// The node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The failure in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The viewer's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The viewing session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// Namespace of derived event ids.
const EVENT_NAMESPACE: Uuid = Uuid::from_u128(0x1d0c_77aa_52b3_5f4e_8f20_6d5c_90e1_4b3a);

impl Event {
    /// An event about one transition of one record. Its id is derived from the two, so that an
    /// event decided twice is one event.
    pub fn derive(
        record: &str,
        transition: &str,
        kind: String,
        tenant: &Tenant,
        time_ms: i64,
        data: EventData,
    ) -> Self {
        let id = Uuid::new_v5(&EVENT_NAMESPACE, format!("{record}/{transition}").as_bytes());
        Self { v: EVENT_VERSION, id, kind, tenant: tenant.clone(), time_ms, data }
    }
}
