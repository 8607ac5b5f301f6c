//! Timelines: how a source's own timestamps become a channel's frames and numbers. Pure.
//!
//! A replica never asks its own clock where a picture belongs: that follows from the picture's
//! timestamp and from a mapping that was stored once, by whichever replica was first. So two of
//! them that read the same stream cut it at the same frames, whenever they started.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{
    ids::JobId,
    ladder::{AudioRung, VideoCodec},
    live::LiveSource,
    rate::{Ratio, frames_to_ticks, rescale},
    spec::{AAC_FRAME_SAMPLES, AUDIO_RATE, Nvenc, RungSpec},
};

/// Newest format of timelines that this version reads.
pub const TIMELINES_VERSION: u32 = 1;
/// Timelines that are kept of a channel: its window and its time shift lie on the last of them.
pub const TIMELINES_MAX: usize = 128;
/// Ticks after which timestamps of MPEG-TS begin again: 26.5 hours (ISO/IEC 13818-1, clause 2.4.3.7).
pub const WRAP_TICKS: u64 = 1 << 33;
/// Ticks per second of MPEG-TS timestamps.
const TS_HZ: u64 = 90_000;

/// Where a source's timestamps lie on the channel's frames, which count from the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveClock {
    /// Frames per second.
    pub rate: Ratio,
    /// A timestamp of the source, in ticks of 90 kHz below [`WRAP_TICKS`].
    pub pts: u64,
    /// The frame that is shown then.
    pub frame: u64,
}

impl LiveClock {
    /// The frame that a timestamp falls on, of all that it may mean the one closest to `near`: any
    /// clock that is right to within half a day will do.
    pub fn frame_of(&self, pts: u64, near: u64) -> i64 {
        let distance = self.ticks_of(near.cast_signed());
        let ticks = unwrap(pts.wrapping_sub(self.pts), distance);
        self.frame.cast_signed() + rescale(ticks, u64::from(self.rate.num), u64::from(self.rate.den) * TS_HZ)
    }

    /// The timestamp of a frame, below [`WRAP_TICKS`].
    pub fn pts_of(&self, frame: i64) -> u64 {
        self.pts.wrapping_add_signed(self.ticks_of(frame)) % WRAP_TICKS
    }

    /// Ticks from the mapped timestamp to a frame.
    fn ticks_of(&self, frame: i64) -> i64 {
        let frames = frame - self.frame.cast_signed();
        rescale(frames, u64::from(self.rate.den) * TS_HZ, u64::from(self.rate.num))
    }
}

/// The number congruent to `ticks` that is closest to `near`.
fn unwrap(ticks: u64, near: i64) -> i64 {
    let wrap = WRAP_TICKS.cast_signed();
    let low = (ticks % WRAP_TICKS).cast_signed();
    let turns = (near - low + wrap / 2).div_euclid(wrap);
    low + turns * wrap
}

/// What a source is like, as far as encoding it needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceFormat {
    /// ffmpeg's name of the picture's codec.
    pub codec: String,
    /// How its samples lie, as ffmpeg names it.
    pub pixels: String,
    /// Width as shown, with square pixels.
    pub width: u32,
    /// Height as shown.
    pub height: u32,
    /// Frames per second.
    pub rate: Ratio,
    /// Whether it is interlaced, and so deinterlaced.
    pub interlaced: bool,
    /// ffmpeg's name of the sound's codec; nothing where there is no sound.
    pub sound: Option<String>,
}

/// One stretch of a channel on which every replica encodes the same: one mapping, one grid, one set of
/// renditions. Its folder carries a random part, so that no name is ever used for other bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Counts from 1.
    pub id: u32,
    /// Eight random hexadecimal digits.
    pub random: String,
    /// Its first number. Commits of older timelines from there on are ignored.
    pub first: u64,
    /// The frame that number starts with.
    pub first_frame: u64,
    /// The edition of the channel that it encodes.
    pub edition: u32,
    /// Which of the edition's sources, from 0.
    pub source: u32,
    /// That source.
    pub origin: LiveSource,
    /// The mapping.
    pub clock: LiveClock,
    /// The one replica that publishes on it, where replicas cannot be aligned: its source's timestamps are
    /// nobody else's.
    #[serde(default)]
    pub owner: Option<JobId>,
    /// What the source was like.
    pub format: SourceFormat,
    /// Frames of a group of pictures.
    pub gop_frames: u32,
    /// Frames of a segment, a whole number of groups.
    pub segment_frames: u32,
    /// Ticks per second of the picture's renditions.
    pub timescale: u32,
    /// Threads of each encoder.
    pub threads: u32,
    /// Codec of all rungs.
    pub codec: VideoCodec,
    /// How an NVIDIA GPU encodes it; absent where software does.
    #[serde(default)]
    pub nvenc: Option<Nvenc>,
    /// The rungs.
    pub rungs: Vec<RungSpec>,
    /// The sound, silent where the source has none.
    pub audio: Vec<AudioRung>,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
}

