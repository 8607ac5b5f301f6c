use std::{collections::HashMap, time::Duration};

use framemill_queue::transition;
use framemill_schemas::{
    holder::Holder,
    job::{JobRecord, JobState},
    ladder::EnginePolicy,
    live::{Flaw, ReplicaStatus, SourceStatus},
};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    ops::sample,
    view::{Noted, Outcome, Word},
};

/// Milliseconds of a segment of the sample channel.
const SEGMENT_MS: u64 = 4000;

/// A channel, its jobs, and a farm of nodes that do what the test says.
struct World {
    start: Instant,
    ms: u64,
    revision: u64,
    channel: ChannelRecord,
    jobs: Vec<JobRecord>,
    known: Known,
    silent: HashSet<JobId>,
    listening: bool,
    fleet: Fleet,
    memory: Memory,
    /// Kinds of all events that were decided.
    told: Vec<String>,
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

impl World {
    fn new(nodes: &[&str]) -> Self {
        Self {
            start: Instant::now(),
            ms: 1_000_000,
            revision: 1,
            channel: ChannelRecord { since_ms: 1_000_000, ..sample::channel(Wanted::Running) },
            jobs: Vec::new(),
            known: Known::default(),
            silent: HashSet::new(),
            listening: true,
            fleet: Fleet { software: nodes.iter().map(|name| node(name)).collect(), hardware: BTreeSet::new() },
            memory: Memory::default(),
            told: Vec::new(),
        }
    }

