#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn stretch(first: u64, last: u64, first_frame: u64) -> Stretch {
    Stretch { timeline: 1, folder: "live/demo/news/t1-00000001".to_owned(), first, last, first_frame }
}

fn cut(rate: (u32, u32), stretches: Vec<Stretch>) -> Cut {
    let rate = Ratio::new(rate.0, rate.1).unwrap();
    Cut {
        rate,
        gop_frames: 50,
        segment_frames: 100,
        timescale: crate::rate::timescale_for(rate),
        codec: VideoCodec::H264,
        rungs: Vec::new(),
        audio: Vec::new(),
        inits: Vec::new(),
        stretches,
        left_out: Vec::new(),
        bytes: 0,
        from_ms: 0,
        to_ms: 0,
    }
}

#[test]
fn times_are_read_as_rfc_3339_or_as_seconds() {
    for (from, to, expected) in [
        (json!("2026-11-29T20:00:00Z"), json!("2026-11-29T21:00:00+01:00"), None),
        (json!("2026-11-29T20:00:00Z"), json!("2026-11-29T21:00:00Z"), Some((1_795_982_400_000, 1_795_986_000_000))),
        (json!(1_795_982_400), json!("1795982401.25"), Some((1_795_982_400_000, 1_795_982_401_250))),
        (json!("1795982400.5"), json!(1_795_982_401.999_9), Some((1_795_982_400_500, 1_795_982_401_999))),
        (json!("yesterday"), json!(10), None),
        (json!(-5), json!(10), None),
        (json!("99999999999999999999"), json!(10), None),
        (json!("."), json!(10), None),
        (json!(10), json!(10), None),
    ] {
        let found = ArchiveRequest::check(json!({ "from": from, "to": to })).ok();
        assert_eq!(found.map(|found| (found.from_ms, found.to_ms)), expected, "{from} {to}");
    }
}

#[test]
fn every_fault_of_a_request_comes_at_once() {
    let errors = ArchiveRequest::check(json!({ "from": "x", "to": "y", "priority": "live" })).unwrap_err();
    let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/from", "/to", "/priority"]);
    let errors = ArchiveRequest::check(json!({ "from": 2, "to": 1 })).unwrap_err();
    assert_eq!(errors[0].pointer, "/to");
    assert!(ArchiveRequest::check(json!({ "from": 1, "to": 2, "tilte": "x" })).is_err());
}

#[test]
fn segments_of_the_title_are_found_in_their_stretches() {
    let cut = cut((25, 1), vec![stretch(10, 13, 1000), stretch(20, 20, 2000), stretch(22, 30, 2200)]);
    assert_eq!((cut.segments(), cut.grid().frames), (14, 1400));
    let found = |from, to| {
        let slices = cut.slice(from, to);
        slices.iter().map(|slice| (slice.first, slice.last, slice.first_frame)).collect::<Vec<_>>()
    };
    assert_eq!(found(0, 14), [(10, 13, 1000), (20, 20, 2000), (22, 30, 2200)]);
    assert_eq!(found(0, 4), [(10, 13, 1000)]);
    assert_eq!(found(2, 6), [(12, 13, 1200), (20, 20, 2000), (22, 22, 2200)]);
    assert_eq!(found(4, 5), [(20, 20, 2000)]);
    assert_eq!(found(8, 14), [(25, 30, 2500)]);
    assert_eq!(found(14, 20), []);
}

#[test]
fn sound_leads_in_by_less_than_a_frame() {
    for (rate, frame, expected) in [
        ((25, 1), 0, 0),
        // 1920 samples: the next frame of sound starts at 2048.
        ((25, 1), 1, 128),
        ((25, 1), 8, 0),
        // 1601.6 samples.
        ((30_000, 1001), 1, 2048 - 1602),
    ] {
        assert_eq!(cut(rate, vec![stretch(1, 1, frame)]).lead_ticks(), expected, "{rate:?} {frame}");
    }
}
