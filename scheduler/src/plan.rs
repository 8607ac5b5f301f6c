//! From a probe and a ladder to renditions and encode jobs. Pure: no clock, no I/O, no randomness,
//! so that any scheduler plans the same jobs.

use std::collections::{BTreeMap, BTreeSet};

use framemill_schemas::{
    api::Dropped,
    asset::AssetRecord,
    failure::Failure,
    ids::JobId,
    ladder::{AudioRung, VideoCodec, VideoRung},
    lane::{Demand, Lane, Size},
    load::pixels_per_s,
    object::generation_folder,
    probe::{AudioTrack, Probe, Seek, SeekPoint, VideoTrack},
    rate::{rescale, timescale_for},
    sizing::{fitting, sized},
    spec::{
        AudioRendition, AudioSpec, Decoder, JobSpec, Nvenc, PackageSpec, RateControl, RungSpec, TranscodeSpec,
        VideoRendition,
    },
};

use crate::chunk::{self, Chunking};

/// Longest title, in milliseconds: its indexes still fit their records.
pub const TITLE_MS_MAX: u64 = 12 * 3600 * 1000;
/// Most bytes of one job's segment index; the rest of a record is small.
const INDEX_BYTES_MAX: u64 = framemill_schemas::wire::RECORD_BYTES_MAX as u64 * 7 / 8;
/// Bytes of a segment in an index, with the longest names.
const SEGMENT_INDEX_BYTES: u64 = 400;
/// Bytes of a keyframe in an index.
const KEYFRAME_INDEX_BYTES: u64 = 48;

/// Everything an asset's encoding consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Encode jobs, by unit: chunks in order of time, then sound.
    pub parts: BTreeMap<String, Part>,
    /// Picture renditions, in the ladder's order.
    pub video: Vec<VideoRendition>,
    /// Sound renditions, in the source's order.
    pub audio: Vec<AudioRendition>,
    /// Rungs and tracks that are not published, and why.
    pub dropped: Vec<Dropped>,
    /// Frames of a group of pictures.
    pub gop_frames: u32,
    /// Frames of a segment.
    pub segment_frames: u32,
    /// Ticks per second of the picture.
    pub timescale: u32,
    /// Generation folder.
    pub folder: String,
}

/// One encode job.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it does.
    pub spec: JobSpec,
    /// Where it waits.
    pub lane: Lane,
}

/// Plans an asset.
pub fn plan(asset: &AssetRecord, probe: &Probe) -> Result<Plan, Failure> {
    if let Some(cut) = &asset.cut {
        return Ok(crate::archive::plan(asset, cut));
    }
    refuse(probe)?;
    let grid = probe.video.grid;
    let folder = generation_folder(&asset.tenant, asset.id, &asset.generation);
    let gop_frames = frames_in(asset.ladder.gop_s, probe);
    let segment_frames = gop_frames * (asset.ladder.segment_s / asset.ladder.gop_s);
    let timescale = timescale_for(grid.rate);

    let mut dropped = Vec::new();
    let rungs = keep_rungs(asset, probe, &mut dropped)?;
    let chunking = match probe.video.seek {
        Seek::FromStart => Chunking::whole(grid.frames, asset.slots),
        Seek::Points(_) => chunk::chunks(grid, segment_frames, asset.slots),
    };

    refuse_indexes(&rungs, &chunking, segment_frames, gop_frames, grid.frames)?;
    let mut parts = BTreeMap::new();
    let mut parts_of: BTreeMap<VideoCodec, Vec<JobId>> = BTreeMap::new();
    let codecs: BTreeSet<_> = rungs.iter().map(|rung| rung.codec).collect();
    for codec in codecs {
        let of_codec: Vec<_> = rungs.iter().filter(|rung| rung.codec == codec).map(|rung| rung.spec.clone()).collect();
        let size = Size::of_pixel_rate(pixels_per_s(&of_codec, grid.rate));
        let is_hardware = asset.hardware.contains(&codec);
        let engine = if is_hardware { Demand::Nvenc } else { Demand::Any };
        let lane = Lane::Encode { engine, codec, size, priority: asset.priority };
        for (index, range) in chunking.ranges.iter().enumerate() {
            let unit = format!("transcode/{}/{index:04}", codec.as_str());
            let spec = JobSpec::Transcode(TranscodeSpec {
                source: asset.source.clone(),
                identity: probe.identity.clone(),
                folder: folder.clone(),
                stream: probe.video.stream,
                grid,
                start_frame: range.start,
                end_frame: range.end,
                seek: seek_within(&probe.video.seek, range),
                deinterlace: probe.video.interlaced,
                gop_frames,
                segment_frames,
                timescale,
                threads: chunking.threads,
                nvenc: is_hardware.then(|| Nvenc { decoder: decoder(&probe.video, range.end == grid.frames) }),
                codec,
                rungs: of_codec.clone(),
            });
            parts_of.entry(codec).or_default().push(derive(asset, &unit));
            parts.insert(unit, Part { spec, lane });
        }
    }
    let video = rungs
        .into_iter()
        .map(|rung| VideoRendition {
            parts: parts_of[&rung.codec].clone(),
            name: rung.spec.name,
            codec: rung.codec,
            width: rung.spec.width,
            height: rung.spec.height,
            bitrate_kbps: match rung.spec.rate_control {
                RateControl::Average { bitrate_kbps, .. } => Some(bitrate_kbps),
                RateControl::Quality { .. } => None,
            },
        })
        .collect();

    let mut audio = Vec::new();
    for sound in keep_audio(&asset.ladder.audio, probe, &mut dropped) {
        let unit = format!("audio/{}", sound.name);
        let spec = JobSpec::Audio(AudioSpec {
            source: asset.source.clone(),
            identity: probe.identity.clone(),
            folder: folder.clone(),
            rendition: sound.name.clone(),
            stream: sound.track.stream,
            grid,
            segment_frames,
            codec: sound.rung.codec,
            channels: sound.channels,
            bitrate_kbps: sound.rung.bitrate_kbps,
            lead_ticks: 0,
        });
        let lane = Lane::Plain { kind: spec.kind(), priority: asset.priority };
        audio.push(AudioRendition {
            part: derive(asset, &unit),
            name: sound.name,
            rung: sound.rung.name.clone(),
            channels: sound.channels,
            bitrate_kbps: sound.rung.bitrate_kbps,
            language: sound.track.language.clone(),
            label: sound.label,
            default: sound.default,
        });
        parts.insert(unit, Part { spec, lane });
    }

    Ok(Plan { parts, video, audio, dropped, gop_frames, segment_frames, timescale, folder })
}

