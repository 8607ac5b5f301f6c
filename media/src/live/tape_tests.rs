use super::*;

const FRAME: u64 = 3600;

/// The picture of frame `number` of a stream that starts shortly before the wrap.
fn span(number: u64, bytes: usize) -> Span {
    let dts = (WRAP_TICKS - 20 * FRAME + number * FRAME) % WRAP_TICKS;
    let picture = Picture { pts: (dts + FRAME) % WRAP_TICKS, dts, entry: number.is_multiple_of(10) };
    Span { bytes: Bytes::from(vec![number as u8; bytes]), picture: Some(picture) }
}

fn shown(number: u64) -> u64 {
    span(number, 0).picture.map(|picture| picture.pts).unwrap()
}

#[test]
fn a_run_starts_at_the_entry_before_its_first_frame() {
    let mut tape = Tape::default();
    (0..60).for_each(|number| assert!(!tape.push(span(number, 188))));
    for (wanted, entry) in [(0, Some(0)), (9, Some(0)), (10, Some(10)), (35, Some(30)), (59, Some(50))] {
        assert_eq!(tape.entry_before(shown(wanted)).map(|reel| reel.at), entry, "{wanted}");
    }
    assert_eq!(tape.entry_before(shown(0) - 1), None);
    for (wanted, entry) in [(0, 0), (1, 10), (50, 50), (51, 50)] {
        assert_eq!(tape.entry_since(shown(wanted)).map(|(reel, _)| reel.at), Some(entry), "{wanted}");
    }
    let reel = tape.entry_before(shown(35)).unwrap();
    let (spans, next) = tape.read(reel, 188 * 5).unwrap();
    assert_eq!((spans.len(), spans[0][0], next.at), (5, 30, 35));
    assert_eq!(tape.read(next, usize::MAX).unwrap().0.len(), 25);
}

#[test]
fn a_jump_begins_another_epoch_and_a_step_does_not() {
    let mut tape = Tape::default();
    tape.push(span(0, 1));
    let reel = tape.entry_before(shown(0)).unwrap();
    // Four seconds were lost on the way.
    assert!(!tape.push(span(100, 1)));
    assert!(tape.read(reel, 10).is_some());
    for jump in [100 + 126, 100, 5_000_000] {
        let before = tape.epoch();
        assert!(tape.push(span(jump, 1)), "{jump}");
        assert_eq!(tape.epoch(), before + 1);
    }
    assert!(tape.read(reel, 10).is_none());
}

#[test]
fn only_half_a_minute_is_kept_and_never_too_much() {
    let mut tape = Tape::default();
    (0..2000).for_each(|number| {
        tape.push(span(number, 188));
    });
    let (bytes, spans) = tape.held();
    assert_eq!((bytes, spans), (751 * 188, 751));
    assert!(tape.entry_before(shown(1000)).is_none());
    assert!(tape.read(Reel { at: 3, epoch: 0 }, 1).is_none(), "it is gone");
    let mut tape = Tape::default();
    (0..200).for_each(|number| {
        tape.push(span(number, 1024 * 1024));
    });
    assert!(tape.held().0 <= BYTES_MAX);
}

#[test]
fn another_program_begins_another_epoch() {
    let mut tape = Tape::default();
    tape.retable(Bytes::from_static(b"one"));
    tape.push(span(0, 1));
    tape.retable(Bytes::from_static(b"one"));
    assert_eq!((tape.epoch(), tape.held().1), (0, 1));
    tape.retable(Bytes::from_static(b"two"));
    assert_eq!((tape.epoch(), tape.held().1), (1, 0));
}

#[test]
fn what_came_before_is_not_taken_again() {
    let mut tape = Tape::default();
    (0..30).for_each(|number| assert!(!tape.push(span(number, 188))));
    // Opened again, half a second before its end.
    (18..40).for_each(|number| assert!(!tape.push(span(number, 188))));
    assert_eq!((tape.held().1, tape.epoch()), (40, 0));
    let (spans, _) = tape.read(tape.entry_before(shown(0)).unwrap(), usize::MAX).unwrap();
    let numbers: Vec<u8> = spans.iter().map(|bytes| bytes[0]).collect();
    assert_eq!(numbers, (0..40).collect::<Vec<u8>>());
}
