use framemill_schemas::live::{LiveSource, Timelines};

use super::*;

/// When the timeline of the tests was mapped.
const MADE_MS: i64 = 1_795_000_000_000;

/// At 29.97 frames a second, 60 of them a segment, mapped from timestamp 0.
fn timeline() -> Timeline {
    let text = include_str!("../../../media/src/live/sound_timeline.json");
    let timelines: Timelines = serde_json::from_str(text).unwrap();
    let mut timeline = timelines.last().unwrap().clone();
    timeline.clock.frame = frame_at_ms(MADE_MS, timeline.clock.rate);
    timeline.first_frame = timeline.clock.frame;
    timeline
}

fn edition(number: u32, sources: &[&str]) -> Edition {
    let text = "{name: l, gop_s: 2, segment_s: 4, video: [{name: v, codec: h264, height: 360, quality: 23}]}";
    Edition {
        number,
        sources: sources.iter().map(|uri| LiveSource::parse(uri, false).unwrap()).collect(),
        ladder: framemill_schemas::ladder::Ladder::from_yaml(text).unwrap(),
        redundancy: 2,
        segment_ms: 2000,
        window_s: 60,
        timeshift_s: 0,
        return_after_s: 30,
        access: Default::default(),
        observability: Default::default(),
    }
}

/// A source that has come for a minute; its last picture belongs `ahead_ms` after the present.
fn seen(timeline: &Timeline, now_ms: i64, ahead_ms: i64) -> Seen {
    let frame = frame_at_ms(now_ms + ahead_ms, timeline.clock.rate).cast_signed();
    Seen {
        flowing: true,
        steady: Duration::from_secs(60),
        format: Some(timeline.format.clone()),
        last_pts: Some(timeline.clock.pts_of(frame)),
        oldest_pts: Some(timeline.clock.pts_of(frame - 300)),
        recent_pts: Some(timeline.clock.pts_of(frame - 60)),
    }
}

fn lost() -> Seen {
    Seen {
        flowing: false,
        steady: Duration::ZERO,
        format: None,
        last_pts: Some(1),
        oldest_pts: Some(0),
        recent_pts: Some(0),
    }
}

const MAIN: &str = "udp://239.0.0.1:5000";
const BACKUP: &str = "udp://239.0.0.2:5000";

#[test]
fn a_source_fits_while_its_clock_is_near() {
    let timeline = timeline();
    // Also more than a wrap after it was mapped.
    for now_ms in [MADE_MS + 1000, MADE_MS + 40 * 3600 * 1000, MADE_MS + 400 * 3600 * 1000] {
        for (ahead_ms, expected) in [(0, true), (-13_000, true), (13_000, true), (-15_000, false), (15_000, false)] {
            assert_eq!(fits(&timeline, &seen(&timeline, now_ms, ahead_ms), now_ms), expected, "{ahead_ms}");
        }
    }
    assert!(!fits(&timeline, &lost(), MADE_MS));
}

#[test]
fn a_run_begins_with_the_first_number_that_is_whole_and_wanted() {
    let timeline = timeline();
    let now_ms = MADE_MS + 60_000;
    let seen = seen(&timeline, now_ms, 0);
    let oldest = timeline.clock.frame_of(seen.oldest_pts.unwrap(), frame_at_ms(now_ms, timeline.clock.rate));
    let whole = timeline.number_from(oldest + 1);
    assert_eq!(first_number(&timeline, &seen, 0, now_ms), Some(whole));
    assert_eq!(first_number(&timeline, &seen, whole + 3, now_ms), Some(whole + 3));
    assert_eq!(first_number(&timeline, &Seen { oldest_pts: None, ..seen }, 0, now_ms), None);
}

