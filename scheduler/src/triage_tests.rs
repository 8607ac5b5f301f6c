//! Who is blamed, and who never is.

use framemill_schemas::node::{Canary, Decider, NODE_VERSION, NodeRole};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const NOW: i64 = 10 * WINDOW_MS;

fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn node(name: &str, roles: &[&str]) -> NodeRecord {
    let role =
        |role: &&str| NodeRole { role: (*role).to_owned(), slots: 1, encodes: Vec::new(), zone: None, inventory: None };
    NodeRecord {
        v: NODE_VERSION,
        id: id(name),
        state: NodeState::Active,
        by: Decider::Farm,
        why: "it joined".to_owned(),
        since_ms: 0,
        roles: roles.iter().map(role).collect(),
        present: true,
        lost_ms: 0,
        deadline_s: 0,
        drained: false,
        suspicion: None,
        canary: Canary::default(),
        unsent: Vec::new(),
    }
}

fn fleet(nodes: impl IntoIterator<Item = NodeRecord>) -> BTreeMap<NodeId, NodeRecord> {
    nodes.into_iter().map(|node| (node.id.clone(), node)).collect()
}

fn workers(names: &[&str]) -> BTreeMap<NodeId, NodeRecord> {
    fleet(names.iter().map(|name| node(name, &["worker"])))
}

/// A transcode job of an asset: (node, code, seconds ago) of each failure; where it was done, and
/// how many seconds ago.
fn trial(job: u128, asset: u128, failed: &[(&str, &str, i64)], done: Option<(&str, i64)>) -> Trial {
    let failure = |(node, code, ago): &(&str, &str, i64)| Failure {
        node: Some(id(node)),
        at_ms: NOW - ago * 1000,
        ..Failure::new(if *code == "blamed" { Class::Input } else { Class::Transient }, code, "r")
    };
    Trial {
        job: JobId::new(Uuid::from_u128(job)),
        asset: AssetId::new(Uuid::from_u128(asset)),
        kind: JobKind::Transcode,
        unit: format!("transcode/h264/{job:04}"),
        failures: failed.iter().map(failure).collect(),
        done: done.map(|(node, ago)| (id(node), NOW - ago * 1000)),
        waits: done.is_none(),
    }
}

const CRASH: &str = "ffmpeg-crashed";

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Quarantine(_) => "quarantine",
        Verdict::Suspect(_) => "suspect",
        Verdict::Clear => "clear",
    }
}

/// What is said of each node, in order of their names.
fn judged(nodes: &BTreeMap<NodeId, NodeRecord>, trials: &[Trial]) -> Vec<&'static str> {
    triage(nodes, trials, NOW).iter().map(|(_, verdict)| name(verdict)).collect()
}

