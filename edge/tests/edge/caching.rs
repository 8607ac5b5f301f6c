//! What is served, and how often an origin is asked for it.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::support::{Farm, PLAYLIST, SEGMENT, claims};

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_served_whole_in_part_unchanged_and_packed() {
    let farm = Farm::start().await;
    let playlist = "#EXTM3U\n".repeat(200);
    farm.put(SEGMENT, "0123456789").await;
    farm.put(PLAYLIST, &playlist).await;
    let edge = farm.edge("edge-1").await;
    let token = farm.token(&claims(&["/live/acme/news/"]));
    let (segment, text) = (format!("/t/{token}/{SEGMENT}"), format!("/t/{token}/{PLAYLIST}"));

    let whole = edge.request(&segment).send().await.unwrap();
    let headers = whole.headers().clone();
    assert_eq!((whole.status().as_u16(), whole.text().await.unwrap().as_str()), (200, "0123456789"));
    assert_eq!(headers["content-type"], "video/iso.segment");
    assert_eq!(headers["accept-ranges"], "bytes");
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(headers["cache-status"], "framemill; fwd=miss");
    let max_age = headers["cache-control"].to_str().unwrap().strip_prefix("public, max-age=").unwrap().to_owned();
    let max_age_s: i64 = max_age.split(',').next().unwrap().parse().unwrap();
    assert!((1..=300).contains(&max_age_s), "no longer than the token: {max_age_s}");

    let part = edge.request(&segment).header("range", "bytes=2-4").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.headers()["content-range"].to_str().unwrap()), (206, "bytes 2-4/10"));
    assert_eq!(part.text().await.unwrap(), "234");
    let same = edge.request(&segment).header("if-none-match", headers["etag"].clone()).send().await.unwrap();
    assert_eq!((same.status().as_u16(), same.text().await.unwrap().as_str()), (304, ""));
    let outside = edge.request(&segment).header("range", "bytes=10-").send().await.unwrap();
    assert_eq!(outside.status().as_u16(), 416);
    let head = reqwest::Client::new().head(edge.url(&segment)).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()), (200, "10"));

    let packed = edge.request(&text).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().await.unwrap().len() < playlist.len() / 4);
    assert_eq!(edge.get(&text).await, (200, playlist));

    assert_eq!(edge.get(&format!("/t/{token}/live/acme/news/none.m3u8")).await.0, 404);
    let posted = reqwest::Client::new().post(edge.url(&segment)).send().await.unwrap();
    assert_eq!(posted.status().as_u16(), 405);
    let asked = reqwest::Client::new().request(reqwest::Method::OPTIONS, edge.url(&segment));
    let preflight = asked.header("origin", "https://tv.example").send().await.unwrap();
    assert_eq!(preflight.status().as_u16(), 204);
    assert!(preflight.headers()["access-control-allow-headers"].to_str().unwrap().contains("range"));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_too() {
    let farm = Farm::start().await;
    farm.put(SEGMENT, "0123456789").await;
    let edge = farm.edge("edge-1").await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = edge.url(&format!("/t/{}/{SEGMENT}", farm.token(&claims(&["/live/acme/news/"]))));
    let answers = join_all((0..50).map(|_| async { client.get(&url).send().await.unwrap() })).await;
    for answer in answers {
        assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_viewers_of_a_new_segment_are_one_fetch() {
    let farm = Farm::start().await;
    let origin = crate::origins::Counting::start("0123456789".repeat(1000)).await;
    let config = framemill_edge::EdgeConfig { origins: vec![origin.url()], ..Default::default() };
    let edge = Arc::new(farm.edge_with("edge-1", config, farm.nats.port).await);
    let token = farm.token(&claims(&["/live/acme/news/"]));
    let before = origin.asked();
    let viewers = (0..1000).map(|_| {
        let (edge, path) = (Arc::clone(&edge), format!("/t/{token}/{SEGMENT}"));
        tokio::spawn(async move { edge.get(&path).await })
    });
    for answer in join_all(viewers).await {
        let (status, body) = answer.unwrap();
        assert_eq!((status, body.len()), (200, 10_000));
    }
    assert_eq!(origin.asked() - before, 1);
}