impl Plan {
    /// What the package job is told, given the round each part is in.
    pub fn package(&self, asset: &AssetRecord, probe: &Probe, round_of: impl Fn(&str) -> u32) -> PackageSpec {
        let latest: BTreeMap<JobId, JobId> = self
            .parts
            .keys()
            .map(|unit| (derive(asset, unit), JobId::derive(asset.id, asset.generation.number, unit, round_of(unit))))
            .collect();
        let mut video = self.video.clone();
        for part in video.iter_mut().flat_map(|rendition| &mut rendition.parts) {
            *part = latest[part];
        }
        let mut audio = self.audio.clone();
        for rendition in &mut audio {
            rendition.part = latest[&rendition.part];
        }
        PackageSpec {
            folder: self.folder.clone(),
            grid: probe.video.grid,
            segment_frames: self.segment_frames,
            gop_frames: self.gop_frames,
            timescale: self.timescale,
            rate: probe.video.grid.rate,
            video,
            audio,
        }
    }
}

/// The id of a unit's first round; later rounds replace it in [`Plan::package`].
fn derive(asset: &AssetRecord, unit: &str) -> JobId {
    JobId::derive(asset.id, asset.generation.number, unit, 0)
}

fn refuse(probe: &Probe) -> Result<(), Failure> {
    let duration_ms = probe.video.grid.duration_ms();
    if duration_ms > TITLE_MS_MAX {
        return Err(Failure::input(
            "too-long",
            format!("the title lasts {} s, more than {} s", duration_ms / 1000, TITLE_MS_MAX / 1000),
        )
        .mend("submit it in parts"));
    }
    Ok(())
}

/// Refuses what would not fit the records it is written into, before anything is encoded.
fn refuse_indexes(
    rungs: &[SizedRung],
    chunking: &Chunking,
    segment_frames: u32,
    gop_frames: u32,
    frames: u64,
) -> Result<(), Failure> {
    let longest = chunking.ranges.iter().map(|range| range.end - range.start).max().unwrap_or(0);
    let groups = u64::from(segment_frames / gop_frames);
    let entry_bytes = SEGMENT_INDEX_BYTES + groups * KEYFRAME_INDEX_BYTES;
    let pictures = longest.div_ceil(u64::from(segment_frames)) * rungs.len() as u64 * entry_bytes;
    let sound = frames.div_ceil(u64::from(segment_frames)) * SEGMENT_INDEX_BYTES;
    if pictures.max(sound) <= INDEX_BYTES_MAX {
        return Ok(());
    }
    let reason = format!("{frames} frames in segments of {segment_frames} give an index larger than a record may be");
    Err(Failure::input("too-many-segments", reason).mend("use a ladder with longer segments, or submit it in parts"))
}

