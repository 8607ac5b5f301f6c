//! Where replicas go, and how soon.

use framemill_schemas::{failure::Class, ladder::EnginePolicy};

use super::*;

#[test]
fn a_pair_is_placed_one_after_the_other_on_two_nodes() {
    let mut world = World::new(&["a", "b"]);
    world.look();
    assert_eq!((world.channel.replicas.len(), world.jobs.len()), (1, 1));
    world.look();
    assert_eq!(world.channel.replicas.len(), 1, "the first is not claimed yet");
    world.claim(0, "a");
    world.look();
    assert_eq!(world.channel.replicas[1].apart, [node("a")]);
    assert_eq!(world.channel.state, ChannelState::Starting);
    world.claim(1, "b");
    world.publish();
    assert_eq!((world.channel.state, world.told.as_slice()), (ChannelState::Live, &["channel.live".to_owned()][..]));
    let before = world.channel.clone();
    world.run(60, |_, _| {});
    assert_eq!(world.channel, before, "a look that finds nothing new changes nothing");
}

#[test]
fn without_a_second_node_one_replica_is_placed_and_the_record_says_why() {
    let mut world = World::new(&["a"]);
    world.look();
    world.claim(0, "a");
    world.publish();
    assert_eq!((world.channel.replicas.len(), world.channel.state), (1, ChannelState::Degraded));
    assert_eq!((world.code(), world.told.as_slice()), ("no-second-node", &["channel.live".to_owned()][..]));
    world.fleet.software.insert(node("b"));
    world.look();
    assert_eq!(world.channel.replicas[1].apart, [node("a")]);
    world.claim(1, "b");
    world.publish();
    assert_eq!(world.channel.state, ChannelState::Live);
    assert_eq!(world.told, ["channel.live", "channel.recovered"]);
}

#[test]
fn a_node_that_failed_is_shunned_unless_nobody_else_is_there() {
    for (nodes, apart) in [(&["a", "b", "c"][..], &["a", "b"][..]), (&["a", "b"], &["b"])] {
        let mut world = World::live(nodes);
        world.run(20, |_, _| {});
        world.silent.insert(world.replica(0));
        world.look();
        let expected: Vec<_> = apart.iter().map(|name| node(name)).collect();
        assert_eq!(world.channel.replicas[1].apart, expected, "{nodes:?}");
    }
    // After a while it is as good as any.
    let mut world = World::live(&["a", "b", "c"]);
    world.silent.insert(world.replica(0));
    world.run(61, |_, _| {});
    assert!(world.channel.shunned.is_empty());
}

#[test]
fn both_lost_the_first_is_placed_at_once_and_the_second_once_that_is_claimed() {
    let mut world = World::live(&["a", "b", "c", "d"]);
    world.run(20, |_, _| {});
    world.silent.extend([world.replica(0), world.replica(1)]);
    world.look();
    assert_eq!(world.channel.replicas.len(), 1);
    world.claim(0, "c");
    world.look();
    assert_eq!(world.channel.replicas.len(), 2);
    world.claim(1, "d");
    world.publish();
    assert_eq!(world.channel.state, ChannelState::Live);
    let expected = ["channel.degraded", "channel.failover", "channel.failover", "channel.recovered"];
    assert_eq!(world.told, expected);
}

#[test]
fn two_on_one_node_are_parted() {
    let mut world = World::live(&["a", "b", "c"]);
    world.run(20, |_, _| {});
    let second = world.replica(1);
    world.job(second).holder.as_mut().unwrap().node = node("a");
    world.look();
    assert_eq!(world.code(), "replicas-together");
    assert_eq!(world.channel.replicas[1].apart, [node("a")]);
}

#[test]
fn replicas_that_keep_failing_are_placed_less_and_less_often() {
    let mut world = World::live(&["a", "b", "c", "d"]);
    world.run(30, |_, _| {});
    let mut placed = Vec::new();
    let second = world.replica(1);
    for _ in 0..400 {
        world.later();
        world.commit(Outcome::Segment, Some(0));
        world.say(world.status(0));
        let last = world.channel.replicas.last().unwrap().job;
        if last == second && placed.is_empty() {
            world.silent.insert(second);
        }
        world.look();
        let Some(new) = world.channel.replicas.get(1).cloned() else { continue };
        if new.job != second && placed.last() != Some(&new.placed_ms) {
            placed.push(new.placed_ms);
            world.claim(1, "c");
            let job = world.job(new.job);
            let failure = Failure::new(Class::Resource, "no-memory", "no memory");
            *job = transition::fail(job.clone(), &job.holder.clone().unwrap(), failure, new.placed_ms).unwrap();
        }
    }
    let pauses: Vec<_> = placed.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
    assert_eq!(&pauses[..5], [10, 20, 40, 60, 60]);
    assert_eq!(world.told.iter().filter(|kind| *kind == "channel.degraded").count(), 1);
    assert_eq!(world.code(), "replicas-fail");
}

