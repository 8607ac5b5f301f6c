//! Replicas apart in zones, where that can be.

use super::*;

/// A channel whose first replica runs on `a`, and whose second is placed.
fn second_placed(nodes: &[&str], zones: &[(&str, &str)]) -> World {
    let mut world = World::new(nodes);
    world.zone(zones);
    world.look();
    world.claim(0, "a");
    world.look();
    world
}

#[test]
fn the_second_goes_to_another_zone_where_somebody_there_could_take_it() {
    let north = [("a", "north"), ("b", "north"), ("c", "south")];
    for (nodes, zones, apart) in [
        (&["a", "b", "c"][..], &north[..], &["a", "b"][..]),
        // Nobody else is there.
        (&["a", "b"], &north, &["a"]),
        // Whoever was told no zone shares none: neither with others like it, nor with anybody.
        (&["a", "b", "c"], &[], &["a"]),
        (&["a", "b", "c"], &north[1..], &["a"]),
        (&["a", "b", "d"], &north, &["a", "b"]),
        // A node of the zone that could not take it anyway is not listed.
        (&["a", "c"], &north, &["a"]),
    ] {
        let world = second_placed(nodes, zones);
        let expected: Vec<_> = apart.iter().map(|name| node(name)).collect();
        assert_eq!(world.channel.replicas[1].apart, expected, "{nodes:?} {zones:?}");
    }
}

#[test]
fn a_node_that_does_well_is_worth_more_than_another_zone() {
    let mut world = World::live(&["a", "b", "c"]);
    world.zone(&[("a", "north"), ("c", "north"), ("b", "south")]);
    world.run(20, |_, _| {});
    // The only one of another zone fails.
    world.silent.insert(world.replica(1));
    world.look();
    assert_eq!(world.channel.replicas[1].apart, [node("a"), node("b")]);
    world.claim(1, "c");
    world.publish();
    assert_eq!((world.channel.state, world.code()), (ChannelState::Live, "same-zone"));
}

#[test]
fn a_pair_in_one_zone_is_live_and_says_so_and_is_not_moved() {
    let mut world = second_placed(&["a", "b"], &[("a", "north"), ("b", "north")]);
    world.claim(1, "b");
    world.publish();
    assert_eq!((world.channel.state, world.code()), (ChannelState::Live, "same-zone"));
    assert_eq!(world.channel.why.as_ref().unwrap().reason, "both replicas run in zone north");
    assert_eq!(world.told, ["channel.live"]);
    // A node of another zone joins: what does well stays.
    world.fleet.software.insert(node("c"));
    world.zone(&[("a", "north"), ("b", "north"), ("c", "south")]);
    let before = world.channel.clone();
    world.run(120, |_, _| {});
    assert_eq!(world.channel, before, "a look that finds nothing new changes nothing");
    // The next that is placed goes there, as after a drain.
    let second = world.replica(1);
    let (job, now_ms) = (world.job(second).clone(), world.now_ms());
    *world.job(second) = transition::release(job.clone(), &job.holder.clone().unwrap(), now_ms).unwrap();
    world.look();
    assert_eq!(world.channel.replicas[1].apart, [node("a"), node("b")]);
    world.claim(1, "c");
    world.publish();
    assert_eq!((world.channel.state, world.code()), (ChannelState::Live, ""));
}

#[test]
fn where_nobody_in_another_zone_takes_it_one_near_its_peer_may() {
    let mut world = second_placed(&["a", "b", "c"], &[("a", "north"), ("b", "north"), ("c", "south")]);
    let waits = world.replica(1);
    world.run(9, |_, _| {});
    assert_eq!(world.replica(1), waits, "who is there may take it yet");
    world.run(2, |_, _| {});
    assert_ne!(world.replica(1), waits);
    assert_eq!(world.channel.replicas[1].apart, [node("a")]);
    world.claim(1, "b");
    world.publish();
    assert_eq!((world.channel.state, world.code()), (ChannelState::Live, "same-zone"));
    assert!(world.told.iter().all(|kind| kind != "channel.failover"), "{:?}", world.told);
    world.run(61, |_, _| {});
    assert_eq!(world.channel.upkeep.anywhere_ms, 0, "zones are looked at again");
    // With nobody near its peer either, it waits where it is.
    let mut world = second_placed(&["a", "c"], &[("a", "north"), ("c", "south")]);
    let waits = world.replica(1);
    world.run(30, |_, _| {});
    assert_eq!(world.replica(1), waits);
}
