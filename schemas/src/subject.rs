//! Names of NATS streams, buckets and subjects.

use crate::{
    event::Event,
    ids::{AssetId, ChannelId, JobId, NodeId, Tenant},
    lane::Lane,
};

/// Work-queue stream of job hints.
pub const JOBS_STREAM: &str = "JOBS";
/// Subjects of [`JOBS_STREAM`].
pub const JOBS_SUBJECTS: &str = "jobs.>";
/// Stream of events, kept seven days.
pub const EVENTS_STREAM: &str = "EVENTS";
/// Subjects of [`EVENTS_STREAM`].
pub const EVENTS_SUBJECTS: &str = "events.>";

/// Bucket of asset records, by asset id.
pub const ASSETS_BUCKET: &str = "assets";
/// Bucket of job records, by [`job_record`].
pub const JOBS_BUCKET: &str = "jobs";
/// Bucket of leases of loops that run once.
pub const LEASES_BUCKET: &str = "leases";
/// Bucket of API keys, by digest.
pub const KEYS_BUCKET: &str = "keys";
/// Bucket of node records, by node.
pub const NODES_BUCKET: &str = "nodes";
/// Bucket of channel records, by [`crate::live::record_key`].
pub const CHANNELS_BUCKET: &str = "channels";
/// Bucket of channels' timelines, by [`crate::live::record_key`].
pub const TIMELINES_BUCKET: &str = "timelines";
/// Bucket of commits of channels' numbers, by [`crate::live::commit_key`]: the log.
pub const COMMITS_BUCKET: &str = "commits";
/// Bucket of idempotency keys; entries expire after a day.
pub const IDEMPOTENCY_BUCKET: &str = "idempotency";

/// Bucket of what verifies tokens, by key id.
pub const TOKEN_KEYS_BUCKET: &str = "token-keys";
/// Bucket of what signs tokens, by key id: for schedulers alone.
pub const SIGNING_KEYS_BUCKET: &str = "signing-keys";
/// Bucket of revocations; entries expire after a day.
pub const REVOCATIONS_BUCKET: &str = "revocations";
/// Bucket of accounts' sessions; entries expire after a day.
pub const SESSIONS_BUCKET: &str = "sessions";
/// Bucket of purges; entries expire after a week.
pub const PURGES_BUCKET: &str = "purges";
/// Bucket of how far purges are; entries expire after a week.
pub const PURGE_STATES_BUCKET: &str = "purge-states";
/// Bucket of edge records, by name.
pub const EDGES_BUCKET: &str = "edges";
/// Bucket of what edges say of their load, by name; entries expire after an hour.
pub const EDGE_LOADS_BUCKET: &str = "edge-loads";

/// Bucket of tenant records, by tenant.
pub const TENANTS_BUCKET: &str = "tenants";
/// Bucket of account records, by [`crate::delivery::account_key`].
pub const ACCOUNTS_BUCKET: &str = "accounts";
/// Bucket of the audit trail; entries expire after thirty days.
pub const AUDIT_BUCKET: &str = "audit";
/// Bucket of the addresses in the audit trail, by the same keys; each entry expires when it is told to.
pub const AUDIT_ADDRESSES_BUCKET: &str = "audit-addresses";

/// Key of a job's record: an asset's jobs are one filter apart.
pub fn job_record(asset: AssetId, job: JobId) -> String {
    format!("{asset}.{job}")
}

/// Filter of all job records of an asset.
pub fn job_records_of(asset: AssetId) -> String {
    format!("{asset}.*")
}

/// Subject of a job's hint.
pub fn job_hint(lane: Lane, job: JobId) -> String {
    format!("jobs.{lane}.{job}")
}

/// Subject of an event.
pub fn event(event: &Event) -> String {
    format!("events.{}.{}", event.tenant, event.kind)
}

/// Notices (plain NATS) that the server sends after a record was stored: headers only, with the new
/// revision. They tell a holder to look at its record; they may be lost, records may not.
pub fn changed(bucket: &str, key: &str) -> String {
    format!("changed.{bucket}.{key}")
}

/// Heartbeats (plain NATS) of a node.
pub fn heartbeat(node: &NodeId) -> String {
    format!("presence.{node}")
}

/// All heartbeats.
pub const HEARTBEATS: &str = "presence.*";

/// Status messages (plain NATS) of a channel's replicas.
pub fn replica_status(tenant: &Tenant, channel: &ChannelId) -> String {
    format!("status.{tenant}.{channel}")
}

/// All status messages of replicas.
pub const REPLICA_STATUSES: &str = "status.*.*";

/// Status messages (plain NATS) of a channel's playlists.
pub fn playlist_status(tenant: &Tenant, channel: &ChannelId) -> String {
    format!("playlist.{tenant}.{channel}")
}

/// All status messages of playlists.
pub const PLAYLIST_STATUSES: &str = "playlist.*.*";

/// Progress (plain NATS) of an asset's jobs.
pub fn progress(asset: AssetId) -> String {
    format!("progress.{asset}")
}
