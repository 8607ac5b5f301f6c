//! What one indexing pass over a source learns.

use serde::{Deserialize, Serialize};

use crate::rate::FrameGrid;

/// Most seek points kept: a record stays small however long the title is.
pub const SEEK_POINTS_MAX: usize = 8192;
/// Most sound tracks published of one source.
pub const AUDIO_TRACKS_MAX: usize = 16;

/// Everything planning needs to know of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// ffmpeg's name of the container format.
    pub format: String,
    /// Size of the source.
    pub bytes: u64,
    /// blake3 of what identifies the source's bytes (size and entity tag or modification time);
    /// a source whose identity changes while it is encoded fails as `input`.
    pub identity: String,
    /// The container's start time in microseconds; ffmpeg's `-ss` counts from it.
    pub start_us: i64,
    /// The picture.
    pub video: VideoTrack,
    /// The sound, in stream order.
    pub audio: Vec<AudioTrack>,
}

/// The picture track that is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoTrack {
    /// Stream index in the container.
    pub stream: u32,
    /// ffmpeg's name of the codec.
    pub codec: String,
    /// How its samples lie, as ffmpeg names it: `yuv420p10le`; empty where nobody looked.
    #[serde(default)]
    pub pixels: String,
    /// Whether it is shown otherwise than it is stored: turned by its rotation.
    #[serde(default)]
    pub turned: bool,
    /// Width as shown: turned upright, pixels made square.
    pub width: u32,
    /// Height as shown: turned upright.
    pub height: u32,
    /// Whether it is interlaced, and so deinterlaced (keeping the frame rate).
    pub interlaced: bool,
    /// The frame grid.
    pub grid: FrameGrid,
    /// Where the rate comes from.
    pub rate_source: RateSource,
    /// How chunks may be reached.
    pub seek: Seek,
}

/// Where a grid's rate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateSource {
    /// The stream's base rate.
    Base,
    /// The average rate, snapped to a standard one.
    Average,
}

/// How a chunk's first picture is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seek {
    /// By time; the points are sorted.
    Points(Vec<SeekPoint>),
    /// Not at all: pictures carry no timestamps of their own, so the title is one chunk.
    FromStart,
}

/// A keyframe a decoder may start at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeekPoint {
    /// First grid frame that may be decoded correctly when seeking to `seek_us`. It already
    /// accounts for demuxers that land one keyframe late.
    pub frame: u64,
    /// What to pass to ffmpeg's `-ss` (before `-i`, with `-noaccurate_seek`), in microseconds
    /// from the container's start.
    pub seek_us: i64,
}

/// A sound track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioTrack {
    /// Stream index in the container.
    pub stream: u32,
    /// ffmpeg's name of the codec.
    pub codec: String,
    /// Channels of the source.
    pub channels: u32,
    /// BCP 47 / ISO 639 language, lower case; `None` where the source says none (`und`).
    pub language: Option<String>,
    /// Title of the track.
    pub title: Option<String>,
    /// Whether the source marks it as the default.
    pub default: bool,
}
