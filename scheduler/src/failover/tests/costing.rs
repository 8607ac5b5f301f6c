//! What a replica is said to take.

use framemill_schemas::{
    lane::{Lane, Size},
    live::{Timeline, Timelines},
    load::Load,
    rate::Ratio,
    spec::{RateControl, RungSpec},
};

use super::*;
use crate::ops::sample;

/// A timeline of one rung of 720 lines at 60 frames a second.
fn seen() -> Timeline {
    let rate_control = RateControl::Average { bitrate_kbps: 3000, maxrate_kbps: 4500 };
    let (name, preset) = ("720p".to_owned(), "ultrafast".to_owned());
    let rung = RungSpec { name, width: 1280, height: 720, rate_control, preset, nvenc: None };
    Timeline { rungs: vec![rung], ..sample::timeline(Ratio::new(60, 1).unwrap(), 100) }
}

#[test]
fn a_replica_takes_what_its_source_was_seen_to_need_else_what_its_ladder_lets_expect() {
    type Change = fn(&mut Timeline);
    let asked = Load::of_ladder(&World::new(&[]).channel.edition.ladder);
    let found = Load::of_timeline(&seen());
    assert_eq!((found.pixels_per_s, found.rate_milli, found.sessions), (1280 * 720 * 60, 60_000, 1));
    let cases: [(&str, Option<Change>, Load); 4] = [
        ("nothing was seen", None, asked),
        ("seen", Some(|_| {}), found),
        ("of an edition before", Some(|last| last.edition = 0), asked),
        (
            "made by a GPU",
            Some(|last| {
                last.nvenc =
                    Some(framemill_schemas::spec::Nvenc { decoder: framemill_schemas::spec::Decoder::Software });
            }),
            asked,
        ),
    ];
    for (what, change, expected) in cases {
        let mut world = World::new(&["a"]);
        if let Some(change) = change {
            let mut last = seen();
            change(&mut last);
            world.known.timelines = Arc::new(Timelines { all: vec![last], ..Timelines::default() });
        }
        world.look();
        let job = &world.jobs[0];
        assert_eq!(Load::of(&job.spec), expected, "{what}");
        let Lane::Encode { size, .. } = job.lane else { panic!("{:?}", job.lane) };
        assert_eq!(size, Size::of_pixel_rate(expected.pixels_per_s), "{what}");
    }
}
