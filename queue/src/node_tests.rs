//! Every transition of a node from every state, and what no order of them can break.

use framemill_schemas::failure::Class;
use proptest::prelude::*;

use super::*;

fn at(revision: u64) -> Moment {
    Moment { now_ms: 1_000 + i64::try_from(revision).unwrap(), revision }
}

fn id() -> NodeId {
    "gpu-7".parse().unwrap()
}

fn role(name: &str) -> NodeRole {
    NodeRole { role: name.to_owned(), slots: 2, encodes: Vec::new(), zone: None, inventory: None }
}

fn active() -> NodeRecord {
    let mut node = join(None, &id(), &role("worker"), at(0)).unwrap();
    node.unsent.clear();
    node
}

fn by_farm() -> NodeRecord {
    quiet(quarantine(active(), Decider::Farm, "two jobs".to_owned(), at(1)).unwrap())
}

fn by_operator() -> NodeRecord {
    quiet(quarantine(active(), Decider::Operator, "a smell of smoke".to_owned(), at(1)).unwrap())
}

fn draining() -> NodeRecord {
    quiet(drain(active(), 60, at(1)).unwrap())
}

fn quiet(mut node: NodeRecord) -> NodeRecord {
    node.unsent.clear();
    node
}

fn broken() -> Result<(), Failure> {
    Err(Failure::new(Class::Transient, "ffmpeg-crashed", "signal 11"))
}

#[test]
fn each_transition_from_each_state() {
    use NodeState::{Active, Draining, Quarantined};
    type Change = fn(NodeRecord) -> Option<NodeRecord>;
    let changes: [(&str, Change); 8] = [
        ("join", |node| join(Some(node), &id(), &role("worker"), at(9))),
        ("drain", |node| drain(node, 60, at(9))),
        ("drained", |node| drained(node, at(9))),
        ("resume", |node| resume(node, at(9))),
        ("quarantine", |node| quarantine(node, Decider::Farm, "why".to_owned(), at(9))),
        ("by hand", |node| quarantine(node, Decider::Operator, "why".to_owned(), at(9))),
        ("suspect", |node| suspect(node, Some("why".to_owned()), at(9))),
        ("tried", |node| tried(node, Ok(()), at(9))),
    ];
    let states = [active(), draining(), by_farm(), by_operator()];
    // Columns: what becomes of active, draining, quarantined by the farm, and by an operator.
    let expected: [[Option<NodeState>; 4]; 8] = [
        [None; 4],
        [Some(Draining), None, Some(Draining), Some(Draining)],
        [None, Some(Draining), None, None],
        [None, Some(Active), Some(Active), Some(Active)],
        [Some(Quarantined), None, None, None],
        [Some(Quarantined); 4],
        [Some(Active), None, None, None],
        [None, None, Some(Quarantined), None],
    ];
    for ((name, change), row) in changes.into_iter().zip(expected) {
        for (before, expected) in states.iter().zip(row) {
            let after = change(before.clone());
            assert_eq!(after.as_ref().map(|node| node.state), expected, "{name} of {:?} {:?}", before.state, before.by);
        }
    }
}

#[test]
fn each_change_says_what_happened_once() {
    let said = |node: Option<NodeRecord>| {
        let node = node.unwrap();
        let kinds: Vec<_> = node.unsent.iter().map(|event| event.kind.clone()).collect();
        assert!(node.unsent.iter().all(|event| event.data.node.as_ref() == Some(&node.id)));
        kinds
    };
    let away = quiet(lost(active(), at(2)).unwrap());
    let suspected = quiet(suspect(active(), Some("two jobs".to_owned()), at(2)).unwrap());
    for (node, expected) in [
        (join(None, &id(), &role("worker"), at(0)), &["node.joined"][..]),
        (join(Some(away), &id(), &role("worker"), at(3)), &["node.joined"]),
        (join(Some(active()), &id(), &role("packager"), at(3)), &[]),
        (lost(active(), at(3)), &["node.lost"]),
        (lost(quiet(drained(draining(), at(2)).unwrap()), at(3)), &[]),
        (drain(active(), 5, at(3)), &[]),
        (drained(draining(), at(3)), &["node.drained"]),
        (resume(draining(), at(3)), &["node.joined"]),
        (resume(suspected.clone(), at(3)), &["node.joined"]),
        (quarantine(active(), Decider::Farm, "why".to_owned(), at(3)), &["node.quarantined"]),
        (suspect(active(), Some("why".to_owned()), at(3)), &["node.degraded"]),
        (suspect(suspected, None, at(3)), &[]),
    ] {
        assert_eq!(said(node), expected);
    }
}

