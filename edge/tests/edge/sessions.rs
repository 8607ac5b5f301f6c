//! An account's sessions, held across edges.

use std::time::{Duration, Instant};

use framemill_schemas::delivery::{Claims, Yields};
use futures_util::{StreamExt, future::join_all, stream};

use crate::support::{Edge, Farm, SEGMENT, claims, eventually};

/// Accounts that are tried at once.
const TOGETHER: usize = 64;

fn session(farm: &Farm, account: usize, session: &str, yields: Yields) -> String {
    let claims = Claims {
        account: format!("account-{account}"),
        session: format!("{session}-{account}"),
        sessions_max: 1,
        yields,
        ..claims(&["/live/acme/"])
    };
    format!("/t/{}/{SEGMENT}", farm.token(&claims))
}

/// `FRAMEMILL_TEST_ACCOUNTS=10000 FRAMEMILL_TEST_EDGES=20` for the whole of it.
fn size(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).ok().and_then(|size| size.parse().ok()).unwrap_or(otherwise)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_last_watches_and_the_other_one_is_out_on_every_edge() {
    let (accounts, edges) = (size("FRAMEMILL_TEST_ACCOUNTS", 300), size("FRAMEMILL_TEST_EDGES", 4));
    let farm = Farm::start().await;
    farm.put(SEGMENT, "body").await;
    let names: Vec<String> = (0..edges).map(|number| format!("edge-{number}")).collect();
    let edges: Vec<Edge> = join_all(names.iter().map(|name| farm.edge(name))).await;
    let one_account = async |account: usize| {
        let (here, there) = (&edges[account % edges.len()], &edges[(account * 7 + 1) % edges.len()]);
        let first = session(&farm, account, "first", Yields::Oldest);
        assert_eq!(here.get(&first).await.0, 200, "a session that is alone is never refused");
        assert_eq!(here.get(&first).await.0, 200);
        let second = session(&farm, account, "second", Yields::Oldest);
        assert_eq!(there.get(&second).await.0, 200, "whoever comes last is never refused");
        let began = Instant::now();
        eventually("the first one is out", async || {
            assert_eq!(there.get(&second).await.0, 200);
            (here.get(&first).await.0 == 403).then_some(())
        })
        .await;
        let over = began.elapsed();
        // Nowhere else either, and for good.
        let elsewhere = &edges[(account + 2) % edges.len()];
        eventually("it is out elsewhere", async || (elsewhere.get(&first).await.0 == 403).then_some(())).await;
        assert_eq!(there.get(&second).await.0, 200);
        over
    };
    let mut overs: Vec<Duration> =
        stream::iter((0..accounts).map(one_account)).buffer_unordered(TOGETHER).collect().await;
    overs.sort_unstable();
    let at = |share: usize| overs[(overs.len() * share / 100).min(overs.len() - 1)];
    eprintln!("{accounts} accounts, {} edges: two at once for p50 {:?}, p99 {:?}", edges.len(), at(50), at(99));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_goes_on_where_the_newest_yields() {
    let farm = Farm::start().await;
    farm.put(SEGMENT, "body").await;
    let (here, there) = (farm.edge("edge-1").await, farm.edge("edge-2").await);
    let first = session(&farm, 1, "first", Yields::Newest);
    let second = session(&farm, 1, "second", Yields::Newest);
    assert_eq!(here.get(&first).await.0, 200);
    eventually("the second one is refused", async || (there.get(&second).await.0 == 403).then_some(())).await;
    assert_eq!(here.get(&first).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_from_each_other_two_edges_let_in_one_each_and_one_when_they_are_back() {
    let farm = Farm::start().await;
    farm.put(SEGMENT, "body").await;
    let relay = crate::support::Relay::to(farm.nats.port).await;
    let here = farm.edge("edge-1").await;
    let there = farm.edge_with("edge-2", framemill_edge::EdgeConfig::default(), relay.port).await;
    let first = session(&farm, 1, "first", Yields::Oldest);
    let second = session(&farm, 1, "second", Yields::Oldest);
    let third = session(&farm, 1, "third", Yields::Oldest);
    assert_eq!(here.get(&first).await.0, 200);
    relay.cut(true);
    eventually("it is cut off", async || (!there.queue.is_connected()).then_some(())).await;
    // The bound: as many as are allowed on each side, and no more.
    assert_eq!(there.get(&second).await.0, 200);
    assert_eq!(there.get(&third).await.0, 200);
    assert_eq!(there.get(&second).await.0, 403);
    assert_eq!(here.get(&first).await.0, 200);
    relay.cut(false);
    eventually("one of them is out", async || {
        let answers = [here.get(&first).await.0, there.get(&third).await.0];
        (answers == [403, 200]).then_some(())
    })
    .await;
}
