//! A chunk on an NVIDIA GPU: decoded, scaled and encoded in one process, its pictures never leaving the
//! GPU's memory where that decodes the source. No machine that builds this has such an encoder: that
//! every option and value parses is checked against the installed ffmpegs, and nothing more.

use framemill_schemas::{
    ladder::VideoCodec,
    load::effort,
    nvenc::BReference,
    spec::{Decoder, RateControl, RungSpec},
};

use super::encoder::{Coding, peak};
use crate::encoder::Encoder;

/// Surfaces beside those a decoder needs: each rung's scaler and encoder hold some.
const EXTRA_SURFACES: &str = "16";
/// Largest constant-quality value that every version takes.
const QUALITY_MAX: u8 = 51;
/// The deinterlacer of a GPU, with as many pictures as before.
pub(super) const DEINTERLACE: &str = ",yadif_cuda=mode=send_frame";
/// From the processor's pictures, whatever they are, to the GPU's.
pub(super) const UPLOAD: &str = ",format=nv12,hwupload_cuda";

/// Options before the source: what decodes it, and the device of the filters.
pub(super) fn input(decoder: Decoder, gpu: u32) -> Vec<String> {
    let device = format!("cuda=gpu:{gpu}");
    let mut args = vec!["-init_hw_device", &device, "-filter_hw_device", "gpu"];
    if decoder == Decoder::Gpu {
        args.extend(["-hwaccel", "cuda", "-hwaccel_device", "gpu", "-hwaccel_output_format", "cuda"]);
        args.extend(["-extra_hw_frames", EXTRA_SURFACES]);
    }
    args.into_iter().map(str::to_owned).collect()
}

/// One rung's scaler: also from 10 bits to 8.
pub(super) fn scale(rung: &RungSpec) -> String {
    format!("scale_cuda=w={}:h={}:interp_algo=bicubic:format=nv12,setsar=1", rung.width, rung.height)
}

/// Codec options of one rung: closed groups of pictures of the ladder's length, one keyframe each.
pub(super) fn options(coding: Coding, rung: &RungSpec, gpu: u32) -> Vec<String> {
    let tuning = rung.nvenc.unwrap_or_default();
    let codec = coding.codec;
    let mut args = Vec::new();
    let mut add = |key: &str, value: &str| args.extend([key.to_owned(), value.to_owned()]);
    add("-c:v", Encoder { engine: framemill_schemas::inventory::Engine::Nvenc, codec }.name());
    add("-gpu", &gpu.to_string());
    add("-preset", &format!("p{}", effort(codec, rung).clamp(1, 7)));
    add("-tune", tuning.tune.as_str());
    add("-multipass", tuning.multipass.as_str());
    add("-g", &coding.gop_frames.to_string());
    add("-flags", "+cgop+bitexact");
    add("-forced-idr", "1");
    add("-strict_gop", "1");
    add("-bf", &tuning.b_frames.to_string());
    if tuning.b_frames > 1 && tuning.b_ref != BReference::Disabled {
        add("-b_ref_mode", tuning.b_ref.as_str());
    }
    if tuning.lookahead > 0 {
        add("-rc-lookahead", &tuning.lookahead.to_string());
        // It would set keyframes and B-pictures where it likes.
        if codec != VideoCodec::Av1 {
            add("-no-scenecut", "1");
        }
    }
    if codec == VideoCodec::H264 {
        add("-profile:v", "high");
    }
    add(if codec == VideoCodec::Av1 { "-spatial-aq" } else { "-spatial_aq" }, flag(tuning.spatial_aq));
    add(if codec == VideoCodec::H264 { "-temporal-aq" } else { "-temporal_aq" }, flag(tuning.temporal_aq));
    if codec == VideoCodec::Hevc {
        add("-profile:v", "main");
        add("-tag:v", "hvc1");
    }
    add("-rc", "vbr");
    let limit = match rung.rate_control {
        RateControl::Average { bitrate_kbps, maxrate_kbps } => {
            add("-b:v", &format!("{bitrate_kbps}k"));
            Some(maxrate_kbps)
        }
        RateControl::Quality { quality, maxrate_kbps } => {
            add("-b:v", "0");
            // Its scale ends at 51 for AV1 too in some versions.
            add("-cq", &quality.min(QUALITY_MAX).to_string());
            maxrate_kbps
        }
    };
    for (key, value) in limit.iter().flat_map(|kbps| peak(*kbps)) {
        add(key, &value);
    }
    args
}

const fn flag(set: bool) -> &'static str {
    if set { "1" } else { "0" }
}

#[cfg(test)]
#[path = "nvenc_tests.rs"]
mod tests;
