//! Purges: what caches have to forget, and who has.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, Tenant};

pub use crate::ids::PurgeId;

/// Format of purge records written by this version.
pub const PURGE_VERSION: u32 = 1;
/// Most tags of one purge.
pub const TAGS_MAX: usize = 256;
/// Longest tag.
const TAG_CHARS_MAX: usize = 512;
/// Kinds of tags.
const KINDS: [&str; 7] = ["tenant", "channel", "asset", "generation", "timeline", "rendition", "object"];

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
    /// A title was published or mended.
    Published,
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
    /// When the last edge had acknowledged it, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_ms: Option<i64>,
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
