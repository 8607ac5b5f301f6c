use framemill_schemas::{
    ladder::Ladder,
    live::{Access, LiveSource, Observability, pts_ms},
    rate::Ratio,
};

use super::*;

const NOW_MS: i64 = 1_795_000_000_500;

fn edition(number: u32, segment_ms: u32) -> Edition {
    let text = "{name: l, gop_s: 2, segment_s: 4, video: [{name: v, codec: h264, height: 360, quality: 23}]}";
    Edition {
        number,
        sources: vec![LiveSource::parse("udp://239.0.0.1:5000", false).unwrap()],
        ladder: Ladder::from_yaml(text).unwrap(),
        redundancy: 2,
        segment_ms,
        window_s: 60,
        timeshift_s: 0,
        return_after_s: 30,
        access: Access::default(),
        observability: Observability::default(),
    }
}

fn format(rate: (u32, u32)) -> SourceFormat {
    SourceFormat {
        codec: "h264".to_owned(),
        pixels: "yuv420p".to_owned(),
        width: 640,
        height: 360,
        rate: Ratio::new(rate.0, rate.1).unwrap(),
        interlaced: false,
        sound: None,
    }
}

fn make(
    edition: &Edition,
    format: &SourceFormat,
    before: &Timelines,
    free: u64,
    now_ms: i64,
    begin: Begin,
) -> Timeline {
    let ground = Ground {
        edition,
        source: 0,
        format,
        engine: Engine::Software,
        before,
        free,
        now_ms,
        random: "00c0ffee",
        owner: None,
        not_before_ms: None,
    };
    timeline(ground, begin).unwrap()
}

/// A second and a half of a source is there.
fn now_begin(rate: (u32, u32), last: u64) -> Begin {
    let ticks = 135_000 * u64::from(rate.1) / u64::from(rate.1);
    Begin::Now { oldest: last - ticks, last }
}

#[test]
fn the_first_begins_with_the_first_number_that_its_source_has_whole() {
    for rate in [(25, 1), (50, 1), (30_000, 1001), (60_000, 1001)] {
        let made = make(&edition(1, 4000), &format(rate), &Timelines::default(), 0, NOW_MS, now_begin(rate, 900_000));
        let near = frame_at_ms(NOW_MS, made.clock.rate);
        assert_eq!(made.clock.frame_of(900_000, near), near.cast_signed(), "the present is now");
        let oldest = made.clock.frame_of(900_000 - 135_000, near);
        let start = made.frames_of(made.first).start.cast_signed();
        assert!((0..i64::from(made.segment_frames)).contains(&(start - oldest)), "{rate:?}");
        assert_eq!(made.first * u64::from(made.segment_frames), made.first_frame, "numbers count from the epoch");
    }
}

#[test]
fn a_jump_leaves_no_number_out() {
    let before =
        make(&edition(1, 4000), &format((25, 1)), &Timelines::default(), 0, NOW_MS, now_begin((25, 1), 900_000));
    let timelines = Timelines::default().with(before.clone());
    // Of every moment within a segment: the number that was under way is begun anew.
    for elapsed in (60_000..64_000).step_by(130) {
        let now_ms = NOW_MS + elapsed;
        let current = before.number_of(frame_at_ms(now_ms, before.clock.rate).cast_signed());
        let begin = now_begin((25, 1), 5_000_000_000);
        let made = make(&edition(1, 4000), &format((25, 1)), &timelines, current, now_ms, begin);
        assert_eq!((made.first, made.id), (current, 2), "{elapsed}");
        assert_eq!(made.frames_of(current), before.frames_of(current));
        let Begin::Now { oldest, .. } = begin else { panic!() };
        let near = frame_at_ms(now_ms, made.clock.rate);
        assert_eq!(made.clock.frame_of(oldest, near), made.first_frame.cast_signed(), "its first picture starts it");
        let last = pts_ms(made.clock.frame, made.clock.rate);
        assert!((last - now_ms).abs() <= 4000 + 1500, "the channel's clock stays near: {}", last - now_ms);
    }
}

#[test]
fn who_takes_over_goes_on_where_the_other_broke_off() {
    let before =
        make(&edition(1, 4000), &format((25, 1)), &Timelines::default(), 0, NOW_MS, now_begin((25, 1), 900_000));
    let timelines = Timelines::default().with(before.clone());
    let last = 5_000_000_000;
    let seconds = |seconds: u64| last - seconds * 90_000;
    for (elapsed, held_s, holds) in [(60_000, 30, true), (62_700, 30, true), (62_700, 9, true), (62_700, 3, false)] {
        let now_ms = NOW_MS + elapsed;
        // Two segments ago the last number was committed.
        let free = before.number_of(frame_at_ms(now_ms, before.clock.rate).cast_signed()) - 1;
        let begin = Begin::After { oldest: seconds(held_s), recent: seconds(2), last };
        let made = make(&edition(1, 4000), &format((25, 1)), &timelines, free, now_ms, begin);
        let near = frame_at_ms(now_ms, made.clock.rate);
        let start = made.clock.pts_of(made.first_frame.cast_signed());
        if holds {
            assert_eq!(made.first, free, "no number is left out");
            assert_eq!(made.frames_of(free), before.frames_of(free));
            assert_eq!(made.clock.frame_of(last, near), near.cast_signed(), "the present is now");
            assert!(start >= seconds(held_s), "the tape holds its first picture");
        } else {
            let recent = make(
                &edition(1, 4000),
                &format((25, 1)),
                &timelines,
                free,
                now_ms,
                Begin::Now { oldest: seconds(2), last },
            );
            assert_eq!(made, recent, "as after a jump");
        }
    }
}