/// Whole frames closest to a length; at least one.
fn frames_in(millis: u32, probe: &Probe) -> u32 {
    let rate = probe.video.grid.rate;
    let frames = rescale(i64::from(millis), u64::from(rate.num), u64::from(rate.den) * 1000);
    u32::try_from(frames.max(1)).expect("a ladder's lengths are at most a minute")
}

/// What decodes a source that a GPU encodes: the GPU where every one with an encoder does (NVIDIA's
/// decode matrix: 4:2:0 in 8 bits, and HEVC and VP9 in 10), else the processor. So it does where pictures
/// have to be turned, and at the end of a title, where one may have to be repeated.
fn decoder(video: &VideoTrack, is_last: bool) -> Decoder {
    // What is not of the usual range is converted by one side and passed on by the other: all chunks go the
    // same way then. Older decoders end at 4096 pixels.
    let codecs: &[&str] = match video.pixels.as_str() {
        "yuv420p" if video.width.max(video.height) > 4096 => &["hevc", "vp9"],
        "yuv420p" => &["h264", "hevc", "vp9", "mpeg2video"],
        "yuv420p10le" => &["hevc", "vp9"],
        _ => &[],
    };
    let on_gpu = !is_last && !video.turned && codecs.contains(&video.codec.as_str());
    if on_gpu { Decoder::Gpu } else { Decoder::Software }
}

struct SizedRung {
    codec: VideoCodec,
    spec: RungSpec,
}

fn keep_rungs(asset: &AssetRecord, probe: &Probe, dropped: &mut Vec<Dropped>) -> Result<Vec<SizedRung>, Failure> {
    let kept = fitting(&asset.ladder, probe.video.height);
    for rung in asset.ladder.video.iter().filter(|rung| !kept.iter().any(|kept| kept.name == rung.name)) {
        dropped.push(Dropped {
            name: rung.name.clone(),
            reason: format!("{} lines are more than the source's {}", rung.height, probe.video.height),
        });
    }
    let size = |rung: VideoRung| {
        let spec = sized(&rung, probe.video.width, probe.video.height, asset.hardware.contains(&rung.codec))?;
        Ok(SizedRung { codec: rung.codec, spec })
    };
    kept.into_iter().map(size).collect()
}

struct Sound<'a> {
    track: &'a AudioTrack,
    rung: &'a AudioRung,
    name: String,
    label: String,
    channels: u8,
    default: bool,
}

fn keep_audio<'a>(rungs: &'a [AudioRung], probe: &'a Probe, dropped: &mut Vec<Dropped>) -> Vec<Sound<'a>> {
    let widest = probe.audio.iter().map(|track| track.channels).max().unwrap_or(0);
    let mut kept: Vec<_> =
        rungs.iter().filter(|rung| rung.channels <= 2 || u32::from(rung.channels) <= widest).collect();
    if kept.is_empty() {
        kept.extend(rungs.first());
    }
    for rung in rungs.iter().filter(|rung| !kept.iter().any(|kept| kept.name == rung.name)) {
        dropped.push(Dropped {
            name: rung.name.clone(),
            reason: format!("{} channels are more than the source's {widest}", rung.channels),
        });
    }
    let default = probe.audio.iter().position(|track| track.default).unwrap_or(0);
    let mut names = BTreeSet::new();
    let mut sounds = Vec::new();
    for rung in kept {
        for (index, track) in probe.audio.iter().enumerate() {
            let name = if probe.audio.len() == 1 {
                rung.name.clone()
            } else {
                unique_name(&rung.name, track, index, &mut names)
            };
            let label = track.title.clone().or_else(|| track.language.clone());
            sounds.push(Sound {
                track,
                rung,
                name,
                label: label.unwrap_or_else(|| format!("Audio {}", index + 1)),
                channels: rung.channels,
                default: index == default,
            });
        }
    }
    sounds
}

/// `stereo-no`, or `stereo-2` where the language is unknown or taken.
fn unique_name(rung: &str, track: &AudioTrack, index: usize, names: &mut BTreeSet<String>) -> String {
    let numbered = format!("{rung}-{}", index + 1);
    let language = track.language.as_deref().unwrap_or_default();
    let named = format!("{rung}-{language}");
    let usable = !language.is_empty() && framemill_schemas::ids::is_name(&named);
    let name = if usable && !names.contains(&named) { named } else { numbered };
    names.insert(name.clone());
    name
}

/// The points a job of this range may need: the last one before it, and those inside, where it
/// may have to resume.
fn seek_within(seek: &Seek, range: &std::ops::Range<u64>) -> Vec<SeekPoint> {
    let Seek::Points(points) = seek else { return Vec::new() };
    let first = points.partition_point(|point| point.frame <= range.start).saturating_sub(1);
    points[first..].iter().take_while(|point| point.frame < range.end).copied().collect()
}
