//! Which rungs a source is encoded to, and how wide each is. Pure.

use crate::{
    failure::Failure,
    ladder::{Ladder, VideoRung},
    spec::{RateControl, RungSpec},
};

/// Widest rendition; H.264 level 6.2 ends there.
const WIDTH_MAX: u32 = 8192;

/// The rungs of a ladder that a source of so many lines is encoded to.
pub fn fitting(ladder: &Ladder, source_height: u32) -> Vec<VideoRung> {
    let source_height = source_height.next_multiple_of(2);
    let fits = |rung: &&VideoRung| ladder.upscale || rung.height <= source_height;
    let mut kept: Vec<VideoRung> = ladder.video.iter().filter(fits).cloned().collect();
    if kept.is_empty() {
        // A source smaller than every rung is still published, at its own size: by the smallest
        // rung of the first codec.
        let smallest = ladder.video.iter().min_by_key(|rung| rung.height).expect("a ladder has a video rung");
        kept.push(VideoRung { height: source_height, ..smallest.clone() });
    }
    kept
}

/// A rung for a source of this size as shown, in software or on an NVIDIA GPU.
pub fn sized(rung: &VideoRung, source_width: u32, source_height: u32, nvenc: bool) -> Result<RungSpec, Failure> {
    let (source_width, source_height) = (u64::from(source_width), u64::from(source_height.max(1)));
    // The even width closest to the source's shape.
    let half = (u64::from(rung.height) * source_width + source_height) / (2 * source_height);
    let width = u32::try_from(2 * half.max(1)).ok().filter(|width| *width <= WIDTH_MAX).ok_or_else(|| {
        Failure::input(
            "too-wide",
            format!(
                "at {} lines a source of {source_width}x{source_height} is over {WIDTH_MAX} pixels wide",
                rung.height
            ),
        )
        .mend("crop the source, or use lower rungs")
    })?;
    let rate_control = match (rung.bitrate_kbps, rung.quality) {
        (Some(bitrate_kbps), _) => RateControl::Average {
            bitrate_kbps,
            maxrate_kbps: rung.maxrate_kbps.unwrap_or(bitrate_kbps.saturating_mul(3) / 2),
        },
        (None, quality) => RateControl::Quality {
            quality: quality.expect("a checked rung has a bitrate or a quality"),
            maxrate_kbps: rung.maxrate_kbps,
        },
    };
    let preset = rung.preset().to_owned();
    let nvenc = nvenc.then(|| rung.nvenc.unwrap_or_default());
    Ok(RungSpec { name: rung.name.clone(), width, height: rung.height, rate_control, preset, nvenc })
}