#[test]
fn after_a_long_absence_numbers_go_on_with_the_time() {
    let before =
        make(&edition(1, 4000), &format((25, 1)), &Timelines::default(), 0, NOW_MS, now_begin((25, 1), 900_000));
    let timelines = Timelines::default().with(before.clone());
    let now_ms = NOW_MS + 3_600_000;
    let made =
        make(&edition(1, 4000), &format((25, 1)), &timelines, before.first + 3, now_ms, now_begin((25, 1), 135_077));
    assert!((890..=902).contains(&(made.first - before.first)), "{}", made.first - before.first);
    let shift = made.time_ms(made.first).start - now_ms;
    assert!((-1600..4000).contains(&shift), "{shift}");
}

#[test]
fn a_new_edition_begins_a_little_ahead_on_the_same_clock() {
    let before =
        make(&edition(1, 4000), &format((25, 1)), &Timelines::default(), 0, NOW_MS, now_begin((25, 1), 900_000));
    let timelines = Timelines::default().with(before.clone());
    let now_ms = NOW_MS + 61_000;
    let made = make(&edition(2, 4000), &format((25, 1)), &timelines, before.first + 14, now_ms, Begin::Ahead);
    let current = before.number_of(frame_at_ms(now_ms, before.clock.rate).cast_signed());
    assert_eq!((made.first, made.edition), (current + 2, 2));
    assert_eq!(made.frames_of(made.first), before.frames_of(made.first));
    assert_eq!(made.clock, before.clock);
    assert!(made.time_ms(made.first).start > now_ms);
    assert_ne!(made.id, before.id);
}

#[test]
fn nothing_from_before_its_span_is_published() {
    let (edition, format) = (edition(1, 4000), format((25, 1)));
    let mut before = Timelines::default();
    for from_ms in [NOW_MS + 3100, NOW_MS + 3_600_000, NOW_MS + 7_200_000] {
        let ground = Ground {
            edition: &edition,
            source: 0,
            format: &format,
            engine: Engine::Software,
            before: &before,
            free: before.last().map_or(0, |last| last.first + 5),
            now_ms: from_ms - 3000,
            random: "00c0ffee",
            owner: None,
            not_before_ms: Some(from_ms),
        };
        let made = timeline(ground, now_begin((25, 1), 900_000)).unwrap();
        let start_ms = made.time_ms(made.first).start;
        assert!((from_ms..from_ms + 4000).contains(&start_ms), "{}", start_ms - from_ms);
        before = before.with(made);
    }
}

#[test]
fn another_rate_goes_on_where_the_one_before_ended() {
    let before =
        make(&edition(1, 4000), &format((25, 1)), &Timelines::default(), 0, NOW_MS, now_begin((25, 1), 900_000));
    let timelines = Timelines::default().with(before.clone());
    let now_ms = NOW_MS + 60_000;
    let free = before.number_of(frame_at_ms(now_ms, before.clock.rate).cast_signed());
    let made = make(&edition(1, 4000), &format((50, 1)), &timelines, free, now_ms, now_begin((50, 1), 50_000_000));
    assert_eq!(made.first, free);
    assert_eq!(made.time_ms(free), before.time_ms(free));
    assert_eq!(made.segment_frames, 200);
}

#[test]
fn gpus_decode_what_they_can() {
    for (codec, pixels, decoder) in [
        ("h264", "yuv420p", Decoder::Gpu),
        ("h264", "yuv422p10le", Decoder::Software),
        ("mpeg2video", "yuv420p", Decoder::Gpu),
        ("vp6", "yuv420p", Decoder::Software),
    ] {
        let format = SourceFormat { codec: codec.to_owned(), pixels: pixels.to_owned(), ..format((25, 1)) };
        assert_eq!(super::decoder(&format), decoder, "{codec} {pixels}");
    }
}

#[test]
fn a_better_source_takes_over_where_nobody_has_begun() {
    let before =
        make(&edition(1, 4000), &format((25, 1)), &Timelines::default(), 0, NOW_MS, now_begin((25, 1), 900_000));
    let timelines = Timelines::default().with(before.clone());
    for elapsed in (60_000..64_000).step_by(330) {
        let now_ms = NOW_MS + elapsed;
        let current = before.number_of(frame_at_ms(now_ms, before.clock.rate).cast_signed());
        let begin = Begin::Soon { last: 4_000_000_000 };
        let made = make(&edition(1, 4000), &format((25, 1)), &timelines, current, now_ms, begin);
        assert_eq!(made.first, current + 2, "{elapsed}");
        assert_eq!(made.frames_of(made.first), before.frames_of(made.first));
        let near = frame_at_ms(now_ms, made.clock.rate);
        assert_eq!(made.clock.frame_of(4_000_000_000, near), near.cast_signed(), "the present is now");
    }
}
