//! Segment indexes: what manifests are made of.

use serde::{Deserialize, Serialize};

use crate::{
    ids::JobId,
    object::{Generation, StoredObject},
    probe::Probe,
    spec::{PackageOutput, PackageSpec},
};

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

/// Format of generation indexes written by this version.
pub const INDEX_VERSION: u32 = 1;

/// Everything a published generation consists of: `index.json` in its folder. What is known of it
/// once the records of its jobs are gone; checks and repairs go by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationIndex {
    /// Format of this document.
    pub v: u32,
    /// The generation.
    pub generation: Generation,
    /// The source as it was probed.
    pub probe: Probe,
    /// What was packaged.
    pub package: PackageSpec,
    /// Its manifests.
    pub manifests: PackageOutput,
    /// What each encode job made, in order of units.
    pub units: Vec<UnitIndex>,
    /// The bytes of every init: small, and needed by every segment of its rendition.
    pub inits: Vec<InitCopy>,
}

/// What one encode job made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitIndex {
    /// The unit.
    pub unit: String,
    /// The job.
    pub job: JobId,
    /// The key of what it did, were it planned in this generation's first round: tells whether a
    /// later planner would ask for the same.
    pub key: String,
    /// Its parts, one a rendition.
    pub parts: Vec<RenditionPart>,
}

/// An init and its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitCopy {
    /// The object.
    pub object: StoredObject,
    /// Its bytes, hexadecimal.
    pub hex: String,
}
