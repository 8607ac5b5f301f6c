//! Purges: what caches have to forget, and who has.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    event::Event,
    ids::{NodeId, Tenant},
};

pub use crate::ids::PurgeId;

/// Format of purge records written by this version.
pub const PURGE_VERSION: u32 = 1;
/// How long purges are kept: an edge that was away for longer begins with an empty cache.
pub const PURGE_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Most tags of one purge.
pub const TAGS_MAX: usize = 256;
/// Longest tag.
const TAG_CHARS_MAX: usize = 512;
/// Kinds of tags.
const KINDS: [&str; 7] = ["tenant", "channel", "asset", "generation", "timeline", "rendition", "object"];
/// Namespace of derived purge ids (RFC 9562, clause 5.5).
const PURGE_NAMESPACE: Uuid = Uuid::from_u128(0x5b0e_41d7_9c3a_5d18_a7f2_0e64_b1c9_33d5);

impl PurgeId {
    /// Derives the id of the purge that a change or a request asks for: asked twice, it is one.
    pub fn derive(cause: &str) -> Self {
        Self::new(Uuid::new_v5(&PURGE_NAMESPACE, cause.as_bytes()))
    }
}

/// One purge: bucket `purges`, by id. Written once and never changed: the revision it gets there is its place in the
/// one order in which every edge applies purges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Format of this record.
    pub v: u32,
    /// Its id.
    pub id: PurgeId,
    /// Whose objects.
    pub tenant: Tenant,
    /// What they are tagged with; any of these.
    pub tags: Vec<String>,
    /// Whether viewers are refused what has these tags from now on, whatever their token says.
    pub refuse: bool,
    /// What asked for it.
    pub cause: PurgeCause,
    /// When, Unix milliseconds.
    pub requested_ms: i64,
}

/// What asked for a purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PurgeCause {
    /// Somebody, through the API.
    Request,
    /// A title was published anew or mended.
    Published,
    /// Objects that nobody needs any more were collected.
    Collected,
    /// A title or channel is taken down.
    Takedown,
}

/// How far a purge is: bucket `purge-states`, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeStatus {
    /// Format of this record.
    pub v: u32,
    /// Its id.
    pub id: PurgeId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Its place in the order of purges.
    pub sequence: u64,
    /// Where it is.
    pub state: PurgeState,
    /// Edges that had not acknowledged it when this was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<NodeId>,
    /// Edges that have.
    pub acknowledged: u32,
    /// When, Unix milliseconds.
    pub requested_ms: i64,
    /// When it was seen that the last edge had acknowledged it, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_ms: Option<i64>,
    /// How far caches of others are, in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<AdapterStatus>,
    /// Events that were decided together with this record and are not sent yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsent: Vec<Event>,
}

impl PurgeStatus {
    /// Whether nothing is left to be done or told.
    pub fn is_settled(&self) -> bool {
        let waits = |adapter: &AdapterStatus| adapter.state == AdapterState::Waiting;
        self.state == PurgeState::Completed && self.unsent.is_empty() && !self.adapters.iter().any(waits)
    }
}

/// How far one cache of somebody else is with a purge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AdapterStatus {
    /// What it is: `<kind>/<where>`.
    pub name: String,
    /// Where it is.
    pub state: AdapterState,
    /// Whether it was purged once before every edge had acknowledged: it is purged again after that, since it may
    /// have asked an edge that had not forgotten yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub early: bool,
    /// Requests that were answered or given up.
    #[serde(default)]
    pub requests: u32,
    /// Tags that it cannot purge by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<String>,
    /// What it answered: the last of them, and of those that failed the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
}

/// Where one cache of somebody else is with a purge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdapterState {
    /// It has not confirmed it.
    #[default]
    Waiting,
    /// It has.
    Completed,
    /// It has, but for tags that it cannot purge by.
    Unsupported,
    /// It was given up.
    Failed,
}

/// What became of one request to a cache of somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Receipt {
    /// Which request of its round, from 1.
    pub batch: u32,
    /// How many things it named.
    pub entries: u32,
    /// Whether it was taken.
    pub ok: bool,
    /// The answer in few words: a status and what came with it, or why there was none.
    pub answer: String,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was answered or given up, Unix milliseconds.
    pub at_ms: i64,
}

/// Where a purge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PurgeState {
    /// Not every edge has acknowledged it. An edge that is away applies it before it serves anything again.
    Running,
    /// Every edge has.
    Completed,
}

/// Why a text is no tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag is tenant:T, channel:T/C, asset:A, generation:A/gN-R, timeline:T/C/tN-R, rendition:.../R or object:KEY")]
pub struct TagError;

/// Takes a tag.
///
/// # Errors
/// When it is none.
pub fn check_tag(tag: &str) -> Result<(), TagError> {
    let plain =
        |rest: &str| rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'));
    match tag.split_once(':') {
        Some((kind, rest))
            if tag.len() <= TAG_CHARS_MAX && KINDS.contains(&kind) && !rest.is_empty() && plain(rest) =>
        {
            Ok(())
        }
        _ => Err(TagError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_a_kind() {
        for good in ["tenant:acme", "channel:acme/news", "object:vod/acme/x/master.m3u8"] {
            assert!(check_tag(good).is_ok(), "{good}");
        }
        for bad in ["", "acme", "tenant:", "other:x", "tenant:a b", "tenant:a,b", "tenant:*", "tenant:a\n"] {
            assert!(check_tag(bad).is_err(), "{bad}");
        }
        assert!(check_tag(&format!("object:{}", "a".repeat(TAG_CHARS_MAX))).is_err());
    }
}
