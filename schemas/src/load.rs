//! What a job takes of the machine that runs it, as far as its hint tells: small enough to be asked
//! before the job is claimed, and enough to decide whether there is room for it. Pure.

use serde::{Deserialize, Serialize};

use crate::{
    ladder::{Ladder, VideoCodec, VideoRung},
    live::Timeline,
    rate::Ratio,
    spec::{JobSpec, RungSpec, TranscodeSpec},
};

/// Memory of one encoding process on a GPU beside its sessions, MiB: its context. A rule of thumb.
const PROCESS_MIB: u32 = 300;
/// Memory of one session up to 1080 lines, MiB.
const SESSION_MIB: u32 = 200;
/// Memory of one session above that, MiB.
const LARGE_SESSION_MIB: u32 = 650;
/// Lines up to which a session is small.
const SMALL_LINES: u32 = 1088;

/// Pictures in a second of a channel whose source was not seen yet.
const LIVE_RATE: u64 = 30;

/// What a job takes. All of it is known when the job is planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Pixels of all rungs in a second of the source.
    pub pixels_per_s: u64,
    /// Pictures in a second of the source, thousandths.
    #[serde(default)]
    pub rate_milli: u32,
    /// How much time the slowest of its presets takes, from 1 to 7; 0 where nothing is encoded.
    pub effort: u8,
    /// Encoders that are open at once: its rungs.
    pub sessions: u32,
    /// Memory of a GPU that is encoded on, MiB.
    pub memory_mib: u32,
}

impl Load {
    /// Of a job that needs no encoder.
    pub const NONE: Self = Self { pixels_per_s: 0, rate_milli: 0, effort: 0, sessions: 0, memory_mib: 0 };

    /// What a job takes.
    pub fn of(spec: &JobSpec) -> Self {
        match spec {
            JobSpec::Transcode(spec) => Self::of_chunk(spec),
            JobSpec::Live(spec) => spec.load,
            _ => Self::NONE,
        }
    }

    fn of_chunk(spec: &TranscodeSpec) -> Self {
        Self::of_rungs(&spec.rungs, spec.codec, spec.grid.rate)
    }

    /// What a channel takes whose source was seen: the rungs that are made of it, at its own rate.
    pub fn of_timeline(timeline: &Timeline) -> Self {
        Self::of_rungs(&timeline.rungs, timeline.codec, timeline.clock.rate)
    }

    fn of_rungs(rungs: &[RungSpec], codec: VideoCodec, rate: Ratio) -> Self {
        Self {
            pixels_per_s: pixels_per_s(rungs, rate),
            rate_milli: u32::try_from(u64::from(rate.num) * 1000 / u64::from(rate.den)).unwrap_or(u32::MAX),
            effort: rungs.iter().map(|rung| effort(codec, rung)).max().unwrap_or_default(),
            sessions: u32::try_from(rungs.len()).unwrap_or(u32::MAX),
            memory_mib: video_memory_mib(rungs.iter().map(|rung| rung.height)),
        }
    }

    /// What a channel takes, as far as its ladder tells: for a source of 16:9 at 30 pictures a second, and
    /// with presets of the processor.
    pub fn of_ladder(ladder: &Ladder) -> Self {
        let pixels = |height: u32| u64::from(height) * 16 / 9 / 2 * 2 * u64::from(height);
        let effort = |rung: &VideoRung| {
            let own = rung.nvenc.and_then(|tuning| tuning.preset);
            own.unwrap_or_else(|| rung.codec.effort(rung.preset()))
        };
        Self {
            pixels_per_s: ladder.video.iter().map(|rung| pixels(rung.height)).sum::<u64>() * LIVE_RATE,
            rate_milli: LIVE_RATE as u32 * 1000,
            effort: ladder.video.iter().map(effort).max().unwrap_or_default(),
            sessions: u32::try_from(ladder.video.len()).unwrap_or(u32::MAX),
            memory_mib: video_memory_mib(ladder.video.iter().map(|rung| rung.height)),
        }
    }

    /// Whether nothing is encoded.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

/// Pixels of all rungs in a second of a source.
pub fn pixels_per_s(rungs: &[RungSpec], rate: Ratio) -> u64 {
    let pixels: u64 = rungs.iter().map(|rung| u64::from(rung.width) * u64::from(rung.height)).sum();
    pixels * u64::from(rate.num) / u64::from(rate.den)
}

/// Memory of a GPU that a process takes which encodes pictures of so many lines each, MiB.
pub fn video_memory_mib(lines: impl IntoIterator<Item = u32>) -> u32 {
    let session = |lines| if lines > SMALL_LINES { LARGE_SESSION_MIB } else { SESSION_MIB };
    lines.into_iter().map(session).fold(PROCESS_MIB, u32::saturating_add)
}

/// How much time a rung's preset takes, from 1 to 7: of a GPU's encoder its own presets.
pub fn effort(codec: VideoCodec, rung: &RungSpec) -> u8 {
    rung.nvenc.and_then(|tuning| tuning.preset).unwrap_or_else(|| codec.effort(&rung.preset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_takes_what_its_rungs_would_of_a_usual_source() {
        let text = "{name: l, gop_s: 2, segment_s: 4, video: [\
                    {name: a, codec: h264, height: 720, quality: 23, preset: ultrafast},\
                    {name: b, codec: h264, height: 360, quality: 23}]}";
        let load = Load::of_ladder(&Ladder::from_yaml(text).expect("good"));
        assert_eq!(load.pixels_per_s, (1280 * 720 + 640 * 360) * 30);
        assert_eq!((load.rate_milli, load.sessions), (30_000, 2));
        assert_eq!(load.effort, VideoCodec::H264.effort("medium"));
    }
}