#[test]
fn two_good_canaries_in_a_row_release_and_a_bad_one_starts_anew() {
    let mut node = by_farm();
    for (outcome, good, state) in [
        (broken(), 0, NodeState::Quarantined),
        (Ok(()), 1, NodeState::Quarantined),
        (broken(), 0, NodeState::Quarantined),
        (Ok(()), 1, NodeState::Quarantined),
        (Ok(()), 2, NodeState::Active),
    ] {
        let failed = outcome.is_err();
        node = tried(node, outcome, at(5)).unwrap();
        assert_eq!((node.canary.good, node.state), (good, state));
        assert_eq!(node.canary.failure.is_some(), failed);
    }
    assert_eq!(node.canary.runs, 5);
    assert_eq!(node.unsent.last().unwrap().kind, "node.joined");
}

#[test]
fn a_restart_changes_nothing_about_what_was_decided() {
    for before in [draining(), by_farm(), by_operator()] {
        let away = quiet(lost(before.clone(), at(2)).unwrap());
        let back = join(Some(away), &id(), &role("worker"), at(3)).unwrap();
        assert_eq!(NodeRecord { unsent: Vec::new(), ..back }, before);
    }
}

#[test]
fn a_suspicion_is_said_once_and_goes_with_its_cause() {
    let node = suspect(active(), Some("two jobs".to_owned()), at(1)).unwrap();
    assert_eq!(suspect(node.clone(), Some("three jobs".to_owned()), at(2)), None);
    let node = suspect(node, None, at(2)).unwrap();
    assert_eq!(node.suspicion, None);
    assert_eq!(suspect(node, None, at(3)), None);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Join,
    Drain(u32),
    Drained,
    Resume,
    Farm,
    Operator,
    Suspect(bool),
    Tried(bool),
    Lost,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Join),
        (0_u32..3).prop_map(Step::Drain),
        Just(Step::Drained),
        Just(Step::Resume),
        Just(Step::Farm),
        Just(Step::Operator),
        any::<bool>().prop_map(Step::Suspect),
        any::<bool>().prop_map(Step::Tried),
        Just(Step::Lost),
    ]
}

proptest! {
    /// Whatever happens, in whatever order: only an operator undoes what an operator did, only a
    /// draining node is drained, and lists are bounded.
    #[test]
    fn no_order_of_things_overrules_an_operator(steps in prop::collection::vec(step(), 1..200)) {
        let mut node = active();
        for (revision, step) in (1..).zip(steps) {
            let before = node.clone();
            let now = at(revision);
            let changed = match step {
                Step::Join => join(Some(node.clone()), &id(), &role("worker"), now),
                Step::Drain(deadline_s) => drain(node.clone(), deadline_s, now),
                Step::Drained => drained(node.clone(), now),
                Step::Resume => resume(node.clone(), now),
                Step::Farm => quarantine(node.clone(), Decider::Farm, "farm".to_owned(), now),
                Step::Operator => quarantine(node.clone(), Decider::Operator, "operator".to_owned(), now),
                Step::Suspect(is) => suspect(node.clone(), is.then(|| "suspicion".to_owned()), now),
                Step::Tried(good) => tried(node.clone(), if good { Ok(()) } else { broken() }, now),
                Step::Lost => lost(node.clone(), now),
            };
            let Some(after) = changed else { continue };
            prop_assert_ne!(&after, &before, "a change that changes nothing");
            if before.by == Decider::Operator && before.state != NodeState::Active && after.state != before.state {
                prop_assert!(matches!(step, Step::Drain(_) | Step::Resume | Step::Operator), "{:?}", step);
            }
            prop_assert!(!after.drained || after.state == NodeState::Draining);
            prop_assert!(after.suspicion.is_none() || after.state == NodeState::Active);
            prop_assert!(after.deadline_s == 0 || after.state == NodeState::Draining);
            prop_assert_eq!(after.present, after.lost_ms == 0);
            prop_assert!(after.unsent.len() <= UNSENT_MAX && after.roles.len() <= ROLES_MAX);
            node = after;
        }
    }
}
