//! Purges: what is forgotten, when, and by an edge that was away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use framemill_edge::EdgeConfig;
use futures_util::future::join_all;

use crate::support::{Edge, Farm, Relay, SEGMENT, claims, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_is_fetched_anew_and_nothing_else_is() {
    let farm = Farm::start().await;
    let other = "live/acme/sport/t1-00c0ffee/720p/7.m4s";
    farm.put(SEGMENT, "old").await;
    farm.put(other, "old").await;
    let edge = farm.edge("edge-1").await;
    let token = farm.token(&claims(&["/live/acme/"]));
    let (segment, beside) = (format!("/t/{token}/{SEGMENT}"), format!("/t/{token}/{other}"));
    assert_eq!((edge.get(&segment).await.1, edge.get(&beside).await.1), ("old".to_owned(), "old".to_owned()));
    farm.put(SEGMENT, "new").await;
    farm.put(other, "new").await;
    assert_eq!(edge.get(&segment).await.1, "old");
    let place = farm.purge(&["channel:acme/news"], false).await;
    eventually("it is acknowledged", async || (farm.applied("edge-1").await >= place).then_some(())).await;
    assert_eq!((edge.get(&segment).await.1, edge.get(&beside).await.1), ("new".to_owned(), "old".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_down_is_refused_whatever_is_cached_or_stored() {
    let farm = Farm::start().await;
    farm.put(SEGMENT, "old").await;
    let edge = farm.edge("edge-1").await;
    let segment = format!("/t/{}/{SEGMENT}", farm.token(&claims(&["/live/acme/"])));
    assert_eq!(edge.get(&segment).await.0, 200);
    let place = farm.purge(&["channel:acme/news"], true).await;
    eventually("it is acknowledged", async || (farm.applied("edge-1").await >= place).then_some(())).await;
    assert_eq!(edge.get(&segment).await.0, 404);
    edge.end().await;
    let again = farm.edge("edge-1").await;
    assert_eq!(again.get(&segment).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_edges_acknowledge() {
    let farm = Farm::start().await;
    farm.put(SEGMENT, "body").await;
    let names: Vec<String> = (0..20).map(|number| format!("edge-{number}")).collect();
    let edges: Vec<Edge> = join_all(names.iter().map(|name| farm.edge(name))).await;
    let mut took = Vec::new();
    let purges = std::env::var("FRAMEMILL_TEST_PURGES").map_or(50, |purges| purges.parse().unwrap());
    for _ in 0..purges {
        let began = Instant::now();
        let place = farm.purge(&["channel:acme/news"], false).await;
        for name in &names {
            eventually("it is acknowledged", async || (farm.applied(name).await >= place).then_some(())).await;
        }
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let (p50, p99, longest) = (took[purges / 2], took[purges * 99 / 100], took[purges - 1]);
    eprintln!("{} edges acknowledged {purges} purges: p50 {p50:?}, p99 {p99:?}, longest {longest:?}", edges.len());
}

/// The old bytes are on their way when the purge comes, and land after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_under_way_brings_nothing_back() {
    let farm = Farm::start().await;
    let edge = Arc::new(farm.edge("edge-1").await);
    let path = format!("/t/{}/{SEGMENT}", farm.token(&claims(&["/live/acme/"])));
    let stop = Arc::new(AtomicBool::new(false));
    let viewers: Vec<_> = (0..4)
        .map(|_| {
            let (edge, path, stop) = (Arc::clone(&edge), path.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    edge.get(&path).await;
                }
            })
        })
        .collect();
    for round in 0..100 {
        let body = format!("round {round}");
        farm.put(SEGMENT, &body).await;
        let place = farm.purge(&["channel:acme/news"], false).await;
        eventually("it is acknowledged", async || (farm.applied("edge-1").await >= place).then_some(())).await;
        let (status, found) = edge.get(&path).await;
        assert_eq!((status, found), (200, body));
    }
    stop.store(true, Ordering::Relaxed);
    for viewer in viewers {
        viewer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_was_cut_off_serves_nothing_that_was_purged_once_it_is_back() {
    let farm = Farm::start().await;
    farm.put(SEGMENT, "old").await;
    let relay = Relay::to(farm.nats.port).await;
    let edge = farm.edge_with("edge-1", EdgeConfig::default(), relay.port).await;
    let path = format!("/t/{}/{SEGMENT}", farm.token(&claims(&["/live/acme/"])));
    assert_eq!(edge.get(&path).await.1, "old");
    relay.cut(true);
    eventually("it is cut off", async || (!edge.queue.is_connected()).then_some(())).await;
    farm.put(SEGMENT, "new").await;
    farm.purge(&["channel:acme/news"], false).await;
    // It goes on with what it has, since purges cannot reach it and viewers should not pay for that.
    assert_eq!(edge.get(&path).await, (200, "old".to_owned()));
    relay.cut(false);
    let mut fenced = 0;
    eventually("it is back", async || {
        // Asked first: what is served after this was true must be new.
        let back = edge.queue.is_connected();
        match edge.get(&path).await {
            (503, _) => fenced += 1,
            (200, body) if body == "new" => return Some(()),
            (status, body) => assert!(!back, "{status} {body} although it was back"),
        }
        None
    })
    .await;
    eprintln!("answered 503 {fenced} times before it served again");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nats_gone_an_edge_goes_on_with_what_it_knows() {
    let mut farm = Farm::start().await;
    farm.put(SEGMENT, "body").await;
    let edge = farm.edge("edge-1").await;
    let path = format!("/t/{}/{SEGMENT}", farm.token(&claims(&["/live/acme/"])));
    farm.nats.kill();
    eventually("it is cut off", async || (!edge.queue.is_connected()).then_some(())).await;
    // Not in the cache yet: the store is still there.
    assert_eq!(edge.get(&path).await, (200, "body".to_owned()));
    farm.nats.revive();
    eventually("it is back", async || edge.queue.is_connected().then_some(())).await;
    eventually("it serves", async || (edge.get(&path).await.0 == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_disk_is_served_after_a_restart_unless_it_was_purged_meanwhile() {
    let farm = Farm::start().await;
    let other = "live/acme/sport/t1-00c0ffee/720p/7.m4s";
    farm.put(SEGMENT, "old").await;
    farm.put(other, "old").await;
    let config = || EdgeConfig { disk: Some(farm.path().join("cache")), disk_mb: 256, ..EdgeConfig::default() };
    let edge = farm.edge_with("edge-1", config(), farm.nats.port).await;
    let token = farm.token(&claims(&["/live/acme/"]));
    let (segment, beside) = (format!("/t/{token}/{SEGMENT}"), format!("/t/{token}/{other}"));
    assert_eq!((edge.get(&segment).await.1, edge.get(&beside).await.1), ("old".to_owned(), "old".to_owned()));
    edge.end().await;
    farm.put(SEGMENT, "new").await;
    farm.put(other, "new").await;
    farm.purge(&["channel:acme/news"], false).await;
    let again = farm.edge_with("edge-1", config(), farm.nats.port).await;
    assert_eq!(again.get(&segment).await.1, "new");
    // Fetched before the only purge there is, by an edge that knew of none; and never purged itself.
    assert_eq!(again.get(&beside).await.1, "old");
}
