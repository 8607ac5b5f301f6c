//! The cutters, on what ffmpeg writes and on what it never would.

use std::sync::OnceLock;

use framemill_schemas::{
    ladder::{AudioCodec, VideoCodec},
    rate::{FrameGrid, Ratio},
    source::Source,
    spec::{AudioSpec, TranscodeSpec},
};
use proptest::prelude::*;

use super::*;
use crate::boxes::{read_init, read_segment};
use crate::encode::CutSegment;

const RATE: Ratio = Ratio { num: 25, den: 1 };

fn grid(frames: u64) -> FrameGrid {
    FrameGrid { rate: RATE, frames, origin_ticks: 0, time_base: Ratio { num: 1, den: 12_800 } }
}

fn video_spec() -> TranscodeSpec {
    TranscodeSpec {
        source: Source::Path("/x".into()),
        identity: String::new(),
        folder: String::new(),
        stream: 0,
        grid: grid(55),
        start_frame: 20,
        end_frame: 55,
        seek: Vec::new(),
        deinterlace: false,
        gop_frames: 10,
        segment_frames: 20,
        timescale: 90_000,
        threads: 1,
        nvenc: None,
        codec: VideoCodec::H264,
        rungs: Vec::new(),
    }
}

fn audio_spec() -> AudioSpec {
    AudioSpec {
        source: Source::Path("/x".into()),
        identity: String::new(),
        folder: String::new(),
        rendition: String::new(),
        stream: 1,
        grid: grid(55),
        segment_frames: 20,
        codec: AudioCodec::Aac,
        channels: 2,
        bitrate_kbps: 64,
        lead_ticks: 0,
    }
}

/// What ffmpeg writes for these plans, made once.
fn streams() -> &'static (Vec<u8>, Vec<u8>) {
    static STREAMS: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    STREAMS.get_or_init(|| {
        let program = std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").unwrap_or_else(|| "ffmpeg".into());
        let make = |input: &str, options: &str| {
            let mut command = std::process::Command::new(&program);
            command.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", input]).args(options.split(' '));
            command.args(["-use_editlist", "0", "-avoid_negative_ts", "disabled", "-f", "mp4", "-movflags"]);
            command.args(["+cmaf+frag_keyframe+empty_moov+default_base_moof+frag_discont+negative_cts_offsets", "-"]);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        (
            make(
                "testsrc2=s=64x64:r=25",
                "-vf trim=start_pts=20:end_pts=55 -fps_mode passthrough -copyts -c:v libx264 -preset ultrafast -bf 2 -g 10 \
                 -keyint_min 10 -sc_threshold 0 -flags +cgop -video_track_timescale 90000",
            ),
            make("sine=r=48000:d=2.2", "-ac 2 -c:a aac -b:a 64k -frag_duration 500000"),
        )
    })
}

fn cut(cutter: &mut impl Cutter, bytes: &[u8], step: usize) -> Result<Vec<Piece>, CutError> {
    let mut pieces = Vec::new();
    for part in bytes.chunks(step.max(1)) {
        cutter.push(part, &mut pieces)?;
    }
    Ok(pieces)
}

fn segments(pieces: &[Piece]) -> Vec<&CutSegment> {
    pieces.iter().filter_map(|piece| if let Piece::Segment(segment) = piece { Some(segment) } else { None }).collect()
}

fn offset_of(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).unwrap()
}

#[test]
fn pictures_are_cut_on_the_grid() {
    let spec = video_spec();
    let mut cutter = VideoCutter::new(&spec, 20);
    let pieces = cut(&mut cutter, &streams().0, 1000).unwrap();
    assert_eq!(cutter.reached(), Reached { done: 35, planned: 35 });
    let Piece::Init(init) = &pieces[0] else { panic!("the init comes first") };
    assert_eq!(read_init(init).unwrap().timescale, 90_000);
    let segments = segments(&pieces);
    let facts: Vec<_> = segments.iter().map(|s| (s.number, s.start_ticks, s.duration_ticks, s.samples)).collect();
    assert_eq!(facts, [(2, 72_000, 72_000, 20), (3, 144_000, 54_000, 15)]);
    for (segment, sequence) in segments.iter().zip([3, 5]) {
        let read = read_segment(&segment.bytes).unwrap();
        assert_eq!(read.sequence, sequence);
        assert_eq!(
            (read.start_ticks, read.duration_ticks, read.samples),
            (segment.start_ticks, segment.duration_ticks, segment.samples)
        );
        assert_eq!(read.keyframes, segment.keyframes);
        assert!(read.first_is_sync);
        assert_eq!(segment.keyframes.iter().map(|key| key.duration_ticks).sum::<u64>(), segment.duration_ticks);
        for key in &segment.keyframes {
            assert_eq!(&segment.bytes[key.offset as usize + 4..key.offset as usize + 8], b"moof");
        }
    }
}