#[test]
fn the_node_or_the_source() {
    let two = workers(&["a", "b"]);
    let window_s = WINDOW_MS / 1000;
    for (what, trials, expected) in [
        ("nothing", vec![], ["clear", "clear"]),
        ("one job", vec![trial(1, 1, &[("a", CRASH, 9)], Some(("b", 5)))], ["clear", "clear"]),
        (
            "two jobs of one title that ran elsewhere",
            vec![trial(1, 1, &[("a", CRASH, 9)], Some(("b", 5))), trial(2, 1, &[("a", CRASH, 8)], Some(("b", 4)))],
            ["quarantine", "clear"],
        ),
        (
            "two jobs of one title that nobody else has tried: it may be the title",
            vec![
                trial(1, 1, &[("a", CRASH, 19)], None),
                trial(2, 1, &[("a", CRASH, 18)], None),
                trial(3, 2, &[], Some(("b", 4))),
            ],
            ["clear", "clear"],
        ),
        (
            "two titles, while a third runs elsewhere",
            vec![
                trial(1, 1, &[("a", CRASH, 19)], None),
                trial(2, 2, &[("a", CRASH, 18)], None),
                trial(3, 3, &[], Some(("b", 4))),
            ],
            ["quarantine", "clear"],
        ),
        (
            "two titles, which others will try in a moment",
            vec![
                trial(1, 1, &[("a", CRASH, 9)], None),
                trial(2, 2, &[("a", CRASH, 8)], None),
                trial(3, 3, &[], Some(("b", 4))),
            ],
            ["clear", "clear"],
        ),
        (
            "two titles, one of which others try now",
            vec![
                trial(1, 1, &[("a", CRASH, 19)], None),
                Trial { waits: false, ..trial(2, 2, &[("a", CRASH, 18)], None) },
                trial(3, 3, &[], Some(("b", 4))),
            ],
            ["clear", "clear"],
        ),
        (
            "two titles, of which one is blamed by another of its jobs",
            vec![
                trial(1, 1, &[("a", CRASH, 19)], None),
                trial(2, 2, &[("a", CRASH, 18)], None),
                trial(3, 2, &[("a", CRASH, 18), ("b", CRASH, 17), ("b", "blamed", 17)], None),
                trial(4, 4, &[], Some(("b", 4))),
            ],
            ["clear", "clear"],
        ),
        (
            "two titles, and nothing runs elsewhere",
            vec![trial(1, 1, &[("a", CRASH, 19)], None), trial(2, 2, &[("a", CRASH, 18)], None)],
            ["clear", "clear"],
        ),
        (
            "what ran elsewhere did so before",
            vec![
                trial(1, 1, &[("a", CRASH, 19)], None),
                trial(2, 2, &[("a", CRASH, 18)], None),
                trial(3, 3, &[], Some(("b", 60))),
            ],
            ["clear", "clear"],
        ),
        (
            "two titles, but the node does well since",
            vec![
                trial(1, 1, &[("a", CRASH, 19)], None),
                trial(2, 2, &[("a", CRASH, 18)], None),
                trial(3, 3, &[], Some(("a", 4))),
                trial(4, 4, &[], Some(("b", 4))),
            ],
            ["clear", "clear"],
        ),
        (
            "one title that ran elsewhere, one that nobody has tried",
            vec![trial(1, 1, &[("a", CRASH, 9)], Some(("b", 5))), trial(2, 2, &[("a", CRASH, 18)], None)],
            ["quarantine", "clear"],
        ),
        (
            "they fail on both",
            vec![
                trial(1, 1, &[("a", CRASH, 9), ("b", CRASH, 6)], None),
                trial(2, 1, &[("b", CRASH, 8), ("a", CRASH, 5)], None),
                trial(3, 2, &[], Some(("b", 4))),
            ],
            ["clear", "clear"],
        ),
        (
            "done here after all",
            vec![trial(1, 1, &[("a", CRASH, 9)], Some(("a", 5))), trial(2, 2, &[("a", CRASH, 8)], Some(("a", 5)))],
            ["clear", "clear"],
        ),
        (
            "too long ago",
            vec![
                trial(1, 1, &[("a", CRASH, window_s + 1)], Some(("b", 5))),
                trial(2, 1, &[("a", CRASH, 8)], Some(("b", 4))),
            ],
            ["clear", "clear"],
        ),
        (
            "not what a node can have",
            vec![
                trial(1, 1, &[("a", "source-unreachable", 9)], Some(("b", 5))),
                trial(2, 2, &[("a", "holder-lost", 8)], Some(("b", 4))),
                trial(3, 3, &[("a", "store-interrupted", 8)], Some(("b", 4))),
            ],
            ["clear", "clear"],
        ),
        (
            "a full disk and a missing encoder",
            vec![
                trial(1, 1, &[("b", "disk-full", 9)], Some(("a", 5))),
                trial(2, 1, &[("b", "encoder-missing", 8)], Some(("a", 4))),
            ],
            ["clear", "quarantine"],
        ),
    ] {
        assert_eq!(judged(&two, &trials), expected, "{what}");
    }
}

#[test]
fn the_last_of_a_role_is_only_suspected() {
    let trials = [trial(1, 1, &[("a", CRASH, 9)], Some(("b", 5))), trial(2, 1, &[("a", CRASH, 8)], Some(("b", 4)))];
    let mut away = node("b", &["worker"]);
    away.present = false;
    let mut draining = node("b", &["worker"]);
    draining.state = NodeState::Draining;
    for (nodes, expected) in [
        (workers(&["a", "b"]), &["quarantine", "clear"][..]),
        (fleet([node("a", &["worker"]), away]), &["suspect", "clear"]),
        (fleet([node("a", &["worker"]), draining]), &["suspect"]),
        (fleet([node("a", &["worker", "packager"]), node("b", &["worker"])]), &["suspect", "clear"]),
        (fleet([node("a", &["worker", "packager"]), node("b", &["packager", "worker"])]), &["quarantine", "clear"]),
    ] {
        assert_eq!(judged(&nodes, &trials), expected, "{nodes:?}");
    }
    // The only node: two titles that break on it are nothing against it only if it does well since.
    let mut titles = vec![trial(1, 1, &[("a", CRASH, 19)], None), trial(2, 2, &[("a", CRASH, 18)], None)];
    assert_eq!(judged(&workers(&["a"]), &titles), ["suspect"]);
    titles.push(trial(3, 3, &[], Some(("a", 1))));
    assert_eq!(judged(&workers(&["a"]), &titles), ["clear"]);
}

#[test]
fn two_that_stand_in_for_each_other_are_not_quarantined_together() {
    let trials = [
        trial(1, 1, &[("a", CRASH, 9)], Some(("b", 5))),
        trial(2, 2, &[("a", CRASH, 8)], Some(("b", 4))),
        trial(3, 3, &[("b", CRASH, 9)], Some(("a", 5))),
        trial(4, 4, &[("b", CRASH, 8)], Some(("a", 4))),
    ];
    assert_eq!(judged(&workers(&["a", "b"]), &trials), ["quarantine", "suspect"]);
    assert_eq!(judged(&workers(&["a", "b", "c"]), &trials), ["quarantine", "quarantine", "clear"]);
}

