//! Channels to test with.

use framemill_media::boxes::{InitFacts, TrackKind};
use framemill_schemas::{
    ids::JobId,
    ladder::{AudioCodec, AudioRung, Ladder, VideoCodec},
    live::{
        Access, COMMIT_VERSION, Commit, Committed, Edition, LiveClock, Observability, SourceFormat, TIMELINES_VERSION,
        Timeline, Timelines, TrackCommit, frame_at_ms,
    },
    rate::{Ratio, timescale_for},
    spec::{RateControl, RungSpec},
};
use uuid::Uuid;

use super::{
    chain::{Entry, Logged},
    facts::{Facts, needed},
    stage::Stage,
};

/// When the first number of every sample starts: a whole second.
pub const START_MS: i64 = 1_795_000_000_000;
/// The first number of every sample.
pub const FIRST: u64 = 448_750_000;

/// A timeline of four-second segments with two rungs and stereo sound, from a number on.
pub fn timeline(id: u32, first: u64) -> Timeline {
    timeline_at(id, first, (25, 1), 100)
}

/// The same at another rate.
pub fn timeline_at(id: u32, first: u64, rate: (u32, u32), segment_frames: u32) -> Timeline {
    let rate = Ratio::new(rate.0, rate.1).unwrap();
    let first_frame = frame_at_ms(START_MS, rate) + (first - FIRST) * u64::from(segment_frames);
    let rung = |name: &str, width, height, kbps| RungSpec {
        name: name.to_owned(),
        width,
        height,
        rate_control: RateControl::Average { bitrate_kbps: kbps, maxrate_kbps: kbps * 6 / 5 },
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
        origin: framemill_schemas::live::LiveSource::parse("udp://239.0.0.1:5000", false).expect("an address"),
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
        gop_frames: segment_frames / 2,
        segment_frames,
        timescale: timescale_for(rate),
        threads: 1,
        codec: VideoCodec::H264,
        nvenc: None,
        rungs: vec![rung("360p", 640, 360, 1000), rung("180p", 320, 180, 400)],
        audio: vec![AudioRung { name: "stereo".to_owned(), codec: AudioCodec::Aac, channels: 2, bitrate_kbps: 128 }],
        made_ms: START_MS,
    }
}

/// The record of some timelines.
pub fn timelines(all: Vec<Timeline>) -> Timelines {
    Timelines { v: TIMELINES_VERSION, all, ..Timelines::default() }
}

/// What a letter stands for: `s` a segment, `i` a segment with another init, `f` filler, `-` a gap.
pub fn commit(timeline: u32, number: u64, letter: char) -> Commit {
    let (by, node) = (JobId::new(Uuid::from_u128(1)), "node-1".parse().unwrap());
    let track = |name: &str| TrackCommit {
        init: format!("{name:0>15}{}", if letter == 'i' { 'b' } else { 'a' }),
        bytes: 500_000 + number % 7,
        digest: format!("{number:064x}"),
        by,
    };
    let tracks = ["1", "2", "3"].map(track).to_vec();
    let what = match letter {
        'f' => Committed::Filler { by, node, tracks },
        '-' => Committed::Gap { why: "nobody made it in time".to_owned() },
        _ => Committed::Segment { by, node, tracks, flaws: Vec::new() },
    };
    let at_ms = START_MS + i64::try_from(number - FIRST + 1).unwrap() * 4000;
    Commit { v: COMMIT_VERSION, timeline, number, what, at_ms }
}

/// Consecutive commits from a number on, a letter each; a space is a number that nobody committed.
pub fn commits(timeline: u32, first: u64, letters: &str) -> Vec<Logged> {
    let numbered = letters.chars().zip(first..).filter(|(letter, _)| *letter != ' ');
    numbered
        .map(|(letter, number)| Logged { commit: commit(timeline, number, letter), revision: number - FIRST + 1000 })
        .collect()
}

/// A stage of one timeline with commits from its first number on.
pub fn stage(letters: &str) -> Stage {
    let mut stage = Stage::new(timelines(vec![timeline(1, FIRST)]), Vec::new());
    stage.commit(commits(1, FIRST, letters));
    stage
}

/// What the inits of a sample's renditions say.
pub fn facts() -> [InitFacts; 3] {
    let picture = |codecs: &str, width, height| InitFacts {
        timescale: 90_000,
        codecs: codecs.to_owned(),
        kind: TrackKind::Video { width, height },
    };
    let sound = InitFacts {
        timescale: 48_000,
        codecs: "mp4a.40.2".to_owned(),
        kind: TrackKind::Audio { rate: 48_000, channels: 2 },
    };
    [picture("avc1.64001e", 640, 360), picture("avc1.64000d", 320, 180), sound]
}

/// What the inits of these entries say.
pub fn facts_of(entries: &[Entry]) -> Facts {
    let of = |key: &String| match key.split('/').nth(1) {
        Some("360p") => 0,
        Some("180p") => 1,
        _ => 2,
    };
    needed(entries).into_iter().map(|key| (key.clone(), facts()[of(&key)].clone())).collect()
}

/// An edition with such a window and such a time shift, in seconds.
pub fn edition(window_s: u32, timeshift_s: u32) -> Edition {
    let text = "{name: l, gop_s: 2, segment_s: 4, video: [{name: v, codec: h264, height: 360, quality: 23}]}";
    Edition {
        number: 1,
        sources: Vec::new(),
        ladder: Ladder::from_yaml(text).unwrap(),
        redundancy: 2,
        segment_ms: 4000,
        window_s,
        timeshift_s,
        return_after_s: 30,
        access: Access::default(),
        observability: Observability::default(),
    }
}
