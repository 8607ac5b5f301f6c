//! The jobs of a title that is kept of a channel. Pure: everything follows from the asset's record, so that
//! no probe is asked, and any scheduler plans the same.

use std::collections::BTreeMap;

use framemill_schemas::{
    asset::AssetRecord,
    ids::JobId,
    job::JobKind,
    lane::Lane,
    live::Cut,
    object::generation_folder,
    probe::{AudioTrack, Probe, RateSource, Seek, VideoTrack},
    spec::{ArchiveSpec, AudioRendition, AudioSpec, JobSpec, RateControl, TranscodeSpec, VideoRendition},
};

use crate::plan::{Part, Plan};

/// Segments of a chunk: half of what one index holds.
const CHUNK_SEGMENTS: u64 = 30;

/// What a probe would say of it: as it was published.
pub fn probe(asset: &AssetRecord, cut: &Cut) -> Probe {
    let largest = cut.rungs.iter().max_by_key(|rung| rung.height);
    let track = |(rung, n): (&framemill_schemas::ladder::AudioRung, usize)| AudioTrack {
        stream: (cut.rungs.len() + n) as u32,
        codec: "aac".to_owned(),
        channels: rung.channels.into(),
        language: None,
        title: None,
        default: n == 0,
    };
    Probe {
        format: "channel".to_owned(),
        bytes: cut.bytes,
        identity: asset.source.to_string(),
        start_us: 0,
        video: VideoTrack {
            stream: 0,
            codec: cut.codec.as_str().to_owned(),
            pixels: String::new(),
            turned: false,
            width: largest.map_or(0, |rung| rung.width),
            height: largest.map_or(0, |rung| rung.height),
            interlaced: false,
            grid: cut.grid(),
            rate_source: RateSource::Base,
            seek: Seek::FromStart,
        },
        audio: cut.audio.iter().zip(0..).map(track).collect(),
    }
}

/// Plans an asset that is kept of a channel.
pub fn plan(asset: &AssetRecord, cut: &Cut) -> Plan {
    let folder = generation_folder(&asset.tenant, asset.id, &asset.generation);
    let lane = Lane::Plain { kind: JobKind::Package, priority: asset.priority };
    let derive = |unit: &str| JobId::derive(asset.id, asset.generation.number, unit, 0);
    let mut parts = BTreeMap::new();
    let mut chunks = Vec::new();
    let segments = cut.segments();
    let count = segments.div_ceil(CHUNK_SEGMENTS).max(1);
    for index in 0..count {
        // As even as they can be.
        let (from, to) = (segments * index / count, segments * (index + 1) / count);
        let unit = format!("archive/{}/{index:04}", cut.codec.as_str());
        chunks.push(derive(&unit));
        let spec = JobSpec::Archive(ArchiveSpec {
            stretches: cut.slice(from, to),
            inits: cut.inits.iter().take(cut.rungs.len()).cloned().collect(),
            track: 0,
            of: Box::new(JobSpec::Transcode(pictures(asset, cut, &folder, from, to))),
        });
        parts.insert(unit, Part { spec, lane });
    }
    let video = cut.rungs.iter().map(|rung| VideoRendition {
        name: rung.name.clone(),
        codec: cut.codec,
        width: rung.width,
        height: rung.height,
        bitrate_kbps: match rung.rate_control {
            RateControl::Average { bitrate_kbps, .. } => Some(bitrate_kbps),
            RateControl::Quality { .. } => None,
        },
        parts: chunks.clone(),
    });
    let video = video.collect();
    let mut audio = Vec::new();
    for (rung, n) in cut.audio.iter().zip(cut.rungs.len()..) {
        let unit = format!("archive/sound/{}", rung.name);
        let spec = JobSpec::Archive(ArchiveSpec {
            stretches: cut.stretches.clone(),
            inits: cut.inits.iter().skip(n).take(1).cloned().collect(),
            track: n as u32,
            of: Box::new(JobSpec::Audio(AudioSpec {
                source: asset.source.clone(),
                identity: asset.source.to_string(),
                folder: folder.clone(),
                rendition: rung.name.clone(),
                stream: n as u32,
                grid: cut.grid(),
                segment_frames: cut.segment_frames,
                codec: rung.codec,
                channels: rung.channels,
                bitrate_kbps: rung.bitrate_kbps,
                lead_ticks: cut.lead_ticks(),
            })),
        });
        audio.push(AudioRendition {
            name: rung.name.clone(),
            rung: rung.name.clone(),
            channels: rung.channels,
            bitrate_kbps: rung.bitrate_kbps,
            language: None,
            label: "Audio 1".to_owned(),
            default: true,
            part: derive(&unit),
        });
        parts.insert(unit, Part { spec, lane });
    }
    Plan {
        parts,
        video,
        audio,
        dropped: Vec::new(),
        gop_frames: cut.gop_frames,
        segment_frames: cut.segment_frames,
        timescale: cut.timescale,
        folder,
    }
}

/// What would encode segments `from..to`, counted from 0: what they are judged by.
fn pictures(asset: &AssetRecord, cut: &Cut, folder: &str, from: u64, to: u64) -> TranscodeSpec {
    let segment_frames = u64::from(cut.segment_frames);
    TranscodeSpec {
        source: asset.source.clone(),
        identity: asset.source.to_string(),
        folder: folder.to_owned(),
        stream: 0,
        grid: cut.grid(),
        start_frame: from * segment_frames,
        end_frame: to * segment_frames,
        seek: Vec::new(),
        deinterlace: false,
        gop_frames: cut.gop_frames,
        segment_frames: cut.segment_frames,
        timescale: cut.timescale,
        threads: 1,
        nvenc: None,
        codec: cut.codec,
        rungs: cut.rungs.clone(),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
