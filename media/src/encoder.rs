//! Encoders of ffmpeg, and the proof that one works on this machine: what ffmpeg lists says nothing
//! about the driver and the device behind it.

use std::time::Duration;

use framemill_schemas::{
    failure::Failure,
    inventory::{ANSWER_CHARS_MAX, EncoderProof, Engine},
    ladder::VideoCodec,
};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{canary, toolchain::Toolchain};

/// Proofs of hardware at the same time, and of software.
const PROOFS_AT_ONCE: usize = 3;
/// Longest proof of hardware: a driver may hang for ever.
const HARDWARE_MAX: Duration = Duration::from_secs(10);
/// Longest proof of software, on a machine that is very busy.
const SOFTWARE_MAX: Duration = Duration::from_secs(30);

/// An encoder of ffmpeg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// What encodes.
    pub engine: Engine,
    /// Into what.
    pub codec: VideoCodec,
}

impl Encoder {
    /// The processor's encoder of a codec.
    pub const fn software(codec: VideoCodec) -> Self {
        Self { engine: Engine::Software, codec }
    }

    /// Every encoder that is known here.
    pub fn all() -> impl Iterator<Item = Self> {
        Engine::ALL.into_iter().flat_map(|engine| VideoCodec::ALL.map(|codec| Self { engine, codec }))
    }

    /// ffmpeg's name of it.
    pub const fn name(self) -> &'static str {
        match (self.engine, self.codec) {
            (Engine::Nvenc, VideoCodec::H264) => "h264_nvenc",
            (Engine::Nvenc, VideoCodec::Hevc) => "hevc_nvenc",
            (Engine::Nvenc, VideoCodec::Av1) => "av1_nvenc",
            (Engine::Vaapi, VideoCodec::H264) => "h264_vaapi",
            (Engine::Vaapi, VideoCodec::Hevc) => "hevc_vaapi",
            (Engine::Vaapi, VideoCodec::Av1) => "av1_vaapi",
            (Engine::Qsv, VideoCodec::H264) => "h264_qsv",
            (Engine::Qsv, VideoCodec::Hevc) => "hevc_qsv",
            (Engine::Qsv, VideoCodec::Av1) => "av1_qsv",
            (Engine::Software, VideoCodec::H264) => "libx264",
            (Engine::Software, VideoCodec::Hevc) => "libx265",
            (Engine::Software, VideoCodec::Av1) => "libsvtav1",
        }
    }
}

/// Encodes a few pictures with every encoder that this ffmpeg lists, and decodes them again.
pub async fn prove(tools: &Toolchain, cancel: &CancellationToken) -> Vec<EncoderProof> {
    let of = async |software: bool| {
        let wanted = move |encoder: &Encoder| (encoder.engine == Engine::Software) == software;
        let listed = Encoder::all().filter(wanted).filter(|encoder| tools.lists(*encoder));
        let proofs = listed.map(|encoder| proof(tools, encoder, cancel));
        stream::iter(proofs).buffered(PROOFS_AT_ONCE).collect::<Vec<_>>().await
    };
    // Apart: a driver that hangs holds up no encoder of the processor.
    let (mut proofs, software) = tokio::join!(of(false), of(true));
    proofs.extend(software);
    proofs
}

/// The same with one encoder, on the first device that has it.
pub async fn proof(tools: &Toolchain, encoder: Encoder, cancel: &CancellationToken) -> EncoderProof {
    attempt(tools, encoder, None, cancel).await
}

/// The same with one encoder of an NVIDIA GPU, by the driver's number of it.
pub async fn proof_on(tools: &Toolchain, encoder: Encoder, gpu: u32, cancel: &CancellationToken) -> EncoderProof {
    attempt(tools, encoder, Some(gpu), cancel).await
}

async fn attempt(tools: &Toolchain, encoder: Encoder, gpu: Option<u32>, cancel: &CancellationToken) -> EncoderProof {
    let is_software = encoder.engine == Engine::Software;
    let limit = if is_software { SOFTWARE_MAX } else { HARDWARE_MAX };
    let attempt = async || match tokio::time::timeout(limit, canary::pictures(tools, encoder, gpu, cancel)).await {
        Ok(outcome) => outcome.err().map(|failure| answer(&failure)),
        Err(_) => Some(format!("no answer within {} s", limit.as_secs())),
    };
    let mut answer = attempt().await;
    // Without a device behind it what fails may pass, and it costs little to see.
    if answer.is_some() && is_software {
        answer = attempt().await;
    }
    EncoderProof { engine: encoder.engine, codec: encoder.codec, name: encoder.name().to_owned(), answer }
}

/// How ffmpeg says that something failed because something else did.
const CONSEQUENCES: [&str; 10] = [
    "Error initializing output stream",
    "Error while opening encoder",
    "Error sending frames to consumers",
    "Could not open encoder before EOF",
    "Task finished with error code",
    "Terminating thread with return code",
    "Nothing was written into output file",
    "Failed to set value",
    "Error parsing",
    "Conversion failed",
];

/// What ffmpeg and the driver complained of, without the addresses that ffmpeg puts before it, and
/// without what only follows from it.
fn answer(failure: &Failure) -> String {
    let mut said: Vec<&str> = Vec::new();
    for line in failure.evidence.as_deref().unwrap_or_default().lines() {
        let complaint = ["[error] ", "[fatal] "].into_iter().find_map(|level| line.split_once(level));
        let Some(words) = complaint.map(|(_, words)| words.trim()) else { continue };
        if !said.contains(&words) && !CONSEQUENCES.iter().any(|start| words.starts_with(start)) {
            said.push(words);
        }
    }
    let text = if said.is_empty() { failure.reason.clone() } else { said.join("; ") };
    text.chars().take(ANSWER_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use framemill_schemas::failure::Class;

    use super::*;

    #[test]
    fn an_answer_is_the_drivers_own() {
        let failure = |evidence: &str| Failure::new(Class::Transient, "x", "ffmpeg gave up").evidence(evidence);
        for (evidence, expected) in [
            (
                "[h264_nvenc @ 0x55f] [error] Cannot load libcuda.so.1\n\
                 [error] Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0\n",
                "Cannot load libcuda.so.1",
            ),
            (
                "[hevc_nvenc @ 0x1] [error] OpenEncodeSessionEx failed: unsupported device (2): (no details)\n\
                 [hevc_nvenc @ 0x1] [error] No capable devices found\n[hevc_nvenc @ 0x2] [error] No capable devices found\n\
                 [fatal] Error while opening encoder",
                "OpenEncodeSessionEx failed: unsupported device (2): (no details); No capable devices found",
            ),
            ("[x @ 0x1] [warning] odd\n", "ffmpeg gave up"),
        ] {
            assert_eq!(answer(&failure(evidence)), expected);
        }
        let long = format!("[error] {}", "ä".repeat(2 * ANSWER_CHARS_MAX));
        assert_eq!(answer(&failure(&long)).chars().count(), ANSWER_CHARS_MAX);
    }

    #[test]
    fn every_encoder_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Encoder::all().map(Encoder::name).collect();
        assert_eq!(names.len(), Engine::ALL.len() * VideoCodec::ALL.len());
    }
}
