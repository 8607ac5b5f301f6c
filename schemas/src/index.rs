//! Segment indexes: what manifests are made of.

use serde::{Deserialize, Serialize};

use crate::object::StoredObject;

/// One media segment as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentIndex {
    /// Its number in the rendition, from 1.
    pub number: u64,
    /// Base media decode time of its first sample, in ticks of the rendition's timescale.
    pub start_ticks: u64,
    /// Its length in ticks.
    pub duration_ticks: u64,
    /// Its samples: pictures, or AAC frames.
    pub samples: u64,
    /// Where its keyframes lie; empty for sound.
    pub keyframes: Vec<KeyframeRange>,
    /// The object.
    pub object: StoredObject,
}

/// A byte range from a fragment's `moof` to the end of its first sample, for I-frame playlists
/// (RFC 8216, clause 4.3.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyframeRange {
    /// First byte within the segment.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
    /// Ticks until the next keyframe or the end of the segment.
    pub duration_ticks: u64,
}

/// A part of a rendition: the segments one job made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenditionPart {
    /// The rendition.
    pub rendition: String,
    /// Its initialisation segment.
    pub init: StoredObject,
    /// Its segments in order.
    pub segments: Vec<SegmentIndex>,
}
