use framemill_schemas::live::ChannelChange;

use framemill_schemas::live::{OnAir, SpanDocument};

use super::{
    put::{Asked, changed},
    *,
};
use crate::ops::sample::channel;

/// On air from the third to the fourth hour of 1970.
fn spans() -> OnAir {
    let (from, until) = ("1970-01-01T03:00:00Z".to_owned(), "1970-01-01T04:00:00Z".to_owned());
    OnAir::check(&[SpanDocument { from: Some(from), until: Some(until) }], 4000, &mut Vec::new())
}

const HOUR_MS: i64 = 3_600_000;

fn asked(channel: &ChannelRecord) -> Asked {
    Asked { edition: channel.edition.clone(), on_air: channel.on_air.clone() }
}

#[test]
fn a_channel_is_started_and_stopped_once() {
    let off = channel(Wanted::Stopped);
    let on = started(&off, 3, 9).unwrap().unwrap();
    assert_eq!((on.wanted, on.state, on.since_ms), (Wanted::Running, ChannelState::Starting, 9));
    assert_eq!(on.unsent[0].kind, "channel.starting");
    assert_eq!(started(&on, 4, 9).unwrap(), None);
    let off = stopped(&on).unwrap().unwrap();
    // That it is off air, the controller says.
    assert_eq!((off.wanted, off.state), (Wanted::Stopped, ChannelState::Starting));
    assert_eq!(stopped(&off).unwrap(), None);
    let gone = retired(&off).unwrap();
    assert_eq!(retired(&gone), None);
    assert!(matches!(started(&gone, 5, 9), Err(OpError::Conflict(_))));
    assert!(matches!(stopped(&gone), Err(OpError::Conflict(_))));
    assert!(matches!(changed(&gone, asked(&gone)), Err(OpError::Conflict(_))));
}

#[test]
fn only_what_differs_makes_an_edition_and_not_all_of_it_on_air() {
    type Change = fn(&mut framemill_schemas::live::Edition);
    let cases: [(&str, Change, bool); 7] = [
        ("window", |edition| edition.window_s += 1, true),
        ("redundancy", |edition| edition.redundancy = 1, true),
        ("sources", |edition| edition.sources[0].uri.push('0'), true),
        ("ladder", |edition| edition.ladder.video[0].height = 360, true),
        ("segment", |edition| edition.segment_ms += 1, false),
        (
            "ladder",
            |edition| {
                edition.ladder.video.iter_mut().for_each(|r| r.codec = framemill_schemas::ladder::VideoCodec::Av1)
            },
            false,
        ),
        ("ladder", |edition| edition.ladder.engine = framemill_schemas::ladder::EnginePolicy::Software, false),
    ];
    for (what, change, on_air) in cases {
        for wanted in [Wanted::Running, Wanted::Stopped] {
            let before = channel(wanted);
            let mut wish = asked(&before);
            wish.edition.number = 0;
            assert_eq!(changed(&before, wish.clone()).unwrap().outcome, ChannelChange::Unchanged, "{what}");
            change(&mut wish.edition);
            match changed(&before, wish) {
                Ok(put) => {
                    assert!(on_air || wanted == Wanted::Stopped, "{what}");
                    assert_eq!(put.channel.edition.number, before.edition.number + 1);
                    assert!(put.changes[0].starts_with(what), "{:?}", put.changes);
                    assert_eq!(put.channel.asset, before.asset);
                }
                Err(error) => {
                    assert!(!on_air && wanted == Wanted::Running, "{what}: {error}");
                    assert!(error.to_string().contains("stop it first"), "{error}");
                }
            }
        }
    }
}

#[test]
fn another_schedule_alone_makes_no_edition() {
    let before = channel(Wanted::Running);
    let put = changed(&before, Asked { on_air: spans(), ..asked(&before) }).unwrap();
    assert_eq!((put.outcome, &put.channel.edition), (ChannelChange::Changed, &before.edition));
    assert_eq!(put.changes, ["on air: always -> 1970-01-01T03:00:00Z..1970-01-01T04:00:00Z"]);
    assert_eq!(changed(&put.channel, asked(&put.channel)).unwrap().outcome, ChannelChange::Unchanged);
    // Beside something else it is taken with the edition.
    let mut wish = asked(&put.channel);
    (wish.on_air, wish.edition.window_s) = (OnAir::default(), 90);
    let both = changed(&put.channel, wish).unwrap();
    assert_eq!((both.channel.edition.number, both.changes.len()), (before.edition.number + 1, 2));
    assert!(both.channel.on_air.is_empty());
    // Off air by its schedule, all of it may change.
    let mut wish = asked(&put.channel);
    wish.edition.segment_ms += 1000;
    assert!(changed(&put.channel, wish.clone()).is_err());
    let off = ChannelRecord { state: ChannelState::Scheduled, ..put.channel };
    assert_eq!(changed(&off, wish).unwrap().outcome, ChannelChange::Changed);
}

#[test]
fn a_channel_that_is_started_between_two_spans_waits_without_a_word() {
    let off = ChannelRecord { on_air: spans(), ..channel(Wanted::Stopped) };
    for (now_ms, state, told) in [
        (0, ChannelState::Scheduled, 0),
        (3 * HOUR_MS - 10_000, ChannelState::Starting, 1),
        (3 * HOUR_MS, ChannelState::Starting, 1),
        (4 * HOUR_MS, ChannelState::Scheduled, 0),
    ] {
        let on = started(&off, 3, now_ms).unwrap().unwrap();
        assert_eq!((on.wanted, on.state, on.unsent.len()), (Wanted::Running, state, told), "{now_ms}");
        assert_eq!((on.why.is_some(), on.since_ms), (state == ChannelState::Scheduled, now_ms));
    }
    // Stopped a moment ago, and not off air yet: that, the controller says.
    let leaving = ChannelRecord { state: ChannelState::Live, ..off };
    let on = started(&leaving, 3, 0).unwrap().unwrap();
    assert_eq!((on.wanted, on.state), (Wanted::Running, ChannelState::Live));
}