impl Timeline {
    /// The frames of a number.
    pub fn frames_of(&self, number: u64) -> Range<u64> {
        let start = self.first_frame + (number - self.first) * u64::from(self.segment_frames);
        start..start + u64::from(self.segment_frames)
    }

    /// The number a frame belongs to; the first one for frames before it.
    pub fn number_of(&self, frame: i64) -> u64 {
        let after = u64::try_from(frame - self.first_frame.cast_signed()).unwrap_or_default();
        self.first + after / u64::from(self.segment_frames)
    }

    /// The first number that starts at or after a frame.
    pub fn number_from(&self, frame: i64) -> u64 {
        let after = u64::try_from(frame - self.first_frame.cast_signed()).unwrap_or_default();
        self.first + after.div_ceil(u64::from(self.segment_frames))
    }

    /// The first number that starts at a time of the channel's clock or later, Unix milliseconds.
    pub fn number_at_ms(&self, time_ms: i64) -> u64 {
        let number = self.number_from(frame_at_ms(time_ms, self.clock.rate).cast_signed());
        // A frame is the nearest one, and may be shown just before.
        if self.time_ms(number).start < time_ms { number + 1 } else { number }
    }

    /// Time and length of a number's pictures, in ticks of [`Timeline::timescale`].
    pub fn picture_ticks(&self, number: u64) -> Range<u64> {
        let frames = self.frames_of(number);
        let ticks = |frame| frames_to_ticks(frame, self.clock.rate, self.timescale);
        ticks(frames.start)..ticks(frames.end)
    }

    /// The frames of sound of a number, counted from the Unix epoch: those that start in it.
    pub fn sound_frames(&self, number: u64) -> Range<u64> {
        let frames = self.frames_of(number);
        let first = |frame| frames_to_ticks(frame, self.clock.rate, AUDIO_RATE).div_ceil(AAC_FRAME_SAMPLES);
        first(frames.start)..first(frames.end)
    }

    /// When a number starts and ends on the channel's clock, Unix milliseconds.
    pub fn time_ms(&self, number: u64) -> Range<i64> {
        let frames = self.frames_of(number);
        pts_ms(frames.start, self.clock.rate)..pts_ms(frames.end, self.clock.rate)
    }

    /// Length of a whole segment, milliseconds.
    pub fn segment_ms(&self) -> u64 {
        frames_to_ticks(self.segment_frames.into(), self.clock.rate, 1000)
    }

    /// The names of its renditions: the rungs, then the sound.
    pub fn renditions(&self) -> impl Iterator<Item = &str> {
        let rungs = self.rungs.iter().map(|rung| rung.name.as_str());
        rungs.chain(self.audio.iter().map(|rung| rung.name.as_str()))
    }
}

/// When a frame is shown, Unix milliseconds.
pub fn pts_ms(frame: u64, rate: Ratio) -> i64 {
    i64::try_from(frames_to_ticks(frame, rate, 1000)).unwrap_or(i64::MAX)
}

/// The frame that is shown at a time.
pub fn frame_at_ms(time_ms: i64, rate: Ratio) -> u64 {
    let frame = rescale(time_ms.max(0), u64::from(rate.num), u64::from(rate.den) * 1000);
    u64::try_from(frame).unwrap_or_default()
}

/// The timelines of a channel, and how far its log was folded away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timelines {
    /// Format of this record.
    pub v: u32,
    /// Oldest first, at most [`TIMELINES_MAX`].
    pub all: Vec<Timeline>,
    /// Numbers below it are neither committed nor read any more.
    #[serde(default)]
    pub floor: u64,
    /// Discontinuities below the floor: what playlists count theirs from.
    #[serde(default)]
    pub breaks: u64,
}

impl Timelines {
    /// The one in force.
    pub fn last(&self) -> Option<&Timeline> {
        self.all.last()
    }

