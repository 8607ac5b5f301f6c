//! Lengths in playlists. Pure.

use std::ops::Range;

use framemill_schemas::{
    live::Timeline,
    spec::{AAC_FRAME_SAMPLES, AUDIO_RATE},
};

use crate::{
    bitrate::{Stretch, target_duration_s as of_stretches},
    decimal::{micros, span_micros},
};

/// Where a rendition of a number lies: ticks, and how many of them make a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its ticks, from the Unix epoch on.
    pub ticks: Range<u64>,
    /// Ticks per second.
    pub timescale: u32,
}

impl Span {
    /// Of the picture of a number.
    pub fn picture(timeline: &Timeline, number: u64) -> Self {
        Self { ticks: timeline.picture_ticks(number), timescale: timeline.timescale }
    }

    /// Of the sound of a number: the frames that start in it.
    pub fn sound(timeline: &Timeline, number: u64) -> Self {
        let frames = timeline.sound_frames(number);
        Self { ticks: frames.start * AAC_FRAME_SAMPLES..frames.end * AAC_FRAME_SAMPLES, timescale: AUDIO_RATE }
    }

    /// Its length in microseconds, so rounded that consecutive lengths add up.
    pub fn micros(&self) -> u64 {
        span_micros(self.ticks.start, self.ticks.end - self.ticks.start, self.timescale)
    }

    /// When it starts, Unix milliseconds.
    pub fn start_ms(&self) -> i64 {
        i64::try_from((micros(self.ticks.start, self.timescale) + 500) / 1000).unwrap_or(i64::MAX)
    }
}

/// Target duration of all playlists of a channel, in seconds: that of the longest segment any of its
/// timelines may have, and so the same for as long as they stay (RFC 8216, clause 6.2.1). A segment of sound
/// may be a frame longer than the picture's.
pub fn target_duration_s(timelines: &[impl AsRef<Timeline>]) -> u64 {
    let longest = |timeline: &Timeline| {
        let more = if timeline.audio.is_empty() { 0 } else { micros(AAC_FRAME_SAMPLES, AUDIO_RATE) + 1 };
        Stretch { bytes: 0, micros: Span::picture(timeline, timeline.first).micros() + more }
    };
    of_stretches(timelines.iter().map(|timeline| longest(timeline.as_ref())))
}
