//! Who counts as heard of, and what follows.

use framemill_schemas::node::{Canary, NODE_VERSION, NodeRole};

use super::*;

fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn node(name: &str, state: NodeState, present: bool) -> (NodeId, (NodeRecord, u64)) {
    let record = NodeRecord {
        v: NODE_VERSION,
        id: id(name),
        state,
        by: Decider::Operator,
        why: String::new(),
        since_ms: 0,
        roles: vec![NodeRole { role: "worker".to_owned(), slots: 1, encodes: Vec::new(), zone: None, inventory: None }],
        present,
        lost_ms: i64::from(!present),
        deadline_s: 0,
        drained: false,
        suspicion: None,
        canary: Canary::default(),
        unsent: Vec::new(),
    };
    (id(name), (record, 1))
}

fn beat(name: &str, process: u128, slots: u32, holds: usize) -> Heartbeat {
    Heartbeat {
        v: 1,
        node: id(name),
        process: Uuid::from_u128(process),
        role: "worker".to_owned(),
        nonces: (0..holds as u128).map(Uuid::from_u128).collect(),
        slots,
        hardware: Vec::new(),
        engines: 0,
        encodes: Vec::new(),
        zone: None,
        waiting: None,
    }
}

fn decided(fleet: &Fleet, presence: &Presence, busy: &[&str], now: Instant) -> Vec<(String, Decision)> {
    let busy = busy.iter().map(|name| id(name)).collect();
    let decisions = decide(fleet, presence, &busy, &[], now, 2);
    decisions.into_iter().map(|(id, decision)| (id.to_string(), decision)).collect()
}

#[test]
fn only_a_silence_that_was_heard_in_one_piece_makes_a_node_lost() {
    let start = Instant::now();
    let at = |s| start + Duration::from_secs(s);
    let fleet = Fleet::from([node("a", NodeState::Active, true), node("b", NodeState::Draining, true)]);
    let mut presence = Presence::new(start);
    presence.hear(&beat("a", 1, 1, 0), at(10));
    assert!(decided(&fleet, &presence, &[], at(30)).is_empty());
    assert_eq!(decided(&fleet, &presence, &["b"], at(31)), [("b".to_owned(), Decision::Lost)]);
    presence.restart(at(32));
    assert!(decided(&fleet, &presence, &["b"], at(62)).is_empty());
    assert_eq!(decided(&fleet, &presence, &["b"], at(63)).len(), 2);
    // One that is known to be lost is not lost again.
    let fleet = Fleet::from([node("a", NodeState::Active, false)]);
    assert!(decided(&fleet, &presence, &[], at(100)).is_empty());
}

#[test]
fn a_node_has_drained_once_all_its_processes_say_so_and_no_record_differs() {
    let start = Instant::now();
    let at = |s| start + Duration::from_secs(s);
    let fleet = Fleet::from([node("a", NodeState::Draining, true)]);
    let drained = [("a".to_owned(), Decision::Drained)];
    // (slots and claims of two processes, running by the records, whether it has drained)
    for (first, second, busy, expected) in [
        ((0, 0), Some((0, 0)), false, true),
        ((0, 0), None, false, true),
        ((1, 0), None, false, false),
        ((0, 1), None, false, false),
        ((0, 0), Some((1, 0)), false, false),
        ((0, 0), Some((0, 2)), false, false),
        ((0, 0), None, true, false),
    ] {
        let mut presence = Presence::new(start);
        for ((slots, holds), process) in [Some(first), second].into_iter().flatten().zip(1..) {
            presence.hear(&beat("a", process, slots, holds), at(20));
        }
        let busy: &[&str] = if busy { &["a"] } else { &[] };
        let found = decided(&fleet, &presence, busy, at(20));
        assert_eq!(found == drained, expected, "{first:?} {second:?} {busy:?}: {found:?}");
    }
    // Whoever has not listened for long does not know all of its processes.
    let mut presence = Presence::new(at(20));
    presence.hear(&beat("a", 1, 0, 0), at(20));
    assert!(decided(&fleet, &presence, &[], at(20)).is_empty());
    // A node that is gone holds nothing once the records say so.
    let gone = Fleet::from([node("a", NodeState::Draining, false)]);
    assert_eq!(decided(&gone, &presence, &[], at(20)), drained);
    assert!(decided(&gone, &presence, &["a"], at(20)).is_empty());
}

#[test]
fn only_nodes_about_which_nobody_decided_anything_are_forgotten() {
    let now = Instant::now();
    let presence = Presence::new(now);
    let fleet = Fleet::from([
        node("a", NodeState::Active, false),
        node("b", NodeState::Quarantined, false),
        node("c", NodeState::Active, true),
    ]);
    let decisions = decide(&fleet, &presence, &HashSet::new(), &[], now, FORGOTTEN_MS + 2);
    assert_eq!(decisions, [(id("a"), Decision::Forget)]);
}
