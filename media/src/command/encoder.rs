//! Options of the software encoders: exact, closed groups of pictures, one keyframe each.

use framemill_schemas::{
    ladder::VideoCodec,
    live::Timeline,
    spec::{RateControl, RungSpec, TranscodeSpec},
};

use crate::encoder::Encoder;

/// What all rungs of one process have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coding {
    pub codec: VideoCodec,
    pub gop_frames: u32,
    pub threads: u32,
}

impl From<&TranscodeSpec> for Coding {
    fn from(spec: &TranscodeSpec) -> Self {
        Self { codec: spec.codec, gop_frames: spec.gop_frames, threads: spec.threads.max(1) }
    }
}

impl From<&Timeline> for Coding {
    fn from(timeline: &Timeline) -> Self {
        Self { codec: timeline.codec, gop_frames: timeline.gop_frames, threads: timeline.threads.max(1) }
    }
}

/// Codec options of one rung, as quick as the encoder can: its output stands in for a GPU's.
pub(super) fn quick_options(coding: Coding, rung: &RungSpec) -> Vec<String> {
    let quickest = coding.codec.presets().first().copied().unwrap_or_default();
    options(coding, &RungSpec { preset: quickest.to_owned(), ..rung.clone() })
}

/// Codec options of one rung.
pub(super) fn options(coding: Coding, rung: &RungSpec) -> Vec<String> {
    let gop = coding.gop_frames.to_string();
    let threads = coding.threads.to_string();
    let mut args = Vec::new();
    let mut add = |pairs: &[(&str, &str)]| {
        for (key, value) in pairs {
            args.extend([(*key).to_owned(), (*value).to_owned()]);
        }
    };
    add(&[("-c:v", Encoder::software(coding.codec).name()), ("-preset", &rung.preset), ("-threads", &threads)]);
    add(&[("-g", &gop), ("-keyint_min", &gop), ("-flags", "+cgop+bitexact")]);
    match coding.codec {
        VideoCodec::H264 => add(&[("-sc_threshold", "0")]),
        VideoCodec::Hevc => add(&[("-tag:v", "hvc1"), ("-x265-params", &x265(coding))]),
        VideoCodec::Av1 => add(&[("-svtav1-params", &svt_av1(coding))]),
    }
    match rung.rate_control {
        RateControl::Average { bitrate_kbps, maxrate_kbps } => {
            add(&[("-b:v", &format!("{bitrate_kbps}k"))]);
            if coding.codec != VideoCodec::Av1 {
                add(&peak(maxrate_kbps).each_ref().map(|(key, value)| (*key, value.as_str())));
            }
        }
        RateControl::Quality { quality, maxrate_kbps } => {
            add(&[("-crf", &quality.to_string())]);
            if let Some(kbps) = maxrate_kbps {
                add(&peak(kbps).each_ref().map(|(key, value)| (*key, value.as_str())));
            }
        }
    }
    args
}

/// A buffer of one second at the peak.
pub(super) fn peak(kbps: u32) -> [(&'static str, String); 2] {
    [("-maxrate", format!("{kbps}k")), ("-bufsize", format!("{kbps}k"))]
}

fn x265(coding: Coding) -> String {
    let (gop, threads) = (coding.gop_frames, coding.threads);
    // Pools of worker threads are per process: without a bound each encoder takes every core.
    let pools = if threads == 1 { "none".to_owned() } else { threads.to_string() };
    format!(
        "keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:repeat-headers=0:info=0:pools={pools}:frame-threads={}:log-level=error",
        threads.min(4)
    )
}

fn svt_av1(coding: Coding) -> String {
    // Older versions count processors here, newer ones levels; 1 means one of either.
    format!("scd=0:lp={}", coding.threads.clamp(1, 6))
}
