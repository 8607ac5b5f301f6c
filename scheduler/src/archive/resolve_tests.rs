use framemill_schemas::rate::Ratio;

use super::*;
use crate::archive::sample::{FIRST, START_MS, commit, timeline};

/// A past of consecutive numbers; a space is a number that nobody committed, `|` begins another timeline.
fn known(letters: &str) -> Known {
    let mut known = Known { oldest: FIRST, floor: FIRST, ..Known::default() };
    known.timelines.insert(1, timeline(1, FIRST));
    let (mut number, mut id) = (FIRST, 1);
    for letter in letters.chars() {
        match letter {
            '|' => {
                id += 1;
                known.timelines.insert(id, timeline(id, number));
                continue;
            }
            ' ' => {}
            letter => drop(known.commits.insert(number, commit(id, number, letter))),
        }
        number += 1;
    }
    known
}

/// A span of so many milliseconds from the start.
fn span(from_ms: i64, to_ms: i64) -> Span {
    Span { from_ms: START_MS + from_ms, to_ms: START_MS + to_ms, closed: false }
}

/// Timeline and numbers of each stretch; why, how many and from when of what was left out.
type Found = (Vec<(u32, u64, u64)>, Vec<(&'static str, u64, i64)>);

fn found(known: &Known, span: Span) -> Result<Found, Refusal> {
    let (cut, _) = resolve(known, "live/demo/news", span)?;
    let stretches = cut.stretches.iter().map(|stretch| (stretch.timeline, stretch.first - FIRST, stretch.last - FIRST));
    let left_out = cut.left_out.iter().map(|left| (left.why.as_str(), left.segments, left.from_ms - START_MS));
    Ok((stretches.collect(), left_out.collect()))
}

#[test]
fn a_span_is_rounded_outwards_and_closes_up_over_what_is_missing() {
    let hole = format!("sss{}sss", " ".repeat(40));
    for (letters, from_ms, to_ms, stretches, left_out) in [
        ("ssssss", 4000, 12_000, vec![(1, 1, 2)], vec![]),
        ("ssssss", 3999, 12_001, vec![(1, 0, 3)], vec![]),
        ("ssssss", 5000, 5001, vec![(1, 1, 1)], vec![]),
        ("ssssss", 0, 24_000, vec![(1, 0, 5)], vec![]),
        ("ss-sss", 0, 24_000, vec![(1, 0, 1), (1, 3, 5)], vec![("gap", 1, 8000)]),
        ("sffss-", 0, 24_000, vec![(1, 0, 0), (1, 3, 4)], vec![("filler", 2, 4000), ("gap", 1, 20_000)]),
        ("-fssss", 0, 24_000, vec![(1, 2, 5)], vec![("gap", 1, 0), ("filler", 1, 4000)]),
        // Another timeline with the same pictures goes on in the same title.
        ("ss|sss", 0, 20_000, vec![(1, 0, 1), (2, 2, 4)], vec![]),
        // Off the air for a while.
        (hole.as_str(), 0, 46 * 4000, vec![(1, 0, 2), (1, 43, 45)], vec![("gap", 40, 12_000)]),
    ] {
        assert_eq!(found(&known(letters), span(from_ms, to_ms)), Ok((stretches, left_out)), "{letters} {from_ms}");
    }
}

#[test]
fn commits_of_older_timelines_are_ignored() {
    let mut known = known("ss|sss");
    known.commits.insert(FIRST + 3, commit(1, FIRST + 3, 's'));
    let expected = (vec![(1, 0, 1), (2, 2, 2), (2, 4, 4)], vec![("gap", 1, 12_000)]);
    assert_eq!(found(&known, span(0, 20_000)), Ok(expected));
}

#[test]
fn what_cannot_be_kept_is_refused_with_the_reason() {
    let end = |ms: i64| START_MS + ms;
    for (letters, from_ms, to_ms, refusal) in [
        ("ssss", 0, 16_001, Refusal::InFuture(end(16_000))),
        // A number that may still come ends what is known.
        ("ss ss", 0, 16_000, Refusal::InFuture(end(8000))),
        ("ssss", -4001, 8000, Refusal::NotKept { from_ms: end(0), to_ms: end(16_000) }),
        ("ff--ss", 0, 16_000, Refusal::Empty),
        ("", 0, 16_000, Refusal::Empty),
        ("ssiiss", 0, 24_000, Refusal::Changes(vec![end(8000), end(16_000)])),
        // Over a gap too.
        ("ss-iss", 0, 24_000, Refusal::Changes(vec![end(12_000), end(16_000)])),
    ] {
        assert_eq!(found(&known(letters), span(from_ms, to_ms)), Err(refusal), "{letters} {from_ms}");
    }
    // Of a channel's very first number all is kept that there ever was.
    assert_eq!(found(&known("ssss"), span(-3999, 8000)), Ok((vec![(1, 0, 1)], vec![])));
    // Either side of a change can be kept.
    assert!(found(&known("ssiiss"), span(0, 8000)).is_ok() && found(&known("ssiiss"), span(8000, 16_000)).is_ok());
    // Nothing more will come of a channel that is off air.
    let closed = Span { closed: true, ..span(0, 60_000) };
    assert_eq!(found(&known("ssss"), closed), Ok((vec![(1, 0, 3)], vec![])));
}

#[test]
fn another_rate_or_another_set_of_renditions_splits_a_span() {
    type Change = fn(&mut Timeline);
    let changes: [Change; 4] = [
        |timeline| timeline.rungs[1].width = 322,
        |timeline| timeline.rungs[0].name = "other".to_owned(),
        |timeline| timeline.audio[0].channels = 1,
        |timeline| timeline.gop_frames = 100,
    ];
    for change in changes {
        let mut known = known("sss|sss");
        change(known.timelines.get_mut(&2).unwrap());
        let refusal = Refusal::Changes(vec![START_MS + 12_000]);
        assert!(refusal.to_string().contains("split it at 2026-"), "{refusal}");
        assert_eq!(found(&known, span(0, 24_000)), Err(refusal));
    }
    let mut known = known("sss|sss");
    let other = known.timelines.get_mut(&2).unwrap();
    (other.clock.rate, other.first_frame) = (Ratio::new(50, 1).unwrap(), other.first_frame * 2);
    assert!(matches!(found(&known, span(0, 16_000)), Err(Refusal::Changes(_))));
}

#[test]
fn a_span_has_its_bounds() {
    let pieces = "s-".repeat(300);
    assert_eq!(found(&known(&pieces), span(0, 2_400_000)), Err(Refusal::InPieces));
    let long = "s".repeat(10_802);
    assert_eq!(found(&known(&long), span(0, 43_208_000)), Err(Refusal::TooLong(10_802)));
    let long = "s".repeat(9000);
    assert!(found(&known(&long), span(0, 36_000_000)).is_ok());
}
