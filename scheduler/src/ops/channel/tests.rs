use framemill_schemas::live::ChannelChange;

use super::{put::changed, *};
use crate::ops::sample::channel;

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
    assert!(matches!(changed(&gone, gone.edition.clone()), Err(OpError::Conflict(_))));
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
            let mut edition = before.edition.clone();
            edition.number = 0;
            assert_eq!(changed(&before, edition.clone()).unwrap().outcome, ChannelChange::Unchanged, "{what}");
            change(&mut edition);
            match changed(&before, edition) {
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
