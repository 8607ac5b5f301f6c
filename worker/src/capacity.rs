//! How many channels a fleet of GPUs can encode at once, and what ends first. Pure.
//!
//! Planning figures: rates are vendor-published and scaled to what operators plan with for one L4
//! at P5 in 1080p (24 channels of sport, 32 of news, at 25 pictures a second), memory is a rule of
//! thumb. None of it was measured here.

use framemill_schemas::{
    ladder::{Ladder, VideoCodec},
    load::video_memory_mib,
};
use serde::Serialize;

pub use crate::machine::models::{Model, Preset, named, names, of_driver};
use crate::{
    headroom::WHOLE,
    machine::models::{pictures_per_s, pixels_per_s},
};

/// Share of a device's memory that may be used, percent.
const MEMORY_PERCENT: u64 = 80;
/// A watermark for each viewer costs this much of the rate, thousandths.
const WATERMARK_PERMILLE: u64 = 150;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Fast, and little that stays: what takes the most.
    Sport,
    /// Heads that talk.
    News,
}

impl Content {
    /// Thousandths of the published rate that operators plan with.
    const fn rate_permille(self) -> u64 {
        match self {
            Self::Sport => 1061,
            Self::News => 1414,
        }
    }
}

/// What a fleet is asked for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// What each channel is encoded to; its rungs of pictures, 16:9.
    pub ladder: &'a Ladder,
    /// Pictures a second.
    pub rate: u32,
    /// How well.
    pub preset: Preset,
    /// What is shown.
    pub content: Content,
    /// Whether every viewer gets a watermark of their own.
    pub watermark: bool,
}

/// What ends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Binds {
    /// The rate of the encoders.
    Encoder,
    /// The memory of the GPU.
    VideoMemory,
    /// It does not encode one of the codecs, or nothing at all.
    NoEncoder,
    /// No rate is published.
    Unknown,
}

/// What one GPU of a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Channels at once.
    pub channels: u64,
    /// Encode sessions of these.
    pub sessions: u64,
    /// Hours of titles encoded in an hour, thousandths, when it does nothing else.
    pub title_hours_milli: u64,
    /// What ends first.
    pub binds: Binds,
}

/// What one GPU takes of what is wanted.
pub fn of_gpu(model: &Model, wanted: &Wanted<'_>) -> Share {
    let none = |binds| Share { channels: 0, sessions: 0, title_hours_milli: 0, binds };
    if model.engines == 0 {
        return none(Binds::NoEncoder);
    }
    let Some(generation) = model.generation else { return none(Binds::Unknown) };
    let rungs = &wanted.ladder.video;
    let mut cost = 0;
    for rung in rungs {
        let Some(pictures) = pictures_per_s(generation, rung.codec, wanted.preset) else {
            return none(Binds::NoEncoder);
        };
        let rate = device_rate(model.engines, pictures, wanted);
        cost += (pixels(rung.height) * u64::from(wanted.rate) * WHOLE).div_ceil(rate);
    }
    if cost == 0 {
        return none(Binds::NoEncoder);
    }
    let memory = u64::from(model.memory_gib) * 1024 * MEMORY_PERCENT / 100;
    let by_memory = memory / memory_mib(wanted.ladder);
    let by_rate = WHOLE / cost;
    let (channels, binds) =
        if by_memory < by_rate { (by_memory, Binds::VideoMemory) } else { (by_rate, Binds::Encoder) };
    Share { channels, sessions: channels * rungs.len() as u64, title_hours_milli: WHOLE * 1000 / cost, binds }
}

/// Pixels a second that a device encodes, with what operators plan for.
fn device_rate(engines: u32, pictures_per_s: u32, wanted: &Wanted<'_>) -> u64 {
    let published = pixels_per_s(engines, pictures_per_s);
    let planned = published * wanted.content.rate_permille() / 1000;
    let kept = if wanted.watermark { 1000 - WATERMARK_PERMILLE } else { 1000 };
    (planned * kept / 1000).max(1)
}

/// Pixels of a picture of 16:9 with so many lines.
fn pixels(height: u32) -> u64 {
    u64::from(height) * u64::from(height) * 16 / 9
}

fn memory_mib(ladder: &Ladder) -> u64 {
    u64::from(video_memory_mib(ladder.video.iter().map(|rung| rung.height)))
}

/// What viewers draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Egress {
    /// When all watch the smallest rendition, kbit/s.
    pub least_kbps: u64,
    /// When all watch the largest, kbit/s.
    pub most_kbps: u64,
}

