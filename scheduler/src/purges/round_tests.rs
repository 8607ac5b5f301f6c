use framemill_schemas::{
    delivery::{PURGE_VERSION, PurgeCause},
    ids::Tenant,
};
use reqwest::{Client, RequestBuilder};

use super::*;
use crate::purges::{nginx::Nginx, varnish::Varnish};

/// Takes three entries at once, and says what it cannot.
struct Small {
    merges: bool,
}

impl Cache for Small {
    fn entries(&self, tag: &str, _: &Tenant) -> Option<Vec<String>> {
        (!tag.starts_with("tenant:")).then(|| vec![tag.to_owned()])
    }

    fn entries_max(&self) -> usize {
        3
    }

    fn merges(&self) -> bool {
        self.merges
    }

    fn request(&self, client: &Client, _: &Batch, _: i64) -> RequestBuilder {
        client.get("http://127.0.0.1/")
    }
}

fn purge(name: &str, tags: &[&str], refuse: bool) -> Arc<Purge> {
    Arc::new(Purge {
        v: PURGE_VERSION,
        id: PurgeId::derive(name),
        tenant: "acme".parse().unwrap(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        refuse,
        cause: PurgeCause::Request,
        requested_ms: 1000,
    })
}

fn entries(round: &Round) -> Vec<Vec<&str>> {
    round.batches.iter().map(|batch| batch.entries.iter().map(String::as_str).collect()).collect()
}

#[test]
fn purges_share_requests_within_the_bounds() {
    let purges = [
        purge("a", &["asset:1", "asset:2"], false),
        purge("b", &["asset:2", "asset:3", "asset:4"], false),
        purge("c", &["tenant:acme", "asset:1"], true),
    ];
    let round = plan(&Small { merges: true }, &purges, 7);
    assert_eq!(entries(&round), [vec!["asset:1"], vec!["asset:1", "asset:2", "asset:3"], vec!["asset:4"]]);
    assert_eq!(round.batches.iter().map(|batch| batch.refuse).collect::<Vec<_>>(), [true, false, false]);
    let by = |at: usize| round.batches[at].purges.clone();
    assert_eq!((by(0), by(1), by(2)), (vec![purges[2].id], vec![purges[0].id, purges[1].id], vec![purges[1].id]));
    assert_eq!(round.unsupported[&purges[2].id], ["tenant:acme"]);
    let names: HashSet<_> = round.batches.iter().map(|batch| batch.name.clone()).collect();
    assert_eq!(names.len(), 3, "each has a name of its own");

    let apart = plan(&Small { merges: false }, &purges[..2], 7);
    assert_eq!(entries(&apart), [vec!["asset:1", "asset:2"], vec!["asset:2", "asset:3", "asset:4"]]);
}

#[test]
fn a_header_is_no_longer_than_varnish_takes() {
    let tags: Vec<String> = (0..256).map(|number| format!("object:live/acme/{number:0200}/x")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let varnish = Varnish::new("http://127.0.0.1", "xkey-purge");
    let round = plan(&varnish, &[purge("a", &tags, false)], 7);
    assert!(round.batches.iter().all(|batch| batch.entries.join(" ").len() <= varnish.chars_max()));
    assert_eq!(round.batches.iter().map(|batch| batch.entries.len()).sum::<usize>(), 256);
}

#[test]
fn nginx_says_what_it_cannot() {
    let nginx = Nginx::new("http://127.0.0.1", "PURGE");
    let purge = purge("a", &["object:live/acme/news/a.m3u8", "channel:acme/news"], false);
    let round = plan(&nginx, std::slice::from_ref(&purge), 7);
    assert_eq!(entries(&round), [["live/acme/news/a.m3u8"]]);
    assert_eq!(round.unsupported[&purge.id], ["channel:acme/news"]);
}

fn status(state: PurgeState, adapter: AdapterState, early: bool) -> PurgeStatus {
    let of = |name: &str| AdapterStatus { name: name.to_owned(), state: adapter, early, ..AdapterStatus::default() };
    PurgeStatus {
        v: PURGE_VERSION,
        id: PurgeId::derive("a"),
        tenant: "acme".parse().unwrap(),
        sequence: 7,
        state,
        waiting: Vec::new(),
        acknowledged: 0,
        requested_ms: 1000,
        completed_ms: None,
        adapters: vec![of("x"), of("y")],
        unsent: Vec::new(),
    }
}

#[test]
fn caches_are_purged_after_the_edges_and_before_where_those_are_late() {
    use AdapterState::{Completed, Failed, Waiting};
    let late = 1000 + EARLY_AFTER_MS;
    for (state, adapter, early, now_ms, due) in [
        (PurgeState::Running, Waiting, false, late - 1, false),
        (PurgeState::Running, Waiting, false, late, true),
        (PurgeState::Running, Waiting, true, late, false),
        (PurgeState::Completed, Waiting, false, 1000, true),
        (PurgeState::Completed, Waiting, true, 1000, true),
        (PurgeState::Completed, Completed, false, late, false),
        (PurgeState::Completed, Failed, true, late, false),
    ] {
        assert_eq!(is_due(&status(state, adapter, early), "x", now_ms), due, "{state:?} {adapter:?} {early} {now_ms}");
    }
    assert!(!is_due(&status(PurgeState::Completed, Waiting, false), "z", late), "not one of its caches");
}

fn receipt(ok: bool) -> Receipt {
    Receipt { batch: 1, entries: 1, ok, answer: if ok { "200" } else { "403" }.to_owned(), attempts: 1, at_ms: 5 }
}

#[test]
fn answers_come_to_an_end_that_is_told_once() {
    let purge = purge("a", &["asset:1"], false);
    let outcome = |receipts: &[bool], unsupported: &[&str], after_edges| Outcome {
        receipts: receipts.iter().map(|ok| receipt(*ok)).collect(),
        unsupported: unsupported.iter().map(|tag| (*tag).to_owned()).collect(),
        after_edges,
    };
    let before = status(PurgeState::Completed, AdapterState::Waiting, false);
    for (receipts, unsupported, after, state, early, events) in [
        (&[true, true][..], &[][..], true, AdapterState::Completed, false, 0),
        (&[true, false], &[], true, AdapterState::Failed, false, 1),
        (&[true], &["tenant:acme"], true, AdapterState::Unsupported, false, 0),
        (&[false], &["tenant:acme"], true, AdapterState::Failed, false, 1),
        // A round before the edges decides nothing but that it was.
        (&[false], &[], false, AdapterState::Waiting, true, 0),
        (&[], &[], true, AdapterState::Completed, false, 0),
    ] {
        let after = settle(&purge, &before, "x", &outcome(receipts, unsupported, after), 9).unwrap();
        let adapter = &after.adapters[0];
        assert_eq!((adapter.state, adapter.early, after.unsent.len()), (state, early, events), "{receipts:?}");
        assert_eq!(adapter.requests as usize, receipts.len());
        assert_eq!(after.adapters[1], before.adapters[1], "the other is as it was");
    }
    let failed = settle(&purge, &before, "x", &outcome(&[false], &[], true), 9).unwrap();
    assert_eq!(settle(&purge, &failed, "x", &outcome(&[false], &[], true), 9), None, "it is at its end");
    let other = settle(&purge, &failed, "y", &outcome(&[false], &[], true), 9).unwrap();
    assert_ne!(other.unsent[0].id, other.unsent[1].id);
}

#[test]
fn what_is_not_configured_any_more_is_given_up() {
    let purge = purge("a", &["asset:1"], false);
    let before = status(PurgeState::Completed, AdapterState::Waiting, false);
    let after = give_up(&purge, &before, &["x".to_owned()], 9).unwrap();
    assert_eq!((after.adapters[0].state, after.adapters[1].state), (AdapterState::Waiting, AdapterState::Failed));
    assert_eq!(after.unsent.len(), 1);
    assert_eq!(give_up(&purge, &after, &["x".to_owned()], 9), None);
}

#[test]
fn receipts_are_bounded_and_failures_stay() {
    let mut kept = vec![receipt(false)];
    keep(&mut kept, &vec![receipt(true); 3 * RECEIPTS_MAX]);
    assert_eq!(kept.len(), RECEIPTS_MAX);
    assert!(!kept[0].ok);
}