#[test]
fn what_was_before_the_present_state_is_forgiven() {
    let trials = [trial(1, 1, &[("a", CRASH, 9)], Some(("b", 5))), trial(2, 1, &[("a", CRASH, 8)], Some(("b", 4)))];
    let mut nodes = workers(&["a", "b"]);
    nodes.get_mut(&id("a")).unwrap().since_ms = NOW - 7_000;
    assert_eq!(judged(&nodes, &trials), ["clear", "clear"]);
}

#[test]
fn the_words_name_jobs_titles_and_symptoms() {
    let trials = [trial(1, 1, &[("a", CRASH, 9)], Some(("b", 5))), trial(2, 1, &[("a", CRASH, 8)], Some(("b", 4)))];
    let verdicts = triage(&workers(&["a", "b"]), &trials, NOW);
    let Verdict::Quarantine(why) = &verdicts[0].1 else { panic!("{verdicts:?}") };
    assert!(why.contains("2 jobs") && why.contains("transcode/h264/0001") && why.contains(CRASH), "{why}");
}

const CODES: [&str; 6] = [CRASH, "ffmpeg-failed", "ffmpeg-stalled", "disk-full", "source-unreachable", "holder-lost"];
const NAMES: [&str; 3] = ["a", "b", "c"];

/// (asset, node and code and seconds ago of each failure, where and when done)
type Fate = (u128, Vec<(usize, usize, i64)>, Option<(usize, i64)>);

fn fate() -> impl Strategy<Value = Fate> {
    let failure = (0..NAMES.len(), 0..CODES.len(), 0_i64..900);
    (0_u128..4, prop::collection::vec(failure, 0..4), prop::option::of((0..NAMES.len(), 0_i64..900)))
}

fn tried(job: u128, (asset, failed, done): &Fate) -> Trial {
    let failed: Vec<_> = failed.iter().map(|(node, code, ago)| (NAMES[*node], CODES[*code], *ago)).collect();
    trial(job, *asset, &failed, done.map(|(node, ago)| (NAMES[node], ago)))
}

proptest! {
    /// Jobs whose source is blamed, however many and wherever they failed, accuse no node.
    #[test]
    fn a_blamed_source_never_quarantines(fates in prop::collection::vec(fate(), 0..24)) {
        let trials: Vec<Trial> = (0..).zip(&fates).map(|(job, fate)| {
            let mut trial = tried(job, fate);
            let blamed = if trial.done.is_some() { Vec::new() } else {
                vec![Failure { at_ms: NOW, ..Failure::input("source-breaks-encoder", "r") }]
            };
            // Those that were done have no failures: blame and success exclude each other.
            if trial.done.is_some() { trial.failures.clear() }
            trial.failures.extend(blamed);
            trial
        }).collect();
        for names in [&NAMES[..], &NAMES[..2], &NAMES[..1]] {
            for (node, verdict) in triage(&workers(names), &trials, NOW) {
                prop_assert_eq!(verdict, Verdict::Clear, "{}", node);
            }
        }
    }

    /// Whatever happened: taking the blamed jobs away changes no verdict, a quarantine leaves
    /// somebody who serves the role, and needs two jobs that failed there.
    #[test]
    fn a_quarantine_has_two_accusers_and_leaves_somebody(
        fates in prop::collection::vec((fate(), any::<bool>()), 0..24),
    ) {
        let trials: Vec<Trial> = (0..).zip(&fates).map(|(job, (fate, blamed))| {
            let mut trial = tried(job, fate);
            if *blamed {
                trial.done = None;
                trial.failures.push(Failure { at_ms: NOW, ..Failure::input("source-breaks-encoder", "r") });
            }
            trial
        }).collect();
        let nodes = workers(&NAMES);
        let verdicts = triage(&nodes, &trials, NOW);
        let guilty: BTreeSet<AssetId> = trials.iter().filter(|trial| is_blamed(trial)).map(|trial| trial.asset).collect();
        let innocent: Vec<Trial> = trials.iter().filter(|trial| !guilty.contains(&trial.asset)).cloned().collect();
        let quarantined = |verdict: &Verdict| matches!(verdict, Verdict::Quarantine(_));
        prop_assert!(verdicts.iter().any(|(_, verdict)| !quarantined(verdict)));
        for (node, verdict) in verdicts.iter().filter(|(_, verdict)| quarantined(verdict)) {
            let here = |trial: &&Trial| trial.failures.iter().any(|failure| failure.node.as_ref() == Some(node) && may_blame_node(failure));
            prop_assert!(innocent.iter().filter(here).count() >= ACCUSERS_MIN, "{} {:?}", node, verdict);
        }
    }
}
