//! Sound starts and ends with the picture, wherever the source put it.
#![allow(clippy::unwrap_used)]

mod support;

use framemill_media::{
    boxes::{TrackKind, read_init, read_segment},
    decode::{Media, decode_strict},
    encode,
};
use framemill_schemas::{ladder::AudioCodec, probe::Probe, rate::frames_to_ticks, source::Source, spec::AudioSpec};
use support::{Output, collect, ffmpeg, make, probe, toolchains};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const FRAME: u64 = 1024;

/// A click of two milliseconds, two seconds into the sound.
const CLICK: &str = "aevalsrc=exprs=if(between(t\\,2\\,2.002)\\,0.9\\,0):s=44100";

fn spec(probe: &Probe, channels: u8) -> AudioSpec {
    AudioSpec {
        source: Source::Path("/unused".into()),
        identity: probe.identity.clone(),
        folder: "f".to_owned(),
        rendition: "a".to_owned(),
        stream: probe.audio[0].stream,
        grid: probe.video.grid,
        segment_frames: 50,
        codec: AudioCodec::Aac,
        channels,
        bitrate_kbps: 64,
        lead_ticks: 0,
    }
}

/// Where the click is, in samples of 48 kHz.
fn click(stream: &[u8]) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound.mp4");
    std::fs::write(&path, stream).unwrap();
    let output = ffmpeg().arg("-i").arg(&path).args(["-ac", "1", "-f", "s16le", "-"]).output().unwrap();
    let samples = output.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    samples.map(|sample| i32::from(sample).abs()).position(|level| level > 8000).expect("there is a click") as i64
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_is_where_the_picture_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    let picture = "-f lavfi -i testsrc2=s=96x64:r=25:d=5";
    let codecs = "-map 0:v -map 1:a -c:v libx264 -preset ultrafast -g 50 -pix_fmt yuv420p";
    // What the source is, how long its sound, and where its click is on the picture's line.
    for (name, arguments, clicks_at) in [
        ("aligned", format!("{picture} -f lavfi -i {CLICK}:d=5 {codecs} -c:a aac -f mp4"), 96_000),
        ("late", format!("{picture} -itsoffset 1 -f lavfi -i {CLICK}:d=4 {codecs} -c:a aac -f matroska"), 144_000),
        (
            "early",
            format!("-itsoffset 0.48 {picture} -f lavfi -i {CLICK}:d=5 {codecs} -c:a pcm_s16le -f matroska"),
            72_960,
        ),
        ("short", format!("{picture} -f lavfi -i {CLICK}:d=2.5 {codecs} -c:a aac -f mov"), 96_000),
        ("long", format!("{picture} -f lavfi -i {CLICK}:d=9 {codecs} -c:a aac -f mp4"), 96_000),
        (
            "transport",
            format!(
                "{picture} -f lavfi -i {CLICK}:d=5 {codecs} -c:a aac -output_ts_offset 10 -muxdelay 0 -muxpreload 0 -f mpegts"
            ),
            96_000,
        ),
    ] {
        make(&arguments, &path);
        for tools in toolchains().await {
            let (server, found) = probe(&tools, std::fs::read(&path).unwrap()).await;
            let spec = spec(&found.unwrap(), 2);
            let (sender, receiver) = mpsc::channel(2);
            let (progress, reached) = watch::channel(0);
            let cancel = CancellationToken::new();
            let run = encode::audio(&tools, &spec, &server.url, sender, &progress, &cancel);
            let (done, mut outputs) = tokio::join!(run, collect(receiver, 1));
            done.unwrap();
            let output = outputs.remove(0);
            let planned = check(&output, &spec);
            assert_eq!(*reached.borrow(), planned * FRAME, "{name}");
            let at = click(&output.joined());
            assert!(
                (at - clicks_at).abs() < FRAME as i64 / 2,
                "{name} on {}: a click at {at}, not {clicks_at}",
                tools.version()
            );
            let (sender, receiver) = mpsc::channel(1);
            let feed = async {
                sender.send(output.joined().into()).await.unwrap();
                drop(sender);
            };
            let (decoded, ()) = tokio::join!(decode_strict(&tools, Media::Audio, receiver, &cancel), feed);
            assert_eq!(decoded.unwrap().frames, planned, "{name}");
        }
    }
}

/// Segments cover the grid frame by frame, without a hole; answers how many frames there are.
fn check(output: &Output, spec: &AudioSpec) -> u64 {
    let init = read_init(&output.init[0]).unwrap();
    assert_eq!(init.codecs, "mp4a.40.2");
    assert_eq!(init.kind, TrackKind::Audio { rate: 48_000, channels: 2 });
    let planned = spec.grid.duration_ticks(48_000).div_ceil(FRAME);
    let mut next = 0;
    for (index, segment) in output.segments.iter().enumerate() {
        let facts = read_segment(&segment.bytes).unwrap();
        assert_eq!((facts.start_ticks, facts.samples), (segment.start_ticks, segment.samples));
        assert_eq!((segment.number, segment.start_ticks), (index as u64 + 1, next));
        let starts = frames_to_ticks(index as u64 * u64::from(spec.segment_frames), spec.grid.rate, 48_000);
        assert!((starts..starts + FRAME).contains(&segment.start_ticks), "segment {index} starts with its first frame");
        next += segment.duration_ticks;
    }
    assert_eq!(next, planned * FRAME);
    planned
}
