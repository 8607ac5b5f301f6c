//! Two replicas that start at different times on one transport stream make the same segments: for the
//! rates that go wrong easily, across a wrap of the timestamps, on every ffmpeg at hand. And what
//! everybody tries first does not.
#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeMap, path::Path, time::Duration};

use bytes::Bytes;
use framemill_media::{
    Toolchain,
    boxes::read_segment,
    encode::Via,
    live::{
        LiveInput, LiveOutput, LiveRun, Tape, TsItem, TsReader, Wanted, distance, filler,
        ingest::{self, Opening, Patience, describe},
        run,
    },
};
use framemill_schemas::{
    failure::Failure,
    ladder::{AudioCodec, AudioRung, VideoCodec},
    live::{LiveClock, LiveSource, Timeline, WRAP_TICKS},
    rate::{Ratio, timescale_for},
    spec::{RateControl, RungSpec},
};
use support::{
    ffmpeg,
    source::{HEIGHT, WIDTH, numbered, numbers},
    toolchains,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Seconds of a source.
const SECONDS: u32 = 14;
/// 2026, in seconds since the Unix epoch.
const NOW_S: u64 = 1_795_000_000;

/// A transport stream whose pictures are numbered, with a tone; its first picture is shown at `start`.
fn stream(rate: &str, frames: u32, start: u64, folder: &Path) -> Vec<u8> {
    let path = folder.join("source.ts");
    let offset = format!("{}.{:06}", start / 90_000, start % 90_000 * 100 / 9);
    let status = ffmpeg()
        .args(["-f", "lavfi", "-i", &numbered(rate), "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
        .args(["-frames:v", &frames.to_string(), "-t", &SECONDS.to_string()])
        .args("-pix_fmt yuv420p -c:v libx264 -preset ultrafast -qp 16 -g 37 -bf 2 -c:a aac -b:a 64k".split(' '))
        .args(["-muxdelay", "0", "-muxpreload", "0", "-output_ts_offset", &offset, "-f", "mpegts"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(path).unwrap()
}

/// Everything of a stream.
fn taped(bytes: &[u8]) -> Tape {
    let (mut reader, mut tape, mut items) = (TsReader::default(), Tape::default(), Vec::new());
    reader.push(bytes, &mut items);
    for item in items {
        match item {
            TsItem::Tables(tables) => tape.retable(tables),
            TsItem::Span(span) => assert!(!tape.push(span), "the timestamps do not jump"),
        }
    }
    tape
}

async fn timeline(tools: &Toolchain, tape: &Tape, rate: Ratio) -> Timeline {
    let (reel, first) = tape.oldest_entry().unwrap();
    let (spans, _) = tape.read(reel, 2_000_000).unwrap();
    let packets = [vec![tape.tables()], spans].concat();
    let pictures = (tape.pictures_from(reel), 0, distance(first, tape.last().unwrap().pts));
    let format = describe(tools, packets, pictures, &CancellationToken::new()).await.unwrap();
    assert_eq!((format.rate, format.width, format.height), (rate, WIDTH, HEIGHT));
    assert_eq!(format.sound.as_deref(), Some("aac"));
    let gop_frames = (u64::from(rate.num) / u64::from(rate.den)) as u32 + 1;
    let segment_frames = gop_frames * 2;
    let number = NOW_S / 2;
    let first_frame = number * u64::from(segment_frames);
    let rung = |name: &str, width, height| RungSpec {
        name: name.to_owned(),
        width,
        height,
        rate_control: RateControl::Quality { quality: 18, maxrate_kbps: None },
        preset: "ultrafast".to_owned(),
        nvenc: None,
    };
    Timeline {
        id: 1,
        random: "00c0ffee".to_owned(),
        first: number,
        first_frame,
        edition: 1,
        source: 0,
        origin: LiveSource::parse("udp://239.0.0.1:5000", false).unwrap(),
        // The first picture lies a little before a boundary.
        clock: LiveClock { rate, pts: first, frame: first_frame - 7 },
        owner: None,
        format,
        gop_frames,
        segment_frames,
        timescale: timescale_for(rate),
        threads: 1,
        codec: VideoCodec::H264,
        nvenc: None,
        rungs: vec![rung("large", WIDTH, HEIGHT), rung("small", WIDTH / 2, HEIGHT / 2)],
        audio: vec![AudioRung { name: "stereo".to_owned(), codec: AudioCodec::Aac, channels: 2, bitrate_kbps: 64 }],
        made_ms: 0,
    }
}

/// What one replica made: the init and the segments of each rendition.
#[derive(Default)]
struct Made {
    inits: BTreeMap<usize, Bytes>,
    segments: BTreeMap<usize, BTreeMap<u64, Bytes>>,
}

/// A replica that joins at number `first`.
async fn replica(tools: &Toolchain, timeline: &Timeline, tape: &Tape, first: u64) -> Made {
    let start = timeline.clock.pts_of(timeline.frames_of(first).start.cast_signed());
    let reel = tape.entry_before(start).expect("the stream reaches back so far");
    let (spans, _) = tape.read(reel, usize::MAX).unwrap();
    let (packets, input) = mpsc::channel(4);
    let feed = async move {
        packets.send(tape.tables()).await.unwrap();
        for span in spans {
            packets.send(span).await.unwrap();
        }
    };
    let (pieces, mut cut) = mpsc::channel(4);
    let (signals, _unheard) = mpsc::channel(64);
    let (_wanted, all) = watch::channel(Wanted { now: 0, until: u64::MAX });
    let what = LiveRun { timeline, first, via: Via::Processor, silence: &[], stall: Duration::from_secs(30) };
    let cancel = CancellationToken::new();
    let output = LiveOutput { pieces, signals };
    let encode = run(tools, what, LiveInput::Stream(input), output, all, &cancel);
    let collect = async {
        let mut made = Made::default();
        while let Some(piece) = cut.recv().await {
            match piece.what {
                Err(init) => drop(made.inits.insert(piece.track, init)),
                Ok(segment) => {
                    drop(made.segments.entry(piece.track).or_default().insert(segment.number, segment.bytes))
                }
            }
        }
        made
    };
    let (encoded, (), made) = tokio::join!(encode, feed, collect);
    // The end of the stream cuts a group short, which a channel's never does.
    if let Err(failure) = encoded {
        assert_eq!(failure.code, "encoder-off-plan", "{failure:?}");
    }
    made
}

/// What must be the same of two copies of a segment.
fn facts(bytes: &Bytes) -> (u64, u64, u64, bool, usize) {
    let facts = read_segment(bytes).unwrap();
    (facts.start_ticks, facts.duration_ticks, facts.samples, facts.first_is_sync, facts.keyframes.len())
}

/// Joins the segments of two replicas in turn, where both have one.
fn in_turn(a: &Made, b: &Made, track: usize) -> (Vec<u8>, u64) {
    let (a_segments, b_segments) = (&a.segments[&track], &b.segments[&track]);
    let mut joined = a.inits[&track].to_vec();
    let mut count = 0;
    for (number, segment) in a_segments {
        let bytes = match b_segments.get(number) {
            Some(other) if number % 2 == 0 => other,
            _ => segment,
        };
        joined.extend_from_slice(bytes);
        count += 1;
    }
    (joined, count)
}

async fn align(tools: &Toolchain, rate: &str, start: u64) {
    let folder = tempfile::tempdir().unwrap();
    let rate = Ratio::parse(rate).unwrap();
    let frames = SECONDS * rate.num / rate.den;
    let tape = taped(&stream(&rate.to_string(), frames, start, folder.path()));
    let timeline = timeline(tools, &tape, rate).await;
    let a = replica(tools, &timeline, &tape, timeline.first).await;
    let b = replica(tools, &timeline, &tape, timeline.first + 2).await;
    assert_eq!(a.inits, b.inits, "{rate}");
    for (track, segments) in &b.segments {
        assert!(segments.len() >= 2, "{rate}: track {track} has {} segments", segments.len());
        for (number, segment) in segments {
            let Some(other) = a.segments[track].get(number) else { continue };
            assert_eq!(facts(segment), facts(other), "{rate}: track {track}, number {number}");
        }
    }
    let expected = |number: u64| {
        let (frames, ticks) = (u64::from(timeline.segment_frames), timeline.picture_ticks(number));
        (ticks.start, ticks.end - ticks.start, frames, true, 2)
    };
    for (number, segment) in &a.segments[&0] {
        assert_eq!(facts(segment), expected(*number), "{rate}: number {number}");
    }
    for track in [0, 1] {
        let (joined, count) = in_turn(&a, &b, track);
        let shown = numbers(&joined, folder.path());
        let wanted: Vec<u32> = (7..7 + (count * u64::from(timeline.segment_frames)) as u32).collect();
        assert_eq!(shown, wanted, "{rate}: track {track} on {}", tools.version());
    }
    let (sound, count) = in_turn(&a, &b, 2);
    let first = timeline.sound_frames(timeline.first).start;
    let last = timeline.sound_frames(timeline.first + count - 1).end;
    assert_eq!(support::decoded_samples(&sound, folder.path()), (last - first) * 1024, "{rate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_different_times_make_the_same_segments() {
    for tools in toolchains().await {
        for rate in ["25/1", "30000/1001", "50/1", "60000/1001"] {
            align(&tools, rate, 700_000).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrap_of_the_timestamps_is_not_seen() {
    for tools in toolchains().await {
        align(&tools, "25/1", WRAP_TICKS - 5 * 90_000).await;
    }
}

/// As a file that is played round and round: the sound of each round begins a little before that of the last ends.
#[tokio::test(flavor = "multi_thread")]
async fn sound_whose_timestamps_step_back_a_little_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let rate = Ratio::parse("25/1").unwrap();
    let round = |start: u32| stream("25/1", SECONDS * 25, 700_000 + u64::from(start * 90_000), folder.path());
    let tape = taped(&[round(0), round(SECONDS)].concat());
    for tools in toolchains().await {
        let timeline = timeline(&tools, &tape, rate).await;
        let made = replica(&tools, &timeline, &tape, timeline.first).await;
        let segments = &made.segments[&2];
        assert!(segments.len() as u32 >= SECONDS * 2 / 2 - 2, "{} numbers of sound", segments.len());
        for (number, segment) in segments {
            let alone = [&made.inits[&2][..], segment].concat();
            let loud = support::loudest(&alone, folder.path());
            assert!(loud > 1000, "number {number} is silent on {}: {loud}", tools.version());
        }
    }
}

/// The negative control: keyframes forced by the time since each encoder's own start.
#[tokio::test(flavor = "multi_thread")]
async fn keyframes_by_the_usual_expression_do_not_align() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = stream("25/1", SECONDS * 25, 700_000, folder.path());
    let tape = taped(&bytes);
    let (oldest, _) = tape.oldest_entry().unwrap();
    let later = tape.entry_before(700_000 + 4 * 90_000).unwrap();
    assert_ne!(oldest, later);
    let mut starts = Vec::new();
    for (index, reel) in [oldest, later].into_iter().enumerate() {
        let (spans, _) = tape.read(reel, usize::MAX).unwrap();
        let (from, to) = (folder.path().join(format!("{index}.ts")), folder.path().join(format!("{index}.mp4")));
        std::fs::write(&from, [vec![tape.tables()], spans].concat().concat()).unwrap();
        let status = ffmpeg()
            .args(["-copyts", "-i"])
            .arg(&from)
            .args("-an -c:v libx264 -preset ultrafast -force_key_frames expr:gte(t,n_forced*2) -g 1000".split(' '))
            .args("-movflags +cmaf+frag_keyframe+empty_moov+default_base_moof+frag_discont -use_editlist 0".split(' '))
            .args(["-avoid_negative_ts", "disabled", "-video_track_timescale", "90000"])
            .arg(&to)
            .status()
            .unwrap();
        assert!(status.success());
        starts.push(support::fragment_starts(&std::fs::read(&to).unwrap()));
    }
    let common = starts[1].iter().filter(|start| starts[0].contains(start)).count();
    assert!(starts[1].len() >= 3 && common < starts[1].len(), "{starts:?}");
    assert_eq!(common, 0, "{starts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn filler_takes_the_place_of_any_number() {
    let folder = tempfile::tempdir().unwrap();
    for tools in toolchains().await {
        let tape = taped(&stream("30000/1001", 420, 700_000, folder.path()));
        let timeline = timeline(&tools, &tape, Ratio::parse("30000/1001").unwrap()).await;
        let filler = filler(&tools, &timeline, &CancellationToken::new()).await.unwrap();
        for track in 0..3 {
            let mut joined = filler.inits[track].to_vec();
            for number in timeline.first + 11..timeline.first + 15 {
                let segment = filler.segment(&timeline, track, number).unwrap();
                let (start, duration, samples, sync, _) = facts(&segment);
                let (ticks, wanted) = if track < 2 {
                    (timeline.picture_ticks(number), u64::from(timeline.segment_frames))
                } else {
                    let frames = timeline.sound_frames(number);
                    (frames.start * 1024..frames.end * 1024, frames.end - frames.start)
                };
                assert_eq!((start, start + duration, samples, sync), (ticks.start, ticks.end, wanted, true));
                joined.extend_from_slice(&segment);
            }
            support::decodes(&joined, folder.path());
        }
    }
}

/// What comes of a listener for RTMP that waits for `key`, when somebody pushes under `other`.
async fn pushed(tools: &Toolchain, key: &str, other: &str, folder: &Path) -> (Result<(), Failure>, usize) {
    let source = folder.join("source.ts");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let opening = Opening::Streams {
        url: format!("rtmp://127.0.0.1:{port}/live/{key}"),
        protocols: "rtmp,tcp",
        format: "flv,live_flv",
        options: ["-listen", "1"].map(str::to_owned).into(),
        secret: Some(key.to_owned()),
    };
    let (bytes, mut came) = mpsc::channel(4);
    let cancel = CancellationToken::new();
    let patience = Patience { call: Some(Duration::from_secs(60)), stall: Duration::from_secs(10) };
    let listening = ingest::ingest(tools, &opening, bytes, patience, &cancel);
    let pushing = async {
        let to = format!("rtmp://127.0.0.1:{port}/live/{other}");
        // Refused until the listener is there.
        for _ in 0..100 {
            let mut push = tokio::process::Command::from(ffmpeg());
            push.args(["-i", source.to_str().unwrap(), "-c", "copy", "-f", "flv", &to]).kill_on_drop(true);
            push.stderr(std::process::Stdio::null());
            if push.status().await.unwrap().success() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let counting = async {
        let mut count = 0;
        while let Some(chunk) = came.recv().await {
            count += chunk.len();
        }
        count
    };
    let listened = async { tokio::join!(listening, counting) };
    tokio::select! {
        done = listened => done,
        () = async { pushing.await; std::future::pending::<()>().await } => unreachable!("it waits for ever"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_key_is_asked_for_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    stream("25/1", 50, 0, folder.path());
    for tools in toolchains().await {
        let (done, bytes) = pushed(&tools, "the-right-key", "the-right-key", folder.path()).await;
        assert!(done.is_ok() && bytes > 10_000, "{done:?} {bytes}");
        let (done, _) = pushed(&tools, "the-right-key", "a-wrong-key", folder.path()).await;
        let failure = done.unwrap_err();
        assert_eq!(failure.code, "source-wrong-key");
        assert!(!format!("{failure:?}").contains("the-right-key"), "{failure:?}");
    }
}
