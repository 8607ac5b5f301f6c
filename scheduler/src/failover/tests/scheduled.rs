//! On air and off again as a schedule says.

use framemill_schemas::{
    live::{OnAir, SpanDocument, Timelines},
    rate::Ratio,
};

use super::*;
use crate::on_air::lead_ms;

/// When the span of the tests begins and ends, Unix milliseconds.
const FROM_MS: i64 = 3_600_000;
const UNTIL_MS: i64 = 7_200_000;

fn schedule(spans: &[(&str, &str)]) -> OnAir {
    let span = |(from, until): &(&str, &str)| SpanDocument {
        from: Some(format!("1970-01-01T{from}Z")),
        until: Some(format!("1970-01-01T{until}Z")),
    };
    let mut errors = Vec::new();
    let on_air = OnAir::check(&spans.iter().map(span).collect::<Vec<_>>(), 0, &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    on_air
}

impl World {
    fn scheduled(nodes: &[&str]) -> Self {
        let mut world = Self::new(nodes);
        world.channel.on_air = schedule(&[("01:00:00", "02:00:00"), ("03:00:00", "04:00:00")]);
        world.look();
        world.told.clear();
        world
    }

    fn at(&mut self, now_ms: i64) {
        self.ms = now_ms.cast_unsigned();
    }
}

#[test]
fn replicas_are_placed_ahead_of_a_span_and_let_go_at_its_end() {
    let mut world = World::scheduled(&["a", "b"]);
    assert_eq!((world.channel.state, world.code()), (ChannelState::Scheduled, "scheduled"));
    assert_eq!(world.channel.why.as_ref().unwrap().reason, "off air until 1970-01-01T01:00:00Z");
    assert_eq!(world.decide(), None, "nothing is written while nothing changes");
    let lead_ms = lead_ms(&world.channel.edition);
    world.at(FROM_MS - lead_ms - 1);
    world.look();
    assert!(world.jobs.is_empty());
    world.at(FROM_MS - lead_ms);
    world.look();
    assert_eq!((world.channel.state, world.channel.since_ms), (ChannelState::Starting, FROM_MS - lead_ms));
    assert_eq!((world.jobs.len(), world.told.as_slice()), (1, &["channel.starting".to_owned()][..]));
    world.claim(0, "a");
    world.look();
    world.claim(1, "b");
    world.publish();
    assert_eq!(world.channel.state, ChannelState::Live);
    world.at(UNTIL_MS - 1);
    world.listening = false;
    world.publish();
    assert_eq!(world.channel.state, ChannelState::Live);
    world.at(UNTIL_MS);
    let next = world.decide().unwrap();
    let event = next.unsent.last().unwrap();
    assert_eq!(event.data.reason.as_deref(), Some("off air until 1970-01-01T03:00:00Z"));
    assert_eq!(event.data.class, None);
    world.look();
    assert_eq!((world.channel.state, world.channel.replicas.len()), (ChannelState::Scheduled, 0));
    assert!(world.jobs.iter().all(|job| job.state == JobState::Cancelled));
    assert_eq!(world.told, ["channel.starting", "channel.live", "channel.stopped"]);
    assert_eq!(world.decide(), None);
    // The next one, and after it no other.
    world.at(3 * FROM_MS);
    world.look();
    assert_eq!(world.channel.state, ChannelState::Starting);
    world.at(4 * FROM_MS);
    world.look();
    assert_eq!((world.channel.state, world.code()), (ChannelState::Scheduled, "schedule-over"));
}

#[test]
fn what_was_shown_within_a_span_is_published_and_nothing_after_it() {
    // Segments of 4 s from the epoch: number 1799 ends with the span, number 1800 begins after it.
    for (head, after_ms, off) in [
        (1798, 0, false),
        (1798, 9_999, false),
        (1798, 10_000, true),
        (1799, 0, true),
        (1799, 500, true),
        (1800, 0, true),
    ] {
        let mut world = World::scheduled(&["a", "b"]);
        world.known.timelines = Arc::new(Timelines { all: vec![four_seconds()], ..Timelines::default() });
        world.at(FROM_MS);
        world.look();
        world.claim(0, "a");
        world.look();
        world.claim(1, "b");
        world.at(UNTIL_MS - 1000);
        world.publish();
        let noted =
            Noted { what: Outcome::Segment, timeline: 1, by: Some((world.replica(0), node("a"))), at: world.now() };
        Arc::make_mut(&mut world.known.log).insert(head, noted);
        world.look();
        world.at(UNTIL_MS + after_ms);
        world.look();
        assert_eq!(world.channel.state == ChannelState::Scheduled, off, "{head} {after_ms} {:?}", world.channel);
    }
}

fn four_seconds() -> framemill_schemas::live::Timeline {
    let rate = Ratio::new(25, 1).unwrap();
    crate::ops::sample::timeline(rate, 100)
}

#[test]
fn who_stops_a_channel_overrules_its_schedule() {
    let mut world = World::scheduled(&["a", "b"]);
    world.at(FROM_MS);
    world.look();
    assert_eq!(world.channel.state, ChannelState::Starting);
    world.channel.wanted = Wanted::Stopped;
    world.look();
    assert_eq!((world.channel.state, world.code()), (ChannelState::Stopped, ""));
    world.at(3 * FROM_MS);
    world.look();
    assert_eq!((world.channel.state, world.channel.replicas.len()), (ChannelState::Stopped, 0));
    // Of one that is off air already, nothing is told.
    let mut world = World::scheduled(&["a"]);
    world.channel.wanted = Wanted::Stopped;
    world.look();
    assert_eq!((world.channel.state, world.told.len()), (ChannelState::Stopped, 0));
}

#[test]
fn another_schedule_is_obeyed_at_once_and_none_lets_it_run() {
    let mut world = World::live(&["a", "b"]);
    let edition = world.channel.edition.clone();
    world.channel.on_air = schedule(&[("05:00:00", "06:00:00")]);
    world.look();
    assert_eq!(
        (world.channel.state, world.told.as_slice()),
        (ChannelState::Scheduled, &["channel.stopped".to_owned()][..])
    );
    assert_eq!(world.channel.edition, edition);
    world.channel.on_air = OnAir::default();
    world.look();
    assert_eq!(world.channel.state, ChannelState::Starting);
    assert_eq!(world.told, ["channel.stopped", "channel.starting"]);
}