    /// The one with this id.
    pub fn get(&self, id: u32) -> Option<&Timeline> {
        self.all.iter().rfind(|timeline| timeline.id == id)
    }

    /// The first number of the one that follows the one with this id.
    pub fn first_after(&self, id: u32) -> Option<u64> {
        let at = self.all.iter().position(|timeline| timeline.id == id)?;
        self.all.get(at + 1).map(|next| next.first)
    }

    /// The one that a number belongs to.
    pub fn of(&self, number: u64) -> Option<&Timeline> {
        self.all.iter().rfind(|timeline| timeline.first <= number)
    }

    /// With one more; the oldest goes over the bound.
    pub fn with(&self, timeline: Timeline) -> Self {
        let mut all = self.all.clone();
        if all.len() >= TIMELINES_MAX {
            all.remove(0);
        }
        all.push(timeline);
        Self { v: TIMELINES_VERSION, all, floor: self.floor, breaks: self.breaks }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATES: [(u32, u32); 6] = [(25, 1), (50, 1), (30_000, 1001), (60_000, 1001), (24_000, 1001), (30, 1)];
    /// 2026, in seconds.
    const NOW_S: u64 = 1_795_000_000;

    fn clock(rate: (u32, u32), pts: u64) -> LiveClock {
        let rate = Ratio::new(rate.0, rate.1).expect("a rate");
        LiveClock { rate, pts, frame: frame_at_ms((NOW_S * 1000).cast_signed(), rate) }
    }

    proptest! {
        #[test]
        fn a_frame_is_found_by_its_timestamp_on_either_side_of_a_wrap(
            rate in 0..RATES.len(), pts in 0..WRAP_TICKS, frames in -4_000_000_i64..4_000_000, wrong in -600_000_i64..600_000,
        ) {
            let clock = clock(RATES[rate], pts);
            let frame = clock.frame.cast_signed() + frames;
            let stamp = clock.pts_of(frame);
            prop_assert!(stamp < WRAP_TICKS);
            let near = u64::try_from(frame + wrong).expect("after the epoch");
            prop_assert_eq!(clock.frame_of(stamp, near), frame);
        }

        #[test]
        fn stamps_that_are_rounded_to_milliseconds_fall_on_their_frame(rate in 0..RATES.len(), frames in 0_i64..200_000) {
            let clock = clock(RATES[rate], 0);
            let frame = clock.frame.cast_signed() + frames;
            let stamp = (clock.pts_of(frame) + 45) / 90 * 90;
            prop_assert_eq!(clock.frame_of(stamp, frame.cast_unsigned()), frame);
        }
    }

    #[test]
    fn numbers_cover_frames_and_sound_without_a_hole() {
        for rate in RATES {
            let timeline = sample(rate);
            let numbers = timeline.first..timeline.first + 300;
            for number in numbers {
                assert_eq!(timeline.frames_of(number).end, timeline.frames_of(number + 1).start);
                assert_eq!(timeline.sound_frames(number).end, timeline.sound_frames(number + 1).start);
                assert_eq!(timeline.picture_ticks(number).end, timeline.picture_ticks(number + 1).start);
                let frames = timeline.frames_of(number);
                for frame in [frames.start, frames.end - 1] {
                    assert_eq!(timeline.number_of(frame.cast_signed()), number);
                }
                assert_eq!(timeline.number_from(frames.start.cast_signed()), number);
                assert_eq!(timeline.number_from(frames.start.cast_signed() + 1), number + 1);
            }
        }
    }

    fn sample(rate: (u32, u32)) -> Timeline {
        let clock = clock(rate, 0);
        Timeline {
            id: 1,
            random: "00c0ffee".to_owned(),
            first: 448_000_000,
            first_frame: clock.frame,
            edition: 1,
            source: 0,
            origin: LiveSource::parse("udp://239.0.0.1:5000", false).expect("an address"),
            clock,
            owner: None,
            format: SourceFormat {
                codec: "h264".to_owned(),
                pixels: "yuv420p".to_owned(),
                width: 320,
                height: 180,
                rate: clock.rate,
                interlaced: false,
                sound: None,
            },
            gop_frames: 60,
            segment_frames: 120,
            timescale: crate::rate::timescale_for(clock.rate),
            threads: 1,
            codec: VideoCodec::H264,
            nvenc: None,
            rungs: Vec::new(),
            audio: Vec::new(),
            made_ms: 0,
        }
    }
}
