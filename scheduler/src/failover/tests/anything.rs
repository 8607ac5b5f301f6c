//! Whatever happens, in whatever order.

use std::collections::HashMap;

use framemill_schemas::failure::Class;
use proptest::prelude::*;

use super::*;

/// One thing that happens to a farm.

#[derive(Clone, Debug)]
enum Act {
    Look,
    Pass(u64),
    Claim(usize, usize),
    Lose(usize),
    GiveBack(usize),
    Fail(usize),
    Join(usize),
    Leave(usize),
    Commit(usize),
    Stall(usize),
    Redundancy(u32),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => Just(Act::Look),
        3 => (1_u64..20_000).prop_map(Act::Pass),
        6 => (0..2_usize, 0..4_usize).prop_map(|(replica, node)| Act::Claim(replica, node)),
        1 => (0..2_usize).prop_map(Act::Lose),
        1 => (0..2_usize).prop_map(Act::GiveBack),
        1 => (0..2_usize).prop_map(Act::Fail),
        1 => (0..4_usize).prop_map(Act::Join),
        1 => (0..4_usize).prop_map(Act::Leave),
        3 => (0..2_usize).prop_map(Act::Commit),
        1 => (0..2_usize).prop_map(Act::Stall),
        1 => (1..3_u32).prop_map(Act::Redundancy),
    ];
    proptest::collection::vec(act, 1..120)
}

const NODES: [&str; 4] = ["a", "b", "c", "d"];
const ZONES: [(&str, &str); 3] = [("a", "north"), ("b", "north"), ("c", "south")];

impl World {
    /// A worker takes a job as the runner's judgement lets it: once, and not where it is kept apart from.
    fn may_claim(&mut self, index: usize, name: &str) -> bool {
        let Some(replica) = self.channel.replicas.get(index).cloned() else { return false };
        let Some(job) = self.jobs.iter().find(|job| job.id == replica.job) else { return false };
        job.state == JobState::Ready
            && job.attempt == 0
            && !replica.apart.contains(&node(name))
            && self.fleet.software.contains(&node(name))
    }

    fn running(&self, index: usize) -> Option<JobRecord> {
        let id = self.channel.replicas.get(index)?.job;
        self.jobs.iter().find(|job| job.id == id && job.state == JobState::Running).cloned()
    }

    fn act(&mut self, act: &Act) {
        let now_ms = self.now_ms();
        match *act {
            Act::Look => self.look(),
            Act::Pass(ms) => self.ms += ms,
            Act::Claim(replica, name) if self.may_claim(replica, NODES[name]) => self.claim(replica, NODES[name]),
            Act::Lose(index) => self.silent.extend(self.running(index).map(|job| job.id)),
            Act::GiveBack(index) => {
                if let Some(job) = self.running(index) {
                    *self.job(job.id) = transition::release(job.clone(), &job.holder.clone().unwrap(), now_ms).unwrap();
                }
            }
            Act::Fail(index) => {
                if let Some(job) = self.running(index) {
                    let failure = Failure::new(Class::Bug, "x", "y");
                    let failed = transition::fail(job.clone(), &job.holder.clone().unwrap(), failure, now_ms);
                    *self.job(job.id) = failed.unwrap();
                }
            }
            Act::Join(index) => {
                self.fleet.software.insert(node(NODES[index]));
            }
            Act::Leave(index) => {
                self.fleet.software.remove(&node(NODES[index]));
            }
            Act::Commit(index) if self.running(index).is_some() => {
                self.commit(Outcome::Segment, Some(index));
                self.say(self.status(index));
            }
            Act::Stall(index) if self.running(index).is_some() => {
                let mut status = self.status(index);
                status.number = Some(1);
                self.say(status);
            }
            Act::Redundancy(redundancy) => self.channel.edition.redundancy = redundancy,
            Act::Claim(..) | Act::Commit(_) | Act::Stall(_) => {}
        }
    }

    /// What must hold after each look, whatever happened.
    fn check(&self, before: &ChannelRecord) {
        let open = self.jobs.iter().filter(|job| !job.state.is_terminal()).count();
        assert!(open <= self.channel.edition.redundancy as usize, "{open} jobs are open");
        assert!(self.channel.replicas.len() <= self.channel.edition.redundancy as usize);
        for (index, replica) in self.channel.replicas.iter().enumerate() {
            if before.replicas.iter().any(|old| old.job == replica.job) {
                continue;
            }
            let peers = self.channel.replicas.iter().enumerate().filter(|(other, _)| *other != index);
            for (_, peer) in peers {
                let on = peer.node.as_ref().expect("the next is placed once it is known where the one before runs");
                assert!(replica.apart.contains(on), "{replica:?} may run where {peer:?} does");
            }
        }
        let mut on: HashMap<&NodeId, usize> = HashMap::new();
        let running = self.jobs.iter().filter(|job| job.state == JobState::Running);
        for holder in running.filter_map(|job| job.holder.as_ref()) {
            *on.entry(&holder.node).or_default() += 1;
        }
        assert!(on.values().all(|count| *count == 1), "{on:?}");
    }
}

proptest! {
    #[test]
    fn whatever_happens_no_two_replicas_share_a_node_and_none_is_one_too_many(
        nodes in 0..5_usize, zoned in any::<bool>(), acts in acts(),
    ) {
        let mut world = World::new(&NODES[..nodes]);
        world.zone(if zoned { &ZONES } else { &[] });
        for act in &acts {
            let before = world.channel.clone();
            world.act(act);
            if matches!(act, Act::Look) {
                world.check(&before);
            }
        }
        // Each fall is told before its end.
        let mut fallen = 0_i32;
        for kind in &world.told {
            match kind.as_str() {
                "channel.degraded" => fallen += 1,
                "channel.recovered" => {
                    prop_assert!(fallen > 0 || world.told.iter().any(|kind| kind == "channel.live"));
                    fallen = 0;
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_farm_with_nodes_enough_ends_up_with_a_pair_on_two_of_them(zoned in any::<bool>(), acts in acts()) {
        let mut world = World::new(&NODES);
        world.zone(if zoned { &ZONES } else { &[] });
        for act in &acts {
            world.act(act);
        }
        world.channel.edition.redundancy = 2;
        world.fleet.software = NODES.iter().map(|name| node(name)).collect();
        for _ in 0..200 {
            world.later();
            world.look();
            for replica in 0..2 {
                if let Some(name) = NODES.iter().find(|name| world.may_claim(replica, name)) {
                    world.claim(replica, name);
                }
                world.act(&Act::Commit(replica));
            }
        }
        prop_assert_eq!(world.channel.replicas.len(), 2);
        let (first, second) = (world.on(0).unwrap(), world.on(1).unwrap());
        prop_assert_ne!(first, second);
    }
}