    /// One that is live on `a` and `b`.
    fn live(nodes: &[&str]) -> Self {
        let mut world = Self::new(nodes);
        world.look();
        world.claim(0, "a");
        world.look();
        world.claim(1, "b");
        world.publish();
        assert_eq!(world.channel.state, ChannelState::Live, "{:?}", world.channel);
        world.told.clear();
        world
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    fn now_ms(&self) -> i64 {
        self.ms.cast_signed()
    }

    fn replica(&self, index: usize) -> JobId {
        self.channel.replicas[index].job
    }

    fn on(&self, index: usize) -> Option<&str> {
        self.channel.replicas.get(index)?.node.as_ref().map(NodeId::as_str)
    }

    fn job(&mut self, id: JobId) -> &mut JobRecord {
        self.jobs.iter_mut().find(|job| job.id == id).unwrap()
    }

    fn claim(&mut self, index: usize, name: &str) {
        let (id, now_ms) = (self.replica(index), self.now_ms());
        let holder = Holder { node: node(name), process: Uuid::nil(), nonce: Uuid::nil() };
        let job = self.job(id);
        *job = transition::claim(job.clone(), holder, now_ms).unwrap();
    }

    /// A second later.
    fn later(&mut self) {
        self.ms += 1000;
    }

    /// Looks once, and does what follows.
    fn look(&mut self) {
        self.revision += 1;
        let jobs: Vec<_> = self.jobs.iter().map(|job| Arc::new(JobSummary::of(1, job.clone()))).collect();
        let facts = Facts {
            now: self.now(),
            now_ms: self.now_ms(),
            revision: self.revision,
            jobs: &jobs,
            known: &self.known,
            silent: &self.silent,
            listening: self.listening,
            fleet: &self.fleet,
        };
        self.memory.observe(&self.channel, &facts);
        if let Some(mut next) = decide(&self.channel, &facts, &self.memory) {
            self.told.extend(next.unsent.drain(..).map(|event| event.kind));
            self.channel = next;
        }
        let (todo, now_ms) = (chores(&self.channel, &jobs, self.now_ms()), self.now_ms());
        for id in todo.cancel {
            let job = self.job(id);
            *job = transition::cancel(job.clone(), now_ms).unwrap();
        }
        for id in todo.create {
            let replica = self.channel.replicas.iter().find(|replica| replica.job == id).unwrap();
            self.jobs.push(job_of(&self.channel, replica, now_ms).unwrap());
        }
        self.jobs.retain(|job| !todo.forget.contains(&job.id));
    }

    fn head(&self) -> u64 {
        self.known.log.last_key_value().map_or(99, |(number, _)| *number)
    }

    fn commit(&mut self, what: Outcome, by: Option<usize>) {
        let by = by.map(|index| (self.replica(index), node("x")));
        let number = self.head() + 1;
        self.known.log.insert(number, Noted { what, timeline: 1, by, at: self.now() });
    }

    fn status(&self, index: usize) -> ReplicaStatus {
        let source = SourceStatus {
            uri: "udp://239.0.0.1:5000".to_owned(),
            active: true,
            reachable: true,
            bits_per_s: 1,
            last_packet_ms: Some(1),
            format: None,
            reconnects: 0,
            lost_packets: 0,
            trouble: None,
        };
        ReplicaStatus {
            v: 1,
            tenant: self.channel.tenant.clone(),
            channel_id: self.channel.id.clone(),
            job_id: self.replica(index),
            node: node("x"),
            at_ms: self.now_ms(),
            timeline: Some(1),
            encoding: true,
            restarts: 0,
            number: Some(self.head()),
            lag_ms: Some(1),
            speed_milli: Some(1000),
            committed: 0,
            yielded: 0,
            flaws: Vec::new(),
            sources: vec![source],
            tracks: Vec::new(),
            trouble: None,
        }
    }

    fn say(&mut self, status: ReplicaStatus) {
        let at = self.now();
        self.known.words.insert(status.job_id, Arc::new(Word { status, at }));
    }

    /// Every replica commits once, says that it is well, and is looked at.
    fn publish(&mut self) {
        for index in 0..self.channel.replicas.len() {
            self.commit(Outcome::Segment, Some(index));
        }
        for index in 0..self.channel.replicas.len() {
            self.say(self.status(index));
        }
        self.look();
    }

    /// Goes on for so many seconds, each with what the replicas say, a number every four.
    fn run(&mut self, seconds: u64, mut change: impl FnMut(usize, &mut ReplicaStatus)) {
        for second in 0..seconds {
            self.later();
            if second % (SEGMENT_MS / 1000) == 0 {
                self.commit(Outcome::Segment, None);
            }
            for index in 0..self.channel.replicas.len() {
                let mut status = self.status(index);
                change(index, &mut status);
                self.say(status);
            }
            self.look();
        }
    }

    fn code(&self) -> &str {
        self.channel.why.as_ref().map_or("", |why| why.code.as_str())
    }
}

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
fn a_replica_that_does_not_do_its_work_is_replaced() {
    type Change = fn(usize, &mut ReplicaStatus);
    let still: Change = |index, status| {
        if index == 0 {
            status.number = Some(101);
        }
    };
    let cases: [(&str, Change, &str); 9] = [
        ("stalled", still, "replica-stalled"),
        ("slow", |index, status| status.speed_milli = Some(1000 - 21 * (index == 0) as u64), "replica-slow"),
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
        let mut second = 0;
        for _ in 0..120 {
            second += 1;
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
            let failure = Failure::new(framemill_schemas::failure::Class::Resource, "no-memory", "no memory");
            *job = transition::fail(job.clone(), &job.holder.clone().unwrap(), failure, new.placed_ms).unwrap();
        }
    }
    let pauses: Vec<_> = placed.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
    assert_eq!(&pauses[..5], [10, 20, 40, 60, 60]);
    assert_eq!(world.told.iter().filter(|kind| *kind == "channel.degraded").count(), 1);
    assert_eq!(world.code(), "replicas-fail");
}

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
    let (from, jobs) = (world.head() - 3, Vec::new());
    let facts = Facts {
        now: world.now(),
        now_ms: world.now_ms(),
        revision: 9,
        jobs: &jobs,
        known: &world.known,
        silent: &world.silent,
        listening: true,
        fleet: &world.fleet,
    };
    let next = decide(&world.channel, &facts, &world.memory).unwrap();
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
fn fewer_replicas_are_wanted_and_the_one_that_publishes_stays() {
    let mut world = World::live(&["a", "b", "c"]);
    world.channel.edition.redundancy = 1;
    world.channel.replicas[0].proven = false;
    let stays = world.replica(1);
    world.known.log.clear();
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
        world.fleet = Fleet { software: BTreeSet::from([node("c")]), hardware: BTreeSet::from([node("c")]) };
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
                    let failure = Failure::new(framemill_schemas::failure::Class::Bug, "x", "y");
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
        nodes in 0..5_usize, acts in acts(),
    ) {
        let mut world = World::new(&NODES[..nodes]);
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
    fn a_farm_with_nodes_enough_ends_up_with_a_pair_on_two_of_them(acts in acts()) {
        let mut world = World::new(&NODES);
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

#[test]
fn an_event_decided_twice_is_one() {
    let id = |mut world: World| {
        world.silent.insert(world.replica(0));
        let jobs: Vec<_> = world.jobs.iter().map(|job| Arc::new(JobSummary::of(1, job.clone()))).collect();
        let facts = Facts {
            now: world.now(),
            now_ms: world.now_ms(),
            revision: 77,
            jobs: &jobs,
            known: &world.known,
            silent: &world.silent,
            listening: true,
            fleet: &world.fleet,
        };
        let next = decide(&world.channel, &facts, &world.memory).unwrap();
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
