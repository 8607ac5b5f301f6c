//! What each kind of job is told to do: everything that determines its output, and nothing else.

use serde::{Deserialize, Serialize};

use crate::{
    finding::Report,
    ids::{ChannelId, JobId, NodeId},
    index::RenditionPart,
    inventory::Engine,
    ladder::{AudioCodec, VideoCodec},
    live::Stretch,
    load::Load,
    nvenc::NvencTuning,
    object::StoredObject,
    probe::Probe,
    rate::{FrameGrid, Ratio, frames_to_ticks},
    source::Source,
};

/// The work of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobSpec {
    /// Index the source.
    Probe(ProbeSpec),
    /// Encode one chunk for all rungs of one codec.
    Transcode(TranscodeSpec),
    /// Encode one sound track for the whole title.
    Audio(AudioSpec),
    /// Write the manifests.
    Package(PackageSpec),
    /// Check one job's segments.
    ValidatePart(ValidatePartSpec),
    /// Check the whole generation.
    ValidateWhole(ValidateWholeSpec),
    /// Take a part over from an older generation.
    Carry(CarrySpec),
    /// Take a part over from a channel.
    Archive(ArchiveSpec),
    /// Encode a channel.
    Live(LiveSpec),
}

/// What a job made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOutput {
    /// Of a probe.
    Probe(Probe),
    /// Of a transcode or audio job: one part for each rendition.
    Parts(Vec<RenditionPart>),
    /// Of a package job.
    Package(PackageOutput),
    /// Of a validation.
    Validation(Report),
}

/// Index a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// The source.
    pub source: Source,
}

/// Encode grid frames `start_frame..end_frame` of a source, for all rungs of one codec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscodeSpec {
    /// The source.
    pub source: Source,
    /// Its identity at the time of the probe.
    pub identity: String,
    /// Generation folder, without a slash at the end.
    pub folder: String,
    /// Stream index of the picture.
    pub stream: u32,
    /// The frame grid.
    pub grid: FrameGrid,
    /// First grid frame of the chunk.
    pub start_frame: u64,
    /// One after its last grid frame.
    pub end_frame: u64,
    /// Where to seek, sorted by frame: the points a job may need that resumes inside its chunk.
    /// Empty reads from the start.
    pub seek: Vec<crate::probe::SeekPoint>,
    /// Whether to deinterlace.
    pub deinterlace: bool,
    /// Frames of a group of pictures.
    pub gop_frames: u32,
    /// Frames of a segment, a whole number of groups.
    pub segment_frames: u32,
    /// Ticks per second of the renditions.
    pub timescale: u32,
    /// Threads of each encoder, the same for all chunks of a rendition: it changes bytes.
    pub threads: u32,
    /// Codec of all rungs.
    pub codec: VideoCodec,
    /// How an NVIDIA GPU encodes them; absent where software does. The same for all chunks of a
    /// rendition: each encoder writes an init of its own. Left out of keys where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvenc: Option<Nvenc>,
    /// The rungs.
    pub rungs: Vec<RungSpec>,
}

/// How a chunk goes through an NVIDIA GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nvenc {
    /// What decodes the source: decided from what the probe saw of it.
    pub decoder: Decoder,
}

/// What decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoder {
    /// The GPU: pictures never leave its memory.
    Gpu,
    /// The processor; pictures are then uploaded.
    Software,
}

impl TranscodeSpec {
    /// What encodes it.
    pub const fn engine(&self) -> Engine {
        if self.nvenc.is_some() { Engine::Nvenc } else { Engine::Software }
    }

    /// Number of the segment that holds grid frame `frame`.
    pub fn segment_of(&self, frame: u64) -> u64 {
        frame / u64::from(self.segment_frames) + 1
    }

    /// Numbers of the chunk's segments.
    pub fn segment_numbers(&self) -> std::ops::RangeInclusive<u64> {
        self.segment_of(self.start_frame)..=self.segment_of(self.end_frame - 1)
    }

    /// When segment `number` starts, in ticks of its timescale.
    pub fn grid_ticks(&self, number: u64) -> u64 {
        frames_to_ticks(self.segment_range(number).start, self.grid.rate, self.timescale)
    }

    /// Grid frames of segment `number`.
    pub fn segment_range(&self, number: u64) -> std::ops::Range<u64> {
        let start = (number - 1) * u64::from(self.segment_frames);
        start..(start + u64::from(self.segment_frames)).min(self.grid.frames)
    }
}

/// Encode a channel, as one of its replicas: what of, its record and its timelines say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSpec {
    /// The channel.
    pub channel: ChannelId,
    /// Nodes that it must not run on: its peer's, and those that failed it lately.
    pub apart: Vec<NodeId>,
    /// What encodes it.
    pub engine: Engine,
    /// What it takes of the machine, as far as the ladder tells.
    pub load: Load,
}

/// One rung, sized for a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungSpec {
    /// Name of the rendition.
    pub name: String,
    /// Width in square pixels, even.
    pub width: u32,
    /// Height, even.
    pub height: u32,
    /// How bits are spent.
    pub rate_control: RateControl,
    /// Encoder preset.
    pub preset: String,
    /// How an NVIDIA GPU encodes it; absent where software does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvenc: Option<NvencTuning>,
}

/// How an encoder spends bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateControl {
    /// An average bitrate under a buffer of one second at the peak.
    Average {
        /// Average, kbit/s.
        bitrate_kbps: u32,
        /// Peak, kbit/s.
        maxrate_kbps: u32,
    },
    /// Constant quality, capped where a peak is given.
    Quality {
        /// 0 is best.
        quality: u8,
        /// Peak, kbit/s.
        maxrate_kbps: Option<u32>,
    },
}