/// What so many viewers draw of a ladder, its first sound with each. Rungs of constant quality count
/// with their peak; nothing where one has neither.
pub fn egress(ladder: &Ladder, viewers: u64) -> Option<Egress> {
    let rates: Option<Vec<u64>> =
        ladder.video.iter().map(|rung| rung.bitrate_kbps.or(rung.maxrate_kbps).map(u64::from)).collect();
    let rates = rates?;
    let sound = ladder.audio.first().map_or(0, |rung| u64::from(rung.bitrate_kbps));
    let of = |rate: u64| viewers.saturating_mul(rate + sound);
    Some(Egress { least_kbps: of(*rates.iter().min()?), most_kbps: of(*rates.iter().max()?) })
}

/// The codecs of a ladder that a model does not encode.
pub fn lacks(model: &Model, ladder: &Ladder) -> Vec<VideoCodec> {
    let encodes = |codec: VideoCodec| {
        model.engines > 0
            && model.generation.is_none_or(|generation| pictures_per_s(generation, codec, Preset::P1).is_some())
    };
    let used = |codec: &VideoCodec| ladder.video.iter().any(|rung| rung.codec == *codec);
    VideoCodec::ALL.into_iter().filter(used).filter(|codec| !encodes(*codec)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(rungs: &[(u32, VideoCodec)]) -> Ladder {
        let rung = |(height, codec): &(u32, VideoCodec)| {
            format!("  - {{ name: r{height}, codec: {}, height: {height}, bitrate_kbps: {height} }}\n", codec.as_str())
        };
        let rungs: String = rungs.iter().map(rung).collect();
        let text = format!(
            "name: x\ngop_s: 2\nsegment_s: 4\nvideo:\n{rungs}audio:\n  - {{ name: a, codec: aac, channels: 2, bitrate_kbps: 128 }}\n"
        );
        Ladder::from_yaml(&text).unwrap()
    }

    fn channels(model: &str, ladder: &Ladder, content: Content, watermark: bool) -> Share {
        let wanted = Wanted { ladder, rate: 25, preset: Preset::P5, content, watermark };
        of_gpu(named(model).unwrap(), &wanted)
    }

    #[test]
    fn one_l4_takes_what_operators_plan_with() {
        let one = ladder(&[(1080, VideoCodec::H264)]);
        for (content, watermark, expected) in [
            (Content::Sport, false, 24),
            (Content::News, false, 32),
            (Content::Sport, true, 20),
            (Content::News, true, 27),
        ] {
            let share = channels("L4", &one, content, watermark);
            assert_eq!((share.channels, share.binds), (expected, Binds::Encoder), "{content:?} {watermark}");
        }
    }

    #[test]
    fn rungs_add_up_and_engines_multiply() {
        let one = ladder(&[(1080, VideoCodec::H264)]);
        let two = ladder(&[(1080, VideoCodec::H264), (720, VideoCodec::H264)]);
        // 720 lines are four ninths of 1080.
        let share = channels("L4", &two, Content::Sport, false);
        assert_eq!((share.channels, share.sessions), (16, 32));
        let (two_engines, three) =
            (channels("L4", &one, Content::Sport, false), channels("L40", &one, Content::Sport, false));
        assert_eq!((two_engines.channels, three.channels), (24, 36));
        assert!(two_engines.title_hours_milli.abs_diff(24_000) < 100, "{two_engines:?}");
    }

    #[test]
    fn what_ends_first_is_named() {
        let h264 = ladder(&[(1080, VideoCodec::H264)]);
        let small = ladder(&[(144, VideoCodec::H264)]);
        let av1 = ladder(&[(1080, VideoCodec::Av1)]);
        for (model, ladder, channels_expected, binds) in [
            ("L4", &small, 39, Binds::VideoMemory),
            ("H200", &h264, 0, Binds::NoEncoder),
            ("T4", &av1, 0, Binds::NoEncoder),
            ("V100", &h264, 0, Binds::Unknown),
        ] {
            let share = channels(model, ladder, Content::Sport, false);
            assert_eq!((share.channels, share.binds), (channels_expected, binds), "{model}");
        }
        assert_eq!(lacks(named("T4").unwrap(), &av1), [VideoCodec::Av1]);
        assert_eq!(lacks(named("L4").unwrap(), &av1), []);
        assert_eq!(lacks(named("H200").unwrap(), &h264), [VideoCodec::H264]);
    }

    #[test]
    fn egress_is_between_the_smallest_and_the_largest() {
        let two = ladder(&[(1080, VideoCodec::H264), (360, VideoCodec::H264)]);
        let drawn = egress(&two, 1000).unwrap();
        assert_eq!((drawn.least_kbps, drawn.most_kbps), (488_000, 1_208_000));
    }
}