#[test]
fn fewer_replicas_are_wanted_and_the_one_that_publishes_stays() {
    let mut world = World::live(&["a", "b", "c"]);
    world.channel.edition.redundancy = 1;
    world.channel.replicas[0].proven = false;
    let stays = world.replica(1);
    world.known.log = Arc::default();
    world.known.words.clear();
    world.look();
    assert_eq!((world.channel.replicas.len(), world.replica(0)), (1, stays));
}

#[test]
fn the_second_encodes_as_the_first_and_a_pair_is_worth_more_than_a_gpu() {
    for (policy, hardware, software, expected) in [
        (EnginePolicy::Software, 2, 2, Engine::Software),
        (EnginePolicy::PreferHardware, 2, 2, Engine::Nvenc),
        (EnginePolicy::PreferHardware, 1, 2, Engine::Software),
        (EnginePolicy::PreferHardware, 1, 1, Engine::Nvenc),
        (EnginePolicy::PreferHardware, 0, 2, Engine::Software),
        (EnginePolicy::PreferHardware, 0, 0, Engine::Software),
        (EnginePolicy::RequireHardware, 0, 2, Engine::Nvenc),
    ] {
        let names = ["a", "b"];
        let mut world = World::new(&names[..software]);
        world.fleet.hardware = names[..hardware].iter().map(|name| node(name)).collect();
        world.channel.edition.ladder.engine = policy;
        world.look();
        assert_eq!(world.channel.replicas[0].engine, expected, "{policy:?} {hardware} {software}");
        world.claim(0, "a");
        // Whatever comes later.
        let all = BTreeSet::from([node("c")]);
        world.fleet = Fleet { software: all.clone(), hardware: all, ..Fleet::default() };
        world.look();
        assert_eq!(world.channel.replicas[1].engine, expected, "{policy:?} {hardware} {software}");
    }
}

#[test]
fn a_replica_that_waits_at_the_wrong_door_is_placed_anew_without_a_word() {
    let mut world = World::new(&["a", "b"]);
    world.look();
    world.claim(0, "a");
    world.look();
    let waits = world.replica(1);
    world.channel.replicas[1].apart = vec![node("a"), node("b")];
    world.run(4, |_, _| {});
    assert_eq!(world.replica(1), waits);
    world.run(2, |_, _| {});
    assert_ne!(world.replica(1), waits);
    assert_eq!(world.channel.replicas[1].apart, [node("a")]);
    assert!(world.told.iter().all(|kind| kind != "channel.failover"), "{:?}", world.told);
}

#[test]
fn replicas_that_ended_long_ago_are_forgotten_but_for_the_last() {
    let mut world = World::live(&["a", "b"]);
    let template = world.jobs[0].clone();
    for number in 0..20_u32 {
        let id = JobId::derive(template.asset, 1, &format!("old/{number}"), 0);
        let ended_ms = i64::from(number);
        world.jobs.push(JobRecord { id, state: JobState::Cancelled, ended_ms, ..template.clone() });
    }
    world.look();
    assert_eq!(world.jobs.len(), 22);
    world.ms += 2 * 3_600_000;
    world.listening = false;
    world.look();
    assert_eq!(world.jobs.iter().filter(|job| job.state.is_terminal()).count(), 8);
}

#[test]
fn a_channel_that_no_node_can_make_is_tried_less_and_less_often_and_no_node_is_blamed() {
    let mut world = World::live(&["a", "b", "c"]);
    world.run(30, |_, _| {});
    world.listening = false;
    for strikes in 1..4 {
        let (id, now_ms) = (world.channel.replicas.last().unwrap().job, world.now_ms());
        world.channel.replicas.last_mut().unwrap().proven = false;
        let job = world.job(id);
        let failure = Failure::new(Class::Input, "no-decoder", "nobody decodes it");
        *job = transition::fail(job.clone(), &job.holder.clone().unwrap(), failure, now_ms).unwrap();
        world.known.words.remove(&id);
        let log = Arc::make_mut(&mut world.known.log);
        log.retain(|_, noted| noted.by.as_ref().is_none_or(|(by, _)| *by != id));
        world.look();
        assert_eq!((world.channel.upkeep.strikes, world.channel.shunned.len()), (strikes, 0));
        world.ms += 60_000;
        world.look();
        world.claim(1, "c");
    }
}
