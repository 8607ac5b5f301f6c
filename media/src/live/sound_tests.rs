use framemill_schemas::live::{Timeline, Timelines};

use super::*;

/// 29.97 frames a second: no segment but one in sixteen starts with a frame of sound.
fn timeline() -> Timeline {
    let text = include_str!("sound_timeline.json");
    let timelines: Timelines = serde_json::from_str(text).unwrap();
    timelines.last().unwrap().clone()
}

fn samples_of(bytes: &Bytes) -> (i64, usize, u8) {
    let fragment = read_fragment(bytes).unwrap();
    let last = fragment.samples.last().unwrap();
    (fragment.start_ticks, fragment.samples.len(), bytes[last.offset])
}

/// What an encoder makes of `count` frames of sound from `lead` frames before number `first`.
fn encoded(timeline: &Timeline, first: u64, count: u64) -> Bytes {
    let frame = AAC_FRAME_SAMPLES;
    let start = (timeline.sound_frames(first).start - LEAD_FRAMES) * frame;
    let local = start.wrapping_sub(origin(timeline, first));
    let sizes = vec![1; count as usize];
    sound_fragment(1, local, &sizes, &vec![7; count as usize]).unwrap().freeze()
}

fn cut(cutter: &mut SoundCutter<'_>, fragment: &Bytes) -> Vec<Piece> {
    let mut pieces = Vec::new();
    cutter.take(fragment).unwrap();
    cutter.emit(None, &mut pieces).unwrap();
    pieces
}

#[test]
fn frames_are_grouped_by_the_number_they_start_in() {
    let timeline = timeline();
    let first = timeline.first + 5;
    let mut cutter = SoundCutter::new(&timeline, first);
    let long = timeline.sound_frames(first + 1).end - timeline.sound_frames(first).start;
    let pieces = cut(&mut cutter, &encoded(&timeline, first, long + LEAD_FRAMES));
    let found: Vec<_> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Segment { number, bytes } => (*number, samples_of(bytes)),
            Piece::Init(_) => panic!("no init was given"),
        })
        .collect();
    let expected = |number| {
        let frames = timeline.sound_frames(number);
        (number, ((frames.start * AAC_FRAME_SAMPLES).cast_signed(), (frames.end - frames.start) as usize, 7))
    };
    assert_eq!(found, [expected(first), expected(first + 1)]);
}

#[test]
fn silence_stands_for_what_did_not_come_and_what_comes_late_is_dropped() {
    let timeline = timeline();
    let first = timeline.first;
    let mut cutter = SoundCutter::new(&timeline, first);
    let some = encoded(&timeline, first, 10);
    assert!(cut(&mut cutter, &some).is_empty());
    let mut pieces = Vec::new();
    cutter.fill(first + 1, &Bytes::from_static(&[9]), &mut pieces).unwrap();
    let numbers: Vec<_> = pieces
        .iter()
        .map(|piece| matches!(piece, Piece::Segment { number, bytes } if samples_of(bytes).2 == 9 && *number >= first))
        .collect();
    assert_eq!(numbers, [true, true]);
    assert!(cut(&mut cutter, &some).is_empty());
    assert!(cutter.frames.is_empty(), "of numbers that are done nothing is kept");
}

#[test]
fn sound_off_its_grid_is_refused() {
    let timeline = timeline();
    let mut cutter = SoundCutter::new(&timeline, timeline.first);
    let local =
        1 + (timeline.sound_frames(timeline.first).start * AAC_FRAME_SAMPLES) - origin(&timeline, timeline.first);
    assert!(cutter.take(&sound_fragment(1, local, &[1], &[1]).unwrap().freeze()).is_err());
}

#[test]
fn sound_that_jumped_ahead_does_not_leave_the_pictures_behind() {
    let timeline = timeline();
    let first = timeline.first;
    let mut cutter = SoundCutter::new(&timeline, first);
    let long = timeline.sound_frames(first + 5).end - timeline.sound_frames(first).start;
    let ahead = encoded(&timeline, first, long + LEAD_FRAMES);
    assert_eq!(cut(&mut cutter, &ahead).len(), 2, "this number and the next");
    let mut pieces = Vec::new();
    cutter.allow(first + 3, &mut pieces).unwrap();
    assert_eq!(pieces.len(), 2);
    cutter.allow(first, &mut pieces).unwrap();
    assert_eq!(pieces.len(), 2, "it only rises");
}
