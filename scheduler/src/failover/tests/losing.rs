//! By what it is seen that a replica is lost.

use framemill_schemas::live::Flaw;

use super::*;

#[test]
fn a_lost_replica_is_replaced_elsewhere_and_each_event_told_once() {
    let mut world = World::live(&["a", "b", "c"]);
    world.run(20, |_, _| {});
    world.silent.insert(world.replica(0));
    world.look();
    assert_eq!(world.channel.state, ChannelState::Degraded);
    assert_eq!(world.code(), "replica-lost");
    assert_eq!(world.told, ["channel.degraded", "channel.failover"]);
    assert_eq!(world.on(0), Some("b"));
    assert_eq!(world.channel.replicas[1].apart, [node("a"), node("b")]);
    assert_eq!(world.jobs.iter().filter(|job| !job.state.is_terminal()).count(), 2);
    world.run(10, |_, _| {});
    assert_eq!(world.told.len(), 2, "{:?}", world.told);
    world.claim(1, "c");
    world.publish();
    assert_eq!(world.channel.state, ChannelState::Live);
    assert_eq!(world.told, ["channel.degraded", "channel.failover", "channel.recovered"]);
    assert!(world.channel.why.is_none());
}

#[test]
fn a_replica_that_does_not_do_its_work_is_replaced() {
    type Change = fn(usize, &mut ReplicaStatus);
    let still: Change = |index, status| {
        if index == 0 {
            status.number = Some(101);
        }
    };
    let cases: [(&str, Change, &str); 11] = [
        ("stalled", still, "replica-stalled"),
        (
            "slow",
            |index, status| {
                if index == 0 {
                    (status.speed_milli, status.lag_ms) = (Some(979), Some(1001));
                }
            },
            "replica-slow",
        ),
        ("slow, and not behind", |i, status| status.speed_milli = Some(1000 - 21 * (i == 0) as u64), ""),
        ("slow, both", |_, status| status.speed_milli = Some(979), ""),
        ("fast enough", |index, status| status.speed_milli = Some(1000 - 20 * (index == 0) as u64), ""),
        ("frozen", |i, status| status.flaws.extend((i == 0).then_some(Flaw::Frozen)), "replica-flawed"),
        ("frozen, both", |_, status| status.flaws.push(Flaw::Frozen), ""),
        ("late", |i, status| status.flaws.extend((i == 0).then_some(Flaw::Late)), ""),
        ("has no number yet", |index, status| status.number = status.number.filter(|_| index == 1), ""),
        (
            "stalled with its source",
            |index, status| {
                if index == 0 {
                    status.number = Some(101);
                    status.sources[0].reachable = false;
                }
            },
            "",
        ),
        (
            "its encoder just began again",
            |index, status| {
                if index == 0 {
                    status.restarts = status.number.map_or(0, |number| (number > 104) as u32);
                    status.number = Some(101);
                }
            },
            "replica-stalled",
        ),
    ];
    for (what, change, code) in cases {
        let mut world = World::live(&["a", "b", "c"]);
        let first = world.replica(0);
        let mut gone = String::new();
        for _ in 0..40 {
            world.run(1, change);
            // Once it is gone, its place is another's.
            if !world.channel.replicas.iter().any(|replica| replica.job == first) {
                gone = world.code().to_owned();
                break;
            }
        }
        assert_eq!(gone, code, "{what}");
    }
}

#[test]
fn an_encoder_that_starts_again_and_again_is_replaced() {
    for (every, lost) in [(10, true), (30, false)] {
        let mut world = World::live(&["a", "b", "c"]);
        let first = world.replica(0);
        for second in 1..=120 {
            world.run(1, |index, status| status.restarts = if index == 0 { second / every } else { 0 });
            if world.code() == "replica-restarts" {
                break;
            }
        }
        assert_eq!(world.channel.replicas.iter().all(|replica| replica.job != first), lost, "{every}");
    }
}

#[test]
fn what_was_not_heard_is_nobodys_fault_while_nobody_listens() {
    let mut world = World::live(&["a", "b", "c"]);
    world.run(20, |_, _| {});
    world.listening = false;
    for _ in 0..60 {
        world.later();
        world.commit(Outcome::Segment, None);
        world.look();
    }
    assert!(world.told.is_empty(), "{:?}", world.told);
    world.listening = true;
    world.look();
    assert_eq!(world.code(), "replica-silent");
}

#[test]
fn a_replica_that_was_given_back_is_placed_anew_without_blame() {
    let mut world = World::live(&["a", "b", "c"]);
    world.run(20, |_, _| {});
    let (first, now_ms) = (world.replica(0), world.now_ms());
    let job = world.job(first);
    let holder = job.holder.clone().unwrap();
    *job = transition::release(job.clone(), &holder, now_ms).unwrap();
    world.look();
    assert_eq!(world.told, ["channel.degraded", "channel.failover"]);
    assert_eq!((world.code(), world.channel.shunned.len()), ("replica-given-back", 0));
    assert_eq!(world.job(first).state, JobState::Cancelled);
    assert_eq!(world.channel.replicas[1].apart, [node("b")]);
}

/// The source comes back, and one of two gets going a little later than the other: that is no fault.
#[test]
fn who_gets_going_after_an_outage_has_time_for_it() {
    for (seconds, lost) in [(10, false), (20, true)] {
        let mut world = World::live(&["a", "b", "c"]);
        let first = world.replica(0);
        world.run(12, |_, _| {});
        let last = world.head();
        world.run(30, |_, status| {
            status.number = Some(last);
            status.sources[0].reachable = false;
        });
        world.run(seconds, |index, status| status.number = if index == 0 { Some(last) } else { status.number });
        world.run(1, |_, _| {});
        assert_eq!(world.channel.replicas.iter().all(|replica| replica.job != first), lost, "{seconds}");
    }
}
