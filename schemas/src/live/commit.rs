//! Commits: what became of a number. One record each, created once and never changed.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{JobId, NodeId},
    live::{filler_key, segment_key},
};

/// Newest format of commits that this version reads.
pub const COMMIT_VERSION: u32 = 1;

/// What became of one number of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Format of this record.
    pub v: u32,
    /// The timeline it lies on.
    pub timeline: u32,
    /// The number.
    pub number: u64,
    /// What is published of it.
    pub what: Committed,
    /// When, Unix milliseconds of whoever committed it: for people.
    pub at_ms: i64,
}

/// What is published of a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Committed {
    /// The source.
    Segment {
        /// The replica that committed it.
        by: JobId,
        /// Its node.
        node: NodeId,
        /// Each rendition, in the order of the timeline: the rungs, then the sound.
        tracks: Vec<TrackCommit>,
        /// What that replica saw wrong with it.
        #[serde(default)]
        flaws: Vec<Flaw>,
    },
    /// Filler in place of sources that were all lost.
    Filler {
        /// The replica that committed it.
        by: JobId,
        /// Its node.
        node: NodeId,
        /// As of a segment.
        tracks: Vec<TrackCommit>,
    },
    /// Nothing: nobody made it in time.
    Gap {
        /// Why, for people.
        why: String,
    },
}

impl Commit {
    /// The object that a rendition of it is stored as, below its timeline's folder.
    pub fn object_key(&self, folder: &str, rendition: &str) -> String {
        match self.what {
            Committed::Filler { .. } => filler_key(folder, rendition, self.number),
            Committed::Segment { .. } | Committed::Gap { .. } => segment_key(folder, rendition, self.number),
        }
    }
}

impl Committed {
    /// What is stored of it; nothing for a gap.
    pub fn tracks(&self) -> &[TrackCommit] {
        match self {
            Self::Segment { tracks, .. } | Self::Filler { tracks, .. } => tracks,
            Self::Gap { .. } => &[],
        }
    }

    /// Who committed it, and where.
    pub fn by(&self) -> Option<(JobId, &NodeId)> {
        match self {
            Self::Segment { by, node, .. } | Self::Filler { by, node, .. } => Some((*by, node)),
            Self::Gap { .. } => None,
        }
    }

    /// The word for it in reports.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Segment { .. } => "segment",
            Self::Filler { .. } => "filler",
            Self::Gap { .. } => "gap",
        }
    }
}

/// One rendition of a number, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackCommit {
    /// First sixteen hexadecimal digits of the digest of its init: its name.
    pub init: String,
    /// Size.
    pub bytes: u64,
    /// blake3 of its bytes, hexadecimal.
    pub digest: String,
    /// The replica whose copy it is: of two that make the same number, either may be first.
    pub by: JobId,
}

/// Something wrong with what a source shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// The picture is black.
    Black,
    /// The picture stands still.
    Frozen,
    /// There is no sound to be heard.
    Silent,
    /// It came late.
    Late,
}

impl Flaw {
    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Black => "black",
            Self::Frozen => "frozen",
            Self::Silent => "silent",
            Self::Late => "late",
        }
    }
}