/// Encode one sound track for the whole title: chunked AAC clicks at every joint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioSpec {
    /// The source.
    pub source: Source,
    /// Its identity at the time of the probe.
    pub identity: String,
    /// Generation folder, without a slash at the end.
    pub folder: String,
    /// Name of the rendition.
    pub rendition: String,
    /// Stream index of the sound.
    pub stream: u32,
    /// The picture's grid: sound has the same origin and the same end.
    pub grid: FrameGrid,
    /// Frames of a picture segment; segment k holds the AAC frames that start in
    /// `[k*S, (k+1)*S)`.
    pub segment_frames: u32,
    /// Codec.
    pub codec: AudioCodec,
    /// Channels.
    pub channels: u8,
    /// Bitrate, kbit/s.
    pub bitrate_kbps: u32,
    /// Samples between the start of the picture and that of the first frame, fewer than a frame has: of
    /// titles that are kept of a channel, whose sound lies on a grid of its own. Left out of keys where it is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lead_ticks: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(ticks: &u64) -> bool {
    *ticks == 0
}

/// Sample rate, and so timescale, of all published sound.
pub const AUDIO_RATE: u32 = 48_000;
/// Samples of an AAC-LC frame (ISO/IEC 14496-3).
pub const AAC_FRAME_SAMPLES: u64 = 1024;

/// A picture rendition as manifests describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoRendition {
    /// Its name and folder.
    pub name: String,
    /// Codec.
    pub codec: VideoCodec,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Average bitrate asked for, kbit/s; `None` for constant quality.
    pub bitrate_kbps: Option<u32>,
    /// The jobs that made it, in order of time.
    pub parts: Vec<JobId>,
}

/// A sound rendition as manifests describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioRendition {
    /// Its name and folder.
    pub name: String,
    /// The rung: renditions of one rung form a group of languages.
    pub rung: String,
    /// Channels.
    pub channels: u8,
    /// Bitrate asked for, kbit/s.
    pub bitrate_kbps: u32,
    /// Language (BCP 47), `None` where unknown.
    pub language: Option<String>,
    /// What a player shows.
    pub label: String,
    /// Whether a player starts with it.
    pub default: bool,
    /// The job that made it.
    pub part: JobId,
}

/// Write manifests from segment indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageSpec {
    /// Generation folder, without a slash at the end.
    pub folder: String,
    /// The frame grid.
    pub grid: FrameGrid,
    /// Frames of a segment.
    pub segment_frames: u32,
    /// Frames of a group of pictures.
    pub gop_frames: u32,
    /// Ticks per second of the picture.
    pub timescale: u32,
    /// Frame rate for manifests.
    pub rate: Ratio,
    /// The picture.
    pub video: Vec<VideoRendition>,
    /// The sound.
    pub audio: Vec<AudioRendition>,
}

/// The manifests of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageOutput {
    /// The HLS multivariant playlist.
    pub master: StoredObject,
    /// The DASH manifest.
    pub mpd: StoredObject,
    /// The media and I-frame playlists.
    pub playlists: Vec<StoredObject>,
    /// [`PackageOutput::master`] as it reads from the asset's folder, one level up: publishing
    /// copies its bytes there.
    pub entry_master: StoredObject,
    /// [`PackageOutput::mpd`] as it reads from the asset's folder.
    pub entry_mpd: StoredObject,
}

/// Check the segments one transcode or audio job made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatePartSpec {
    /// The job.
    pub part: JobId,
    /// Its key: a validation of other bytes is another job.
    pub part_key: String,
}

/// Check a whole generation: its indexes against its grid, and its manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidateWholeSpec {
    /// What was packaged.
    pub package: PackageSpec,
    /// The package job.
    pub package_job: JobId,
    /// The validations of its parts, whose findings join the report.
    pub parts: Vec<JobId>,
}

/// Copy the undamaged segments of one unit from a published generation into the one that repairs
/// it, each compared with its digest on the way. The output is that of the job it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrySpec {
    /// The index of the published generation.
    pub index: StoredObject,
    /// The unit, the same in both.
    pub unit: String,
    /// What would make the unit anew: a transcode or audio job.
    pub of: Box<JobSpec>,
}

/// Copy segments of a channel to their place in a title, each compared with its commit on the way. The
/// output is that of the job it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveSpec {
    /// Where they lie, in order of time: for pictures those of the chunk, for sound all of the title.
    pub stretches: Vec<Stretch>,
    /// The inits of its renditions by their names, in the order of the job it stands for.
    pub inits: Vec<String>,
    /// The place in a commit of the first of its renditions.
    pub track: u32,
    /// What would encode it: a transcode or audio job, whose source says the channel.
    pub of: Box<JobSpec>,
}

impl JobSpec {
    /// Oldest format of job records that knows it, as far as the lane does not say: titles of channels came
    /// with the fourth.
    pub fn job_version(&self) -> u32 {
        match self {
            Self::Archive(_) | Self::Probe(ProbeSpec { source: Source::Channel { .. } }) => 4,
            Self::Carry(spec) => spec.of.job_version(),
            _ => 1,
        }
    }

    /// The encoding that it is or stands for: what its segments are judged by.
    pub fn encoding(&self) -> &Self {
        match self {
            Self::Carry(spec) => spec.of.encoding(),
            Self::Archive(spec) => spec.of.encoding(),
            spec => spec,
        }
    }
}
