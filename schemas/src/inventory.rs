//! What a machine can encode with, as it proved when its worker started, and the GPUs in it.

use serde::{Deserialize, Serialize};

use crate::ladder::VideoCodec;

/// What encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The encoder of an NVIDIA GPU.
    Nvenc,
    /// An encoder behind the Video Acceleration API: AMD and Intel GPUs.
    Vaapi,
    /// Intel Quick Sync Video.
    Qsv,
    /// The processor.
    Software,
}

impl Engine {
    /// All of them, hardware first.
    pub const ALL: [Self; 4] = [Self::Nvenc, Self::Vaapi, Self::Qsv, Self::Software];

    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nvenc => "nvenc",
            Self::Vaapi => "vaapi",
            Self::Qsv => "qsv",
            Self::Software => "software",
        }
    }
}

/// Longest answer of a driver that is kept, in characters.
pub const ANSWER_CHARS_MAX: usize = 400;

/// Whether an encoder works: pictures were encoded with it and decoded again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EncoderProof {
    /// What encodes.
    pub engine: Engine,
    /// Into what.
    pub codec: VideoCodec,
    /// What ffmpeg calls it: `h264_nvenc`.
    pub name: String,
    /// Why it does not work, in the words of ffmpeg and the driver; absent where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl EncoderProof {
    /// Whether it came through.
    pub const fn works(&self) -> bool {
        self.answer.is_none()
    }

    /// Whether it is an encoder of the processor that does not work: somebody can mend that.
    pub fn is_broken_software(&self) -> bool {
        self.engine == Engine::Software && !self.works()
    }
}

/// The link of a GPU to its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PcieLink {
    /// Generation now; an idle GPU lowers it.
    pub generation: u32,
    /// Lanes now.
    pub width: u32,
    /// Highest generation of GPU and slot together.
    pub generation_max: u32,
    /// Most lanes of GPU and slot together.
    pub width_max: u32,
}

/// An NVIDIA GPU, as its driver describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Gpu {
    /// The driver's number of it; may change with a restart of the machine.
    pub index: u32,
    /// Its own name, which stays.
    pub uuid: String,
    /// The model.
    pub name: String,
    /// Generation of the chip: `Ada`, `Hopper`.
    pub architecture: String,
    /// Encoders on the chip, as the vendor publishes it for the model; absent for a model that is not
    /// known here. 0 for a GPU that only computes and decodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvenc_engines: Option<u32>,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Whether it is cut into instances (MIG), which have no encoder.
    pub mig: bool,
    /// Its link; absent where the driver does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcie: Option<PcieLink>,
    /// Why it cannot be asked; nothing else is known then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What a machine has to encode with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Inventory {
    /// Every encoder that its ffmpeg names, each tried.
    pub encoders: Vec<EncoderProof>,
    /// Version of the NVIDIA driver; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// NVIDIA GPUs that the driver shows.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// Why the NVIDIA driver does not answer, though it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_fault: Option<String>,
}

impl Inventory {
    /// Codecs that an engine proved it encodes.
    pub fn encodes(&self, engine: Engine) -> Vec<VideoCodec> {
        let proven = |codec: &VideoCodec| {
            self.encoders.iter().any(|proof| proof.engine == engine && proof.codec == *codec && proof.works())
        };
        VideoCodec::ALL.into_iter().filter(proven).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_through_counts() {
        let proof = |engine, codec, answer: Option<&str>| EncoderProof {
            engine,
            codec,
            name: String::new(),
            answer: answer.map(str::to_owned),
        };
        let inventory = Inventory {
            encoders: vec![
                proof(Engine::Nvenc, VideoCodec::H264, Some("No capable devices found")),
                proof(Engine::Nvenc, VideoCodec::Av1, None),
                proof(Engine::Software, VideoCodec::H264, None),
            ],
            ..Inventory::default()
        };
        assert_eq!(inventory.encodes(Engine::Nvenc), [VideoCodec::Av1]);
        assert_eq!(inventory.encodes(Engine::Software), [VideoCodec::H264]);
        assert_eq!(inventory.encodes(Engine::Qsv), []);
    }
}
