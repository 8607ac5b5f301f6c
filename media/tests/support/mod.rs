//! What the tests of this crate share: generated sources whose pictures carry their own number, a
//! small HTTP server with ranges (sources are only ever read through one), and reading back.
#![allow(dead_code)]

pub mod serve;
pub mod source;

use std::{path::PathBuf, process::Command};

use bytes::Bytes;
use framemill_media::{Cut, CutSegment, FfmpegConfig, Piece, Toolchain, encode};
use framemill_schemas::{
    failure::Failure,
    ladder::VideoCodec,
    probe::{Probe, Seek},
    rate::timescale_for,
    source::Source,
    spec::{RateControl, RungSpec, TranscodeSpec},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// The ffmpegs the tests run on: the one at hand, and a newer one where the environment names it.
pub async fn toolchains() -> Vec<Toolchain> {
    let at_hand = FfmpegConfig {
        ffmpeg: std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").map(PathBuf::from),
        ffprobe: std::env::var_os("FRAMEMILL_FFMPEG__FFPROBE").map(PathBuf::from),
        ..FfmpegConfig::default()
    };
    let mut found = vec![Toolchain::find(&at_hand).await.unwrap()];
    if let Some(newer) = std::env::var_os("FRAMEMILL_TEST_FFMPEG_NEW") {
        let config = FfmpegConfig { ffmpeg: Some(newer.into()), ..at_hand };
        found.push(Toolchain::find(&config).await.unwrap());
    }
    found
}

/// The ffmpeg that makes sources and reads results back.
pub fn ffmpeg() -> Command {
    let program = std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").unwrap_or_else(|| "ffmpeg".into());
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-nostdin", "-v", "error", "-y"]);
    command
}

/// A plan for a probed source: segments of about `segment_ms`, two groups of pictures each.
pub fn plan(probe: &Probe, codec: VideoCodec, gop_frames: u32, rungs: &[(u32, u32)]) -> TranscodeSpec {
    let rung = |(index, (width, height)): (usize, &(u32, u32))| RungSpec {
        name: format!("r{index}"),
        width: *width,
        height: *height,
        rate_control: RateControl::Quality { quality: 20, maxrate_kbps: None },
        preset: if codec == VideoCodec::Av1 { "12".to_owned() } else { "ultrafast".to_owned() },
        nvenc: None,
    };
    TranscodeSpec {
        source: Source::Path("/unused".into()),
        identity: probe.identity.clone(),
        folder: "f".to_owned(),
        stream: probe.video.stream,
        grid: probe.video.grid,
        start_frame: 0,
        end_frame: probe.video.grid.frames,
        seek: match &probe.video.seek {
            Seek::Points(points) => points.clone(),
            Seek::FromStart => Vec::new(),
        },
        deinterlace: probe.video.interlaced,
        gop_frames,
        segment_frames: gop_frames * 2,
        timescale: timescale_for(probe.video.grid.rate),
        threads: 1,
        nvenc: None,
        codec,
        rungs: rungs.iter().enumerate().map(rung).collect(),
    }
}

/// The plan in chunks of `segments` segments.
pub fn chunks(whole: &TranscodeSpec, segments: u64) -> Vec<TranscodeSpec> {
    let frames = u64::from(whole.segment_frames) * segments;
    (0..whole.grid.frames)
        .step_by(frames as usize)
        .map(|start| TranscodeSpec {
            start_frame: start,
            end_frame: (start + frames).min(whole.grid.frames),
            ..whole.clone()
        })
        .collect()
}

/// What came out of a run, by rendition.
#[derive(Debug, Default, Clone)]
pub struct Output {
    pub init: Vec<Bytes>,
    pub segments: Vec<CutSegment>,
}

impl Output {
    pub fn joined(&self) -> Vec<u8> {
        let segments = self.segments.iter().map(|segment| &segment.bytes);
        self.init.first().into_iter().chain(segments).flat_map(|bytes| bytes.to_vec()).collect()
    }
}

/// Takes pieces until the run is over.
pub async fn collect(mut pieces: mpsc::Receiver<Cut>, renditions: usize) -> Vec<Output> {
    let mut outputs = vec![Output::default(); renditions];
    while let Some(Cut { rendition, piece }) = pieces.recv().await {
        match piece {
            Piece::Init(init) => outputs[rendition].init.push(init),
            Piece::Segment(segment) => outputs[rendition].segments.push(segment),
        }
    }
    outputs
}

/// Makes a source with these arguments of ffmpeg, which end before the output.
pub fn make(arguments: &str, into: &std::path::Path) {
    let status = ffmpeg().args(arguments.split_whitespace()).arg(into).status().unwrap();
    assert!(status.success(), "{arguments}");
}

/// Serves a body and probes it.
pub async fn probe(tools: &Toolchain, body: Vec<u8>) -> (serve::Server, Result<Probe, Failure>) {
    let bytes = body.len() as u64;
    let server = serve::serve(body).await;
    let found = framemill_media::probe::probe(tools, &server.url, "id", bytes, &CancellationToken::new()).await;
    (server, found)
}

/// Runs one chunk.
pub async fn transcode(tools: &Toolchain, spec: &TranscodeSpec, url: &str) -> Result<Vec<Output>, Failure> {
    let (sender, receiver) = mpsc::channel(4);
    let (progress, _) = watch::channel(0);
    let cancel = CancellationToken::new();
    let begun = encode::Begun { spec, start_frame: spec.start_frame, url, via: encode::Via::Processor };
    let run = encode::transcode(tools, begun, sender, &progress, &cancel);
    let (done, outputs) = tokio::join!(run, collect(receiver, spec.rungs.len()));
    done.map(|()| outputs)
}

/// Writes a stream where ffmpeg can read it.
fn written(stream: &[u8], folder: &std::path::Path) -> PathBuf {
    let path = folder.join("joined.mp4");
    std::fs::write(&path, stream).unwrap();
    path
}

/// Decodes a stream strictly.
pub fn decodes(stream: &[u8], folder: &std::path::Path) {
    let path = written(stream, folder);
    let output = ffmpeg()
        .args(["-xerror", "-err_detect", "explode", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Decodes a stream of sound strictly; how many samples came out.
pub fn decoded_samples(stream: &[u8], folder: &std::path::Path) -> u64 {
    decoded(stream, folder).len() as u64
}

/// Decodes a stream of sound strictly; how far its loudest sample is from nought, of 32768.
pub fn loudest(stream: &[u8], folder: &std::path::Path) -> u16 {
    decoded(stream, folder).into_iter().map(i16::unsigned_abs).max().unwrap_or_default()
}

fn decoded(stream: &[u8], folder: &std::path::Path) -> Vec<i16> {
    let path = written(stream, folder);
    let output = ffmpeg()
        .args(["-xerror", "-err_detect", "explode", "-i"])
        .arg(path)
        .args("-map 0:a:0 -ac 1 -f s16le -".split(' '))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect()
}

/// When each fragment of a fragmented MP4 starts, in its own ticks.
pub fn fragment_starts(stream: &[u8]) -> Vec<u64> {
    let boxes = stream.windows(16).filter(|window| &window[..4] == b"tfdt" && window[4] == 1);
    boxes.map(|window| u64::from_be_bytes(window[8..16].try_into().unwrap())).collect()
}
