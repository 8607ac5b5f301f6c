//! How a channel is, and what is told of it.

use super::*;

#[test]
fn a_lost_source_is_told_once_and_nothing_is_replaced_however_it_flaps() {
    let mut world = World::live(&["a", "b", "c"]);
    world.run(20, |_, _| {});
    let replicas = world.channel.replicas.clone();
    for _ in 0..5 {
        world.run(6, |_, status| status.sources[0].reachable = false);
        world.run(6, |_, _| {});
    }
    assert_eq!(world.channel.replicas, replicas);
    assert_eq!((world.channel.state, world.code()), (ChannelState::Degraded, "source-lost"));
    assert_eq!(world.told, ["channel.source_lost", "channel.degraded"]);
    world.run(6, |_, _| {});
    assert_eq!(world.channel.state, ChannelState::Live);
    assert_eq!(world.told.last().unwrap(), "channel.recovered");
    // Lost for one of them only, it is not lost.
    world.run(20, |index, status| status.sources[0].reachable = index == 0);
    assert_eq!(world.told.len(), 3);
}

#[test]
fn an_outage_of_numbers_is_told_of_once_it_is_over_with_its_length() {
    let mut world = World::live(&["a", "b"]);
    for _ in 0..3 {
        world.commit(Outcome::Gap, None);
        world.look();
    }
    assert!(world.told.is_empty());
    world.commit(Outcome::Segment, Some(0));
    let from = world.head() - 3;
    let next = world.decide().unwrap();
    let reason = next.unsent[0].data.reason.clone().unwrap();
    assert!(reason.contains(&format!("3 numbers from {from} on")), "{reason}");
    world.look();
    world.look();
    assert_eq!(world.told, ["channel.gap"]);
    world.commit(Outcome::Gap, None);
    world.channel.wanted = Wanted::Stopped;
    world.look();
    assert_eq!(world.told, ["channel.gap", "channel.gap", "channel.stopped"]);
}

#[test]
fn a_channel_that_nothing_comes_of_is_down_and_comes_back() {
    let mut world = World::live(&["a", "b"]);
    for _ in 0..20 {
        world.later();
        for index in 0..2 {
            let mut status = world.status(index);
            status.sources[0].reachable = false;
            world.say(status);
        }
        world.look();
    }
    assert_eq!(world.channel.state, ChannelState::Down);
    assert_eq!(world.told, ["channel.source_lost", "channel.degraded", "channel.degraded"]);
    world.run(3, |_, _| {});
    assert_eq!(world.channel.state, ChannelState::Degraded, "its source is not back for long");
    world.run(20, |_, _| {});
    assert_eq!(world.told[3..], ["channel.live", "channel.recovered"]);
}

#[test]
fn a_stopped_channel_lets_go_of_everything_once() {
    for (wanted, state) in [(Wanted::Stopped, ChannelState::Stopped), (Wanted::Retired, ChannelState::Retired)] {
        let mut world = World::live(&["a", "b"]);
        world.channel.wanted = wanted;
        world.look();
        assert_eq!((world.channel.state, world.channel.replicas.len()), (state, 0));
        assert!(world.jobs.iter().all(|job| job.state == JobState::Cancelled));
        world.look();
        assert_eq!(world.told, ["channel.stopped"]);
    }
}

#[test]
fn an_event_decided_twice_is_one() {
    let id = |mut world: World| {
        world.silent.insert(world.replica(0));
        world.revision = 77;
        let next = world.decide().unwrap();
        assert_eq!(next.replicas.len(), 2);
        next.unsent.iter().map(|event| event.id).collect::<Vec<_>>()
    };
    let mut worlds = [World::live(&["a", "b", "c"]), World::live(&["a", "b", "c"])];
    for world in &mut worlds {
        world.run(20, |_, _| {});
    }
    let [first, second] = worlds;
    assert_eq!(id(first), id(second));
}
