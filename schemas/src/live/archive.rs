//! Spans of a channel that are kept as titles: which numbers, where they lie, and what a title of them is
//! made on. Decided once, when the span is asked for; numbers never change afterwards. Pure.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{
    field_error::{FieldError, read_strict},
    ids::{ChannelId, Tenant},
    ladder::{AudioRung, VideoCodec},
    lane::Priority,
    rate::{FrameGrid, Ratio, frames_to_ticks},
    spec::{AAC_FRAME_SAMPLES, AUDIO_RATE, RungSpec},
};

/// Most stretches of a span, and most of what was left out: both are kept in the asset's record.
pub const STRETCHES_MAX: usize = 256;
/// Most segments of a span: the index of its sound fits the record of the job that copies it.
pub const SPAN_SEGMENTS_MAX: u64 = 9000;

/// A title's place in a channel. Two timelines are one grid where their pictures and renditions are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Frames per second.
    pub rate: Ratio,
    /// Frames of a group of pictures.
    pub gop_frames: u32,
    /// Frames of a segment.
    pub segment_frames: u32,
    /// Ticks per second of the picture.
    pub timescale: u32,
    /// Codec of all rungs.
    pub codec: VideoCodec,
    /// The rungs.
    pub rungs: Vec<RungSpec>,
    /// The sound.
    pub audio: Vec<AudioRung>,
    /// The init of each rendition by its name, the rungs first, then the sound.
    pub inits: Vec<String>,
    /// What of it, in order of time; never empty.
    pub stretches: Vec<Stretch>,
    /// What lies between and is no part of the title.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// Bytes of all its segments.
    pub bytes: u64,
    /// When it starts on the channel's clock, Unix milliseconds.
    pub from_ms: i64,
    /// When it ends.
    pub to_ms: i64,
}

/// Consecutive numbers of one timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The timeline.
    pub timeline: u32,
    /// Its folder in the store, without a slash at the end.
    pub folder: String,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
    /// The frame that the first number starts with, since the Unix epoch.
    pub first_frame: u64,
}

/// Consecutive numbers that a title of the span does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LeftOut {
    /// Why.
    pub why: LeftOutWhy,
    /// How many segments.
    pub segments: u64,
    /// When they start on the channel's clock, Unix milliseconds.
    pub from_ms: i64,
    /// When they end.
    pub to_ms: i64,
}

/// Why numbers are no part of a title.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutWhy {
    /// Nobody made them.
    Gap,
    /// They hold a dark picture in place of sources that were lost.
    Filler,
}

impl LeftOutWhy {
    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Filler => "filler",
        }
    }
}

impl Stretch {
    /// Its numbers.
    pub const fn numbers(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }

    /// How many segments it has.
    pub const fn segments(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl Cut {
    /// Segments of the title.
    pub fn segments(&self) -> u64 {
        self.stretches.iter().map(Stretch::segments).sum()
    }

    /// The title's grid: whole segments, from 0.
    pub fn grid(&self) -> FrameGrid {
        let time_base = Ratio { num: 1, den: self.timescale };
        let frames = self.segments() * u64::from(self.segment_frames);
        FrameGrid { rate: self.rate, frames, origin_ticks: 0, time_base }
    }

    /// The stretches of segments `from..to` of the title, counted from 0.
    pub fn slice(&self, from: u64, to: u64) -> Vec<Stretch> {
        let mut slices = Vec::new();
        let mut start = 0;
        for stretch in &self.stretches {
            let end = start + stretch.segments();
            let (begin, stop) = (from.max(start), to.min(end));
            if begin < stop {
                let skipped = begin - start;
                slices.push(Stretch {
                    first: stretch.first + skipped,
                    last: stretch.first + (stop - start) - 1,
                    first_frame: stretch.first_frame + skipped * u64::from(self.segment_frames),
                    ..stretch.clone()
                });
            }
            start = end;
        }
        slices
    }

    /// Samples between the start of the picture and that of the first frame of sound, which lies on the
    /// channel's grid: fewer than a frame has.
    pub fn lead_ticks(&self) -> u64 {
        let first = self.stretches.first().map_or(0, |stretch| stretch.first_frame);
        let start = frames_to_ticks(first, self.rate, AUDIO_RATE);
        start.next_multiple_of(AAC_FRAME_SAMPLES) - start
    }
}

/// Body of `POST /v1/channels/{id}/archive`.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ArchiveRequest {
    /// Where it starts: RFC 3339, or Unix seconds.
    #[schema(value_type = String)]
    pub from: Moment,
    /// Where it ends, the same.
    #[schema(value_type = String)]
    pub to: Moment,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
}

/// A time as a user writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Moment {
    /// RFC 3339, or Unix seconds as text.
    Text(String),
    /// Unix seconds.
    Seconds(serde_json::Number),
}

