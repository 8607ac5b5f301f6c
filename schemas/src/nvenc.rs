//! What may be asked of an NVIDIA encoder beyond a ladder's preset (NVENC Video Encoder API
//! Programming Guide, SDK 13.0; names as in ffmpeg).

use serde::{Deserialize, Serialize};

use crate::field_error::FieldError;

/// Most pictures that are looked ahead.
const LOOKAHEAD_MAX: u8 = 32;
/// Most B-pictures in a row.
const B_FRAMES_MAX: u8 = 4;

/// What it is tuned for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tune {
    /// The best picture.
    #[default]
    Hq,
    /// Little delay.
    Ll,
    /// The least delay.
    Ull,
}

impl Tune {
    /// ffmpeg's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hq => "hq",
            Self::Ll => "ll",
            Self::Ull => "ull",
        }
    }
}

/// Whether each picture is looked at twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Multipass {
    /// Once.
    Disabled,
    /// First at a quarter of its size.
    #[default]
    Qres,
    /// Twice at full size.
    Fullres,
}

impl Multipass {
    /// ffmpeg's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Qres => "qres",
            Self::Fullres => "fullres",
        }
    }
}

/// Which B-pictures others are predicted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BReference {
    /// None.
    Disabled,
    /// The middle one of a row.
    #[default]
    Middle,
}

impl BReference {
    /// ffmpeg's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Middle => "middle",
        }
    }
}

/// How a rung is encoded on an NVIDIA GPU. Groups of pictures are always of the ladder's length and
/// closed, without keyframes of the encoder's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct NvencTuning {
    /// From 1 (the quickest) to 7; from the rung's preset where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<u8>,
    /// What it is tuned for.
    pub tune: Tune,
    /// Whether each picture is looked at twice.
    pub multipass: Multipass,
    /// Pictures that are looked ahead; takes shaders, not encoders.
    pub lookahead: u8,
    /// Bits for what is flat and easily seen; takes shaders.
    pub spatial_aq: bool,
    /// Bits for what stays; takes shaders.
    pub temporal_aq: bool,
    /// B-pictures in a row.
    pub b_frames: u8,
    /// Which of them others are predicted from.
    pub b_ref: BReference,
}

impl Default for NvencTuning {
    fn default() -> Self {
        Self {
            preset: None,
            tune: Tune::Hq,
            multipass: Multipass::Qres,
            lookahead: 0,
            spatial_aq: true,
            temporal_aq: false,
            b_frames: 2,
            b_ref: BReference::Middle,
        }
    }
}

impl NvencTuning {
    /// Checks every field.
    pub(crate) fn check(&self, at: &str, errors: &mut Vec<FieldError>) {
        if let Some(preset) = self.preset.filter(|preset| !(1..=7).contains(preset)) {
            errors.push(FieldError::new(format!("{at}/preset"), preset.to_string(), "use 1 (the quickest) to 7"));
        }
        if self.lookahead > LOOKAHEAD_MAX {
            let mend = format!("use 0 to {LOOKAHEAD_MAX}");
            errors.push(FieldError::new(format!("{at}/lookahead"), self.lookahead.to_string(), mend));
        }
        if self.b_frames > B_FRAMES_MAX {
            let mend = format!("use 0 to {B_FRAMES_MAX}");
            errors.push(FieldError::new(format!("{at}/b_frames"), self.b_frames.to_string(), mend));
        }
        if self.tune != Tune::Hq && (self.b_frames > 0 || self.lookahead > 0) {
            let what = format!("tune {} with B-pictures or look-ahead", self.tune.as_str());
            errors.push(FieldError::new(at, what, "set b_frames: 0 and lookahead: 0, or use tune: hq"));
        }
    }
}
