use proptest::prelude::*;

use super::*;

fn segment() -> Record {
    Record { kind: Some(Kind::Video), bitrate_kbps: Some(366), duration_ms: Some(2000), ..Record::default() }
}

fn urgent() -> Record {
    Record { urgent: true, ..segment() }
}

fn starved() -> Record {
    Record { starved: true, ..segment() }
}

fn told(state: State) -> Record {
    Record { is_v2: true, state: Some(state), ..Record::default() }
}

fn report(state: State, at_ms: i64) -> Record {
    Record { event: Some(Event::Other), at_ms: Some(at_ms), ..told(state) }
}

/// Starts, standstills, durations and failures of a row of records, each with when it came.
fn sum(records: &[(i64, Way, Record)]) -> (Vec<u64>, u32, Vec<u64>, u32) {
    let mut playback = Playback::default();
    let mut sum = (Vec::new(), 0, Vec::new(), 0);
    for (now_ms, way, record) in records {
        let added = playback.take(record, *way, *now_ms);
        sum.0.extend(added.start_ms);
        sum.1 += added.standstills;
        sum.2.extend(added.stood_ms);
        sum.3 += u32::from(added.failed);
    }
    sum
}

#[test]
fn what_happened_is_counted_once() {
    use State::{Failed, Other, Playing, Rebuffering, Starting};
    use Way::{Report, Request};
    let msd = Record { is_v2: true, start_ms: Some(113), event: Some(Event::Response), ..Record::default() };
    let stood = |ms: &[u64]| Record { is_v2: true, stood_ms: ms.to_vec(), ..segment() };
    for (what, records, expected) in [
        (
            "version 1: a start, a standstill that both media tell of, a seek",
            vec![
                (1000, Request, Record { kind: Some(Kind::Other), ..urgent() }),
                (1100, Request, urgent()),
                (1500, Request, segment()),
                (9000, Request, starved()),
                (9100, Request, Record { kind: Some(Kind::Audio), ..starved() }),
                (20_000, Request, urgent()),
                (20_500, Request, segment()),
                (60_000, Request, starved()),
            ],
            (vec![500], 2, vec![], 0),
        ),
        (
            "version 1: seen first when it is under way",
            vec![(1000, Request, segment()), (5000, Request, urgent()), (6000, Request, segment())],
            (vec![], 0, vec![], 0),
        ),
        (
            "version 1: somebody was away",
            vec![(0, Request, urgent()), (START_MS_MAX + 1, Request, segment())],
            (vec![], 0, vec![], 0),
        ),
        (
            "version 2, hls.js: states in requests",
            vec![
                (100, Request, told(Starting)),
                (700, Request, told(Playing)),
                (5000, Request, Record { starved: true, ..told(Rebuffering) }),
                (5100, Request, told(Rebuffering)),
                (8000, Request, told(Playing)),
                (9000, Request, told(Failed)),
                (9100, Request, told(Failed)),
            ],
            (vec![600], 1, vec![3000], 1),
        ),
        (
            "version 2, hls.js: reports by the player's clock, and requests that say the same",
            vec![
                (50, Request, told(Starting)),
                (100, Report, report(Starting, 1_000_000)),
                (700, Request, told(Playing)),
                (800, Report, report(Playing, 1_000_240)),
                (5000, Request, told(Rebuffering)),
                (5000, Report, report(Rebuffering, 1_006_000)),
                (8000, Request, Record { starved: true, ..told(Playing) }),
                (9000, Report, report(Playing, 1_009_600)),
                (9500, Report, report(Other, 1_010_000)),
            ],
            (vec![240], 1, vec![3600], 0),
        ),
        (
            "version 2, Shaka: it says how long the start took, in both ways",
            vec![
                (0, Request, Record { is_v2: true, ..urgent() }),
                (60, Request, Record { is_v2: true, ..segment() }),
                (100, Report, msd.clone()),
                (110, Request, Record { start_ms: Some(113), is_v2: true, ..segment() }),
            ],
            (vec![113], 0, vec![], 0),
        ),
        (
            "version 2: it says how long it stood, with its state or without",
            vec![
                (0, Request, told(Playing)),
                (1000, Request, told(Rebuffering)),
                (2000, Request, Record { state: Some(Playing), ..stood(&[900]) }),
                (9000, Request, stood(&[50, 70])),
            ],
            (vec![], 3, vec![900, 50, 70], 0),
        ),
    ] {
        assert_eq!(sum(&records), expected, "{what}");
    }
}

#[test]
fn an_object_is_counted_where_it_is_told_of() {
    let response = Record { event: Some(Event::Response), is_v2: true, ..segment() };
    let mut reports_alone = Playback::default();
    assert!(reports_alone.take(&response, Way::Report, 0).object.is_some());
    assert!(reports_alone.take(&report(State::Playing, 0), Way::Report, 0).object.is_none());
    assert!(reports_alone.take(&segment(), Way::Request, 0).object.is_some());
    assert!(reports_alone.take(&response, Way::Report, 0).object.is_none());
    let playlist = Record { kind: Some(Kind::Other), ..segment() };
    assert!(Playback::default().take(&playlist, Way::Request, 0).object.is_none());
    let sound = Record { kind: Some(Kind::Audio), ..segment() };
    assert!(Playback::default().take(&sound, Way::Request, 0).object.unwrap().is_audio);
}

#[test]
fn a_fault_that_is_gone_on_from_is_no_failure() {
    let fault = Record { event: Some(Event::Error), ..report(State::Playing, 0) };
    let added = Playback::default().take(&fault, Way::Report, 0);
    assert!(added.faulted && !added.failed);
    let end = Record { event: Some(Event::Error), ..report(State::Failed, 0) };
    let added = Playback::default().take(&end, Way::Report, 0);
    assert!(added.failed && !added.faulted);
}

fn any_record() -> impl Strategy<Value = Record> {
    let states = [None, Some(State::Starting), Some(State::Playing), Some(State::Rebuffering), Some(State::Failed)];
    let state = prop::sample::select(states.to_vec());
    let at_ms = prop::option::of(any::<i64>());
    let stood_ms = prop::collection::vec(any::<u64>(), 0..3);
    (any::<[bool; 3]>(), state, at_ms, stood_ms, prop::option::of(any::<u64>())).prop_map(
        |([is_v2, urgent, starved], state, at_ms, stood_ms, start_ms)| Record {
            is_v2,
            urgent,
            starved,
            state,
            at_ms,
            stood_ms,
            start_ms,
            ..segment()
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_told_nobody_starts_twice(records in prop::collection::vec((any::<i64>(), any::<bool>(), any_record()), 0..40)) {
        let mut playback = Playback::default();
        let mut starts = 0;
        for (now_ms, by_report, record) in records {
            let way = if by_report { Way::Report } else { Way::Request };
            starts += u32::from(playback.take(&record, way, now_ms).start_ms.is_some());
        }
        prop_assert!(starts <= 1);
    }
}