#[test]
fn a_source_that_ends_early_is_short_and_not_off_plan() {
    let spec = TranscodeSpec { grid: grid(100), end_frame: 100, ..video_spec() };
    let mut cutter = VideoCutter::new(&spec, 20);
    let pieces = cut(&mut cutter, &streams().0, 4096).unwrap();
    assert_eq!(cutter.reached(), Reached { done: 35, planned: 80 });
    assert_eq!(segments(&pieces).len(), 1, "an unfinished segment is not handed out");
}

#[test]
fn what_is_not_on_the_grid_is_refused() {
    let bytes = &streams().0;
    for (spec, start) in [
        (TranscodeSpec { gop_frames: 5, segment_frames: 20, ..video_spec() }, 20),
        (TranscodeSpec { gop_frames: 20, segment_frames: 20, ..video_spec() }, 20),
        (TranscodeSpec { timescale: 12_800, ..video_spec() }, 20),
        (TranscodeSpec { end_frame: 40, ..video_spec() }, 20),
        (TranscodeSpec { start_frame: 0, ..video_spec() }, 0),
    ] {
        let mut cutter = VideoCutter::new(&spec, start);
        let error = cut(&mut cutter, bytes, 4096).unwrap_err();
        assert!(matches!(error, CutError::OffPlan(_)), "{error}");
    }
}

#[test]
fn sound_is_cut_by_start_time_without_its_priming() {
    let spec = audio_spec();
    let mut cutter = AudioCutter::new(&spec);
    let pieces = cut(&mut cutter, &streams().1, 700).unwrap();
    // 2.2 s are 105600 samples, 103.125 frames.
    assert_eq!(cutter.reached(), Reached { done: 104 * 1024, planned: 104 * 1024 });
    let segments = segments(&pieces);
    let facts: Vec<_> = segments.iter().map(|s| (s.number, s.start_ticks, s.samples)).collect();
    // 0.8 s are 37.5 frames: the first segment holds those that start before it ends.
    assert_eq!(facts, [(1, 0, 38), (2, 38 * 1024, 37), (3, 75 * 1024, 29)]);
    for (index, segment) in segments.iter().enumerate() {
        let read = read_segment(&segment.bytes).unwrap();
        assert_eq!(read.sequence as usize, index + 1);
        assert_eq!(
            (read.start_ticks, read.duration_ticks, read.samples),
            (segment.start_ticks, segment.samples * 1024, segment.samples)
        );
    }
    // Not a byte of a frame is lost or changed.
    let kept: usize = segments.iter().map(|s| s.bytes.len() - offset_of(&s.bytes, b"mdat") - 4).sum();
    let first = read_fragment_sizes(&streams().1);
    assert_eq!(kept, first.iter().skip(1).sum::<usize>());
}

/// Sizes of all frames in a stream of fragments, priming included.
fn read_fragment_sizes(bytes: &[u8]) -> Vec<usize> {
    let mut stream = stream::Stream::default();
    stream.push(bytes);
    let mut sizes = Vec::new();
    while let Some(part) = stream.next().unwrap() {
        if let stream::Part::Fragment(bytes) = part {
            let fragment = crate::boxes::read_fragment(&bytes).unwrap();
            sizes.extend(fragment.samples.iter().map(|sample| sample.bytes as usize));
        }
    }
    sizes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn how_a_pipe_delivers_changes_nothing(step in 1_usize..9000) {
        let (video, audio) = (video_spec(), audio_spec());
        let whole = cut(&mut VideoCutter::new(&video, 20), &streams().0, usize::MAX).unwrap();
        prop_assert_eq!(cut(&mut VideoCutter::new(&video, 20), &streams().0, step).unwrap(), whole);
        let whole = cut(&mut AudioCutter::new(&audio), &streams().1, usize::MAX).unwrap();
        prop_assert_eq!(cut(&mut AudioCutter::new(&audio), &streams().1, step).unwrap(), whole);
    }

    #[test]
    fn damaged_and_truncated_streams_never_panic(
        cut_at in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let (video, audio) = (video_spec(), audio_spec());
        for (index, bytes) in [&streams().0, &streams().1].into_iter().enumerate() {
            let mut bytes = bytes[..cut_at.index(bytes.len())].to_vec();
            for (at, value) in &damage {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = *value;
                }
            }
            // A truncated stream never reaches its plan; a damaged one may still be well-formed.
            let reached = if index == 0 {
                let mut cutter = VideoCutter::new(&video, 20);
                cut(&mut cutter, &bytes, 4096).map(|_| cutter.reached())
            } else {
                let mut cutter = AudioCutter::new(&audio);
                cut(&mut cutter, &bytes, 4096).map(|_| cutter.reached())
            };
            if let Ok(reached) = reached {
                prop_assert!(reached.done <= reached.planned);
            }
        }
    }
}
