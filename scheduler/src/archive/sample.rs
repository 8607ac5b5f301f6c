//! A channel's past, for the tables of this folder.

use framemill_schemas::{
    ids::JobId,
    ladder::{AudioCodec, AudioRung, VideoCodec},
    live::{
        COMMIT_VERSION, Commit, Committed, LiveClock, LiveSource, SourceFormat, Timeline, TrackCommit, frame_at_ms,
    },
    rate::{Ratio, timescale_for},
    spec::{RateControl, RungSpec},
};
use uuid::Uuid;

/// When the first number starts.
pub const START_MS: i64 = 1_795_000_000_000;
/// The first number.
pub const FIRST: u64 = 1000;

/// A timeline of four-second segments from a number on.
pub fn timeline(id: u32, first: u64) -> Timeline {
    let rate = Ratio::new(25, 1).unwrap();
    let first_frame = frame_at_ms(START_MS, rate) + (first - FIRST) * 100;
    let rate_control = RateControl::Average { bitrate_kbps: 400, maxrate_kbps: 600 };
    let rung = |name: &str, width, height| RungSpec {
        name: name.to_owned(),
        width,
        height,
        rate_control,
        preset: "veryfast".to_owned(),
        nvenc: None,
    };
    Timeline {
        id,
        random: format!("0000000{id}"),
        first,
        first_frame,
        edition: 1,
        source: 0,
        origin: LiveSource::parse("udp://239.0.0.1:5000", false).unwrap(),
        clock: LiveClock { rate, pts: 0, frame: first_frame },
        owner: None,
        format: SourceFormat {
            codec: "h264".to_owned(),
            pixels: "yuv420p".to_owned(),
            width: 640,
            height: 360,
            rate,
            interlaced: false,
            sound: None,
        },
        gop_frames: 50,
        segment_frames: 100,
        timescale: timescale_for(rate),
        threads: 1,
        codec: VideoCodec::H264,
        nvenc: None,
        rungs: vec![rung("360p", 640, 360), rung("180p", 320, 180)],
        audio: vec![AudioRung { name: "stereo".to_owned(), codec: AudioCodec::Aac, channels: 2, bitrate_kbps: 128 }],
        made_ms: START_MS,
    }
}

/// What a letter stands for: `s` a segment, `i` a segment with another init, `f` filler, `-` a gap.
pub fn commit(timeline: u32, number: u64, letter: char) -> Commit {
    let (by, node) = (JobId::new(Uuid::from_u128(1)), "node-1".parse().unwrap());
    let track = |name: &str| TrackCommit {
        init: format!("{name:0>15}{}", if letter == 'i' { 'b' } else { 'a' }),
        bytes: 1000,
        digest: format!("{number:064x}"),
        by,
    };
    let tracks = ["1", "2", "3"].map(track).to_vec();
    let what = match letter {
        'f' => Committed::Filler { by, node, tracks },
        '-' => Committed::Gap { why: "nobody made it in time".to_owned() },
        _ => Committed::Segment { by, node, tracks, flaws: Vec::new() },
    };
    Commit { v: COMMIT_VERSION, timeline, number, what, at_ms: 0 }
}