impl Moment {
    /// Unix milliseconds.
    ///
    /// # Errors
    /// When it is no time, with `pointer` as its place.
    pub fn millis(&self, pointer: &str) -> Result<i64, FieldError> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Seconds(number) => number.to_string(),
        };
        let bad = || {
            let detail = format!("{text:?} is no time");
            FieldError::new(pointer, detail, "write RFC 3339, as 2026-11-29T20:00:00Z, or Unix seconds")
        };
        millis_of(&text).filter(|millis| *millis >= 0).ok_or_else(bad)
    }
}

/// Unix milliseconds of RFC 3339, or of Unix seconds with up to three digits behind the point.
fn millis_of(text: &str) -> Option<i64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let is_number = !whole.is_empty() && whole.bytes().chain(rest.bytes()).all(|byte| byte.is_ascii_digit());
    if !is_number {
        return text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    }
    let millis = format!("{rest:0<3}").get(..3)?.parse::<i64>().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(millis)
}

/// A request that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedArchive {
    /// Where it starts, Unix milliseconds.
    pub from_ms: i64,
    /// Where it ends.
    pub to_ms: i64,
    /// How urgent it is.
    pub priority: Priority,
}

impl ArchiveRequest {
    /// Reads and checks a body; every fault of it at once.
    ///
    /// # Errors
    /// Unknown fields, times that are none, and an end that is not after the start.
    pub fn check(value: serde_json::Value) -> Result<CheckedArchive, Vec<FieldError>> {
        let request: Self = read_strict(value)?;
        let mut errors = Vec::new();
        let mut time = |moment: &Moment, pointer| moment.millis(pointer).map_err(|error| errors.push(error)).ok();
        let (from, to) = (time(&request.from, "/from"), time(&request.to, "/to"));
        if request.priority == Priority::Live {
            errors.push(FieldError::new("/priority", "live is for channels", "use urgent, standard or bulk"));
        }
        match (from, to) {
            (Some(from_ms), Some(to_ms)) if from_ms >= to_ms => {
                errors.push(FieldError::new("/to", "the span is empty: it ends before it starts", "name a later end"));
            }
            _ => {}
        }
        match (from, to) {
            (Some(from_ms), Some(to_ms)) if errors.is_empty() => {
                Ok(CheckedArchive { from_ms, to_ms, priority: request.priority })
            }
            _ => Err(errors),
        }
    }
}

/// What a title was kept of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ArchiveView {
    /// The channel.
    pub channel_id: ChannelId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Its first number.
    pub first: u64,
    /// Its last number.
    pub last: u64,
    /// When it starts on the channel's clock, Unix milliseconds: at or before what was asked for.
    pub from_ms: i64,
    /// When it ends: at or after what was asked for.
    pub to_ms: i64,
    /// Segments of each rendition.
    pub segments: u64,
    /// Segments between the first and the last that the title does not have: it closes up over them.
    pub left_out_segments: u64,
    /// Where those lie.
    pub left_out: Vec<LeftOut>,
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
