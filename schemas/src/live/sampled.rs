//! What a packager saw when it decoded a segment of what was published, as a viewer would.

use serde::{Deserialize, Serialize};

use crate::live::Flaw;

/// Samples in a row that must show a flaw before it is told of.
pub const SAMPLES_TO_TELL: u32 = 3;

/// Code of what a strict decoder refuses.
pub const UNDECODABLE: &str = "undecodable";

/// The last sample of a rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RenditionSample {
    /// The rendition.
    pub rendition: String,
    /// Whether it is sound.
    pub sound: bool,
    /// The number whose segment was decoded.
    pub number: u64,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Code of the fault that was found: `undecodable`, `frame-count`; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What all of the segment was: black, frozen, silent.
    #[serde(default)]
    pub seen: Vec<SeenFlaw>,
    /// How loud it was, hundredths of LUFS (EBU R 128); -7000 where nothing of it is above the gate, absent for
    /// pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loudness_lufs_centi: Option<i32>,
    /// The same of its loudest 400 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loudest_lufs_centi: Option<i32>,
}

/// Something that all of a sample was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SeenFlaw {
    /// What.
    pub flaw: Flaw,
    /// In how many samples of the rendition in a row.
    pub samples: u32,
}

impl RenditionSample {
    /// Whether it says of a flaw that it is there or not: what cannot be decoded shows none, black and frozen are
    /// a picture's, silent is sound's.
    pub fn says(&self, flaw: Flaw) -> bool {
        let is_its = match flaw {
            Flaw::Black | Flaw::Frozen => !self.sound,
            Flaw::Silent => self.sound,
            Flaw::Late => false,
        };
        is_its && self.fault.as_deref() != Some(UNDECODABLE)
    }

    /// Samples in a row that showed a flaw.
    pub fn streak(&self, flaw: Flaw) -> u32 {
        self.seen.iter().find(|seen| seen.flaw == flaw).map_or(0, |seen| seen.samples)
    }
}
