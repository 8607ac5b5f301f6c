//! Titles to test with: indexes as a cutter would have recorded them, without any media.
#![allow(dead_code, reason = "each test uses a part of it")]

use framemill_media::boxes::{InitFacts, TrackKind};
use framemill_packager::title::{Title, Track};
use framemill_schemas::{
    ids::JobId,
    index::{KeyframeRange, SegmentIndex},
    ladder::{AudioCodec, VideoCodec},
    object::{StoredObject, init_key, segment_key},
    rate::{FrameGrid, Ratio, frames_to_ticks, timescale_for},
    source::Source,
    spec::{
        AAC_FRAME_SAMPLES, AUDIO_RATE, AudioRendition, AudioSpec, PackageSpec, RateControl, RungSpec, TranscodeSpec,
        VideoRendition,
    },
};

/// Folder of every test generation.
pub const FOLDER: &str = "vod/default/0198c0de-0000-7000-8000-000000000000/g1-0a1b2c3d";
/// The asset's folder.
pub const ASSET_FOLDER: &str = "vod/default/0198c0de-0000-7000-8000-000000000000";

/// One picture rendition to be made.
pub struct Picture {
    pub name: &'static str,
    pub codec: VideoCodec,
    pub width: u32,
    pub height: u32,
    pub kbps: u32,
}

/// One sound rendition to be made.
pub struct Sound {
    pub name: &'static str,
    pub rung: &'static str,
    pub channels: u8,
    pub kbps: u32,
    pub language: Option<&'static str>,
    pub label: &'static str,
    pub default: bool,
}

pub const P720: Picture = Picture { name: "720p", codec: VideoCodec::H264, width: 1280, height: 720, kbps: 3000 };
pub const P480: Picture = Picture { name: "480p", codec: VideoCodec::H264, width: 854, height: 480, kbps: 1200 };
pub const H720: Picture = Picture { name: "720p-hevc", codec: VideoCodec::Hevc, width: 1280, height: 720, kbps: 1800 };
pub const A720: Picture = Picture { name: "720p-av1", codec: VideoCodec::Av1, width: 1280, height: 720, kbps: 1500 };

pub const STEREO: Sound = Sound {
    name: "stereo-0",
    rung: "stereo",
    channels: 2,
    kbps: 128,
    language: Some("eng"),
    label: "English",
    default: true,
};
pub const STEREO_NORWEGIAN: Sound =
    Sound { name: "stereo-1", language: Some("nor"), label: "Norsk \"tale\" & <mer>", default: false, ..STEREO };
pub const SURROUND: Sound = Sound { name: "surround-0", rung: "surround", channels: 6, kbps: 384, ..STEREO };

pub fn job(n: u128) -> JobId {
    format!("{:032x}", n).parse().unwrap()
}

pub fn stored(key: String, bytes: u64) -> StoredObject {
    StoredObject { digest: format!("{bytes:064x}"), etag: format!("etag-{bytes}"), key, bytes }
}

/// Codecs as real inits of this kind say them.
fn codecs(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::H264 => "avc1.64001f",
        VideoCodec::Hevc => "hvc1.1.6.L93.90",
        VideoCodec::Av1 => "av01.0.05M.08",
    }
}

/// A title of `frames` pictures at `rate`, in segments of `segment_frames`; `vary` makes segment
/// sizes differ.
pub fn title(
    rate: (u32, u32),
    frames: u64,
    (segment_frames, gop_frames): (u32, u32),
    pictures: &[Picture],
    sounds: &[Sound],
    vary: impl Fn(u64) -> u64,
) -> Title {
    let rate = Ratio::new(rate.0, rate.1).unwrap();
    let timescale = timescale_for(rate);
    let grid = FrameGrid { rate, frames, origin_ticks: 0, time_base: Ratio::new(1, timescale).unwrap() };
    let spec = PackageSpec {
        folder: FOLDER.to_owned(),
        grid,
        segment_frames,
        gop_frames,
        timescale,
        rate,
        video: pictures
            .iter()
            .map(|p| VideoRendition {
                name: p.name.to_owned(),
                codec: p.codec,
                width: p.width,
                height: p.height,
                bitrate_kbps: Some(p.kbps),
                parts: vec![job(1)],
            })
            .collect(),
        audio: sounds
            .iter()
            .zip(2..)
            .map(|(s, n)| AudioRendition {
                name: s.name.to_owned(),
                rung: s.rung.to_owned(),
                channels: s.channels,
                bitrate_kbps: s.kbps,
                language: s.language.map(str::to_owned),
                label: s.label.to_owned(),
                default: s.default,
                part: job(n),
            })
            .collect(),
    };
    let video = pictures.iter().map(|p| picture_track(&spec, p, &vary)).collect();
    let audio = sounds.iter().map(|s| sound_track(&spec, s, &vary)).collect();
    Title { spec, video, audio }
}

fn size(kbps: u32, duration_ticks: u64, timescale: u32, percent: u64) -> u64 {
    u64::from(kbps) * 125 * duration_ticks / u64::from(timescale) * percent / 100 + 500
}