#[test]
fn a_timeline_is_made_only_where_one_is_necessary() {
    let timeline = timeline();
    let now_ms = MADE_MS + 60_000;
    let (one, two) = (edition(1, &[MAIN]), edition(1, &[MAIN, BACKUP]));
    let mut on_backup = timeline.clone();
    (on_backup.source, on_backup.origin) = (1, two.sources[1].clone());
    let good = seen(&timeline, now_ms, 0);
    let fresh = Seen { steady: Duration::from_secs(5), ..good.clone() };
    let jumped = seen(&timeline, now_ms, 500_000);
    let next = edition(2, &[MAIN]);
    let moved = edition(2, &[BACKUP]);
    let free = timeline.number_of(frame_at_ms(now_ms, timeline.clock.rate).cast_signed()) - 1;
    type Case<'a> = (&'a str, &'a Edition, Option<&'a Timeline>, Vec<Seen>, bool, Option<(usize, Why)>);
    let cases: Vec<Case<'_>> = vec![
        ("none yet", &one, None, vec![good.clone()], false, Some((0, Why::First))),
        ("none yet, nothing comes", &one, None, vec![lost()], false, None),
        ("none yet, only the backup comes", &two, None, vec![lost(), good.clone()], false, Some((1, Why::First))),
        ("all is well", &two, Some(&timeline), vec![good.clone(), good.clone()], false, None),
        ("lost here alone", &two, Some(&timeline), vec![lost(), good.clone()], true, None),
        ("lost", &two, Some(&timeline), vec![lost(), good.clone()], false, Some((1, Why::Lost))),
        ("all lost", &two, Some(&timeline), vec![lost(), lost()], false, None),
        ("a jump", &one, Some(&timeline), vec![jumped.clone()], false, Some((0, Why::Jump))),
        ("a jump that the peer does not see yet", &one, Some(&timeline), vec![jumped], true, None),
        (
            "the better one is back",
            &two,
            Some(&on_backup),
            vec![good.clone(), good.clone()],
            true,
            Some((0, Why::Better)),
        ),
        ("back for a moment", &two, Some(&on_backup), vec![fresh, good.clone()], true, None),
        ("another ladder", &next, Some(&timeline), vec![good.clone()], true, Some((0, Why::Edition))),
        ("another source that is not there yet", &moved, Some(&timeline), vec![lost()], true, None),
        ("another source", &moved, Some(&timeline), vec![good.clone()], true, Some((0, Why::Edition))),
    ];
    for (name, edition, last, seen, peer_is_fine, expected) in cases {
        let facts =
            Facts { edition, last, seen: &seen, peer_is_fine, orphaned: false, other_engine: false, free, now_ms };
        let found = turn(&facts).map(|turn| (turn.source, turn.why));
        assert_eq!(found, expected, "{name}");
    }
    let ahead = turn(&Facts {
        edition: &next,
        last: Some(&timeline),
        seen: &[good],
        peer_is_fine: true,
        orphaned: false,
        other_engine: false,
        free,
        now_ms,
    });
    assert_eq!(ahead.map(|turn| turn.begin), Some(Begin::Ahead), "nothing is missing where the ladder changes");
    let off_air = turn(&Facts {
        edition: &next,
        last: Some(&timeline),
        seen: &[seen(&timeline, now_ms, 0)],
        peer_is_fine: false,
        orphaned: false,
        other_engine: false,
        free: free - 20,
        now_ms,
    });
    assert!(matches!(off_air.map(|turn| turn.begin), Some(Begin::Now { .. })), "nothing goes on until then");
    let seen = [seen(&timeline, now_ms, 0), seen(&timeline, now_ms, 0)];
    let facts = Facts {
        edition: &two,
        last: Some(&on_backup),
        seen: &seen,
        peer_is_fine: true,
        orphaned: false,
        other_engine: false,
        free,
        now_ms,
    };
    let back = turn(&facts).map(|turn| turn.begin);
    assert!(matches!(back, Some(Begin::Soon { .. })), "the backup goes on until then: {back:?}");
    let alone = Facts { last: Some(&timeline), edition: &one, other_engine: true, peer_is_fine: false, ..facts };
    assert_eq!(turn(&alone).map(|turn| (turn.why, turn.begin)), Some((Why::Engine, Begin::Ahead)));
    assert_eq!(turn(&Facts { peer_is_fine: true, ..alone }), None);
}

#[test]
fn an_encoder_hangs_when_its_source_is_far_ahead_of_it() {
    let timeline = timeline();
    let now_ms = MADE_MS + 60_000;
    let seen = seen(&timeline, now_ms, 0);
    let current = timeline.number_of(frame_at_ms(now_ms, timeline.clock.rate).cast_signed());
    let long = Duration::from_secs(20);
    for (number, waited, expected) in [
        (current, long, false),
        (current - 1, long, false),
        (current - 4, long, true),
        (current - 4, Duration::from_secs(1), false),
    ] {
        assert_eq!(is_overdue(&timeline, number, &seen, waited, now_ms), expected, "{number} {waited:?}");
    }
    assert!(!is_overdue(&timeline, current - 4, &lost(), long, now_ms), "a source that is lost is no hung encoder");
}