fn picture_track(spec: &PackageSpec, picture: &Picture, vary: impl Fn(u64) -> u64) -> Track {
    let ticks = |frame| frames_to_ticks(frame, spec.rate, spec.timescale);
    let mut segments = Vec::new();
    let mut start = 0;
    while start < spec.grid.frames {
        let end = (start + u64::from(spec.segment_frames)).min(spec.grid.frames);
        let number = segments.len() as u64 + 1;
        let duration_ticks = ticks(end) - ticks(start);
        let bytes = size(picture.kbps, duration_ticks, spec.timescale, vary(number));
        let groups: Vec<u64> = (start..end).step_by(spec.gop_frames as usize).collect();
        let keyframes = groups
            .iter()
            .enumerate()
            .map(|(n, &first)| KeyframeRange {
                offset: bytes * n as u64 / groups.len() as u64,
                bytes: (bytes / 8).max(1),
                duration_ticks: ticks((first + u64::from(spec.gop_frames)).min(end)) - ticks(first),
            })
            .collect();
        segments.push(SegmentIndex {
            number,
            start_ticks: ticks(start),
            duration_ticks,
            samples: end - start,
            keyframes,
            object: stored(segment_key(&spec.folder, picture.name, number), bytes),
        });
        start = end;
    }
    Track {
        init: stored(init_key(&spec.folder, picture.name), 800),
        facts: InitFacts {
            timescale: spec.timescale,
            codecs: codecs(picture.codec).to_owned(),
            kind: TrackKind::Video { width: picture.width, height: picture.height },
        },
        segments,
    }
}

fn sound_track(spec: &PackageSpec, sound: &Sound, vary: impl Fn(u64) -> u64) -> Track {
    let frame_at = |frame| frames_to_ticks(frame, spec.rate, AUDIO_RATE).div_ceil(AAC_FRAME_SAMPLES);
    let mut segments = Vec::new();
    let mut start = 0;
    while start < spec.grid.frames {
        let end = (start + u64::from(spec.segment_frames)).min(spec.grid.frames);
        let (first, last) = (frame_at(start), frame_at(end));
        start = end;
        if first == last {
            break;
        }
        let number = segments.len() as u64 + 1;
        let duration_ticks = (last - first) * AAC_FRAME_SAMPLES;
        segments.push(SegmentIndex {
            number,
            start_ticks: first * AAC_FRAME_SAMPLES,
            duration_ticks,
            samples: last - first,
            keyframes: Vec::new(),
            object: stored(
                segment_key(&spec.folder, sound.name, number),
                size(sound.kbps, duration_ticks, AUDIO_RATE, vary(number)),
            ),
        });
    }
    Track {
        init: stored(init_key(&spec.folder, sound.name), 700),
        facts: InitFacts {
            timescale: AUDIO_RATE,
            codecs: "mp4a.40.2".to_owned(),
            kind: TrackKind::Audio { rate: AUDIO_RATE, channels: u32::from(sound.channels) },
        },
        segments,
    }
}

/// Everything a generation may have: three codecs, two languages, two audio rungs, fractional
/// rate, a short last segment.
pub fn full() -> Title {
    title((30_000, 1001), 1000, (120, 60), &[P480, P720, H720, A720], &[SURROUND, STEREO, STEREO_NORWEGIAN], |number| {
        80 + number * 7 % 40
    })
}

/// A picture without sound, shorter than a segment.
pub fn silent() -> Title {
    title((25, 1), 30, (100, 50), &[P480], &[], |_| 100)
}

fn source() -> Source {
    Source::parse("s3://sources/film.mp4").unwrap()
}

/// The job that made frames `start..end` of the title's first codec.
pub fn chunk_of(title: &Title, start_frame: u64, end_frame: u64) -> TranscodeSpec {
    let spec = &title.spec;
    let codec = spec.video[0].codec;
    TranscodeSpec {
        source: source(),
        identity: "identity".to_owned(),
        folder: spec.folder.clone(),
        stream: 0,
        grid: spec.grid,
        start_frame,
        end_frame,
        seek: Vec::new(),
        deinterlace: false,
        gop_frames: spec.gop_frames,
        segment_frames: spec.segment_frames,
        timescale: spec.timescale,
        threads: 1,
        nvenc: None,
        codec,
        rungs: spec
            .video
            .iter()
            .filter(|rendition| rendition.codec == codec)
            .map(|rendition| RungSpec {
                name: rendition.name.clone(),
                width: rendition.width,
                height: rendition.height,
                rate_control: RateControl::Average {
                    bitrate_kbps: rendition.bitrate_kbps.unwrap_or(1000),
                    maxrate_kbps: rendition.bitrate_kbps.unwrap_or(1000) * 3 / 2,
                },
                preset: "veryfast".to_owned(),
                nvenc: None,
            })
            .collect(),
    }
}

/// The job that made the title's stereo sound.
pub fn sound_of(title: &Title) -> AudioSpec {
    let spec = &title.spec;
    let rendition = spec.audio.iter().find(|rendition| rendition.channels == 2).unwrap();
    AudioSpec {
        source: source(),
        identity: "identity".to_owned(),
        folder: spec.folder.clone(),
        rendition: rendition.name.clone(),
        stream: 1,
        grid: spec.grid,
        segment_frames: spec.segment_frames,
        codec: AudioCodec::Aac,
        channels: rendition.channels,
        bitrate_kbps: rendition.bitrate_kbps,
        lead_ticks: 0,
    }
}
