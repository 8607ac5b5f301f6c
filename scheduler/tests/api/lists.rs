//! Lists, pages, filters, and addresses that mean nothing.

use std::collections::BTreeSet;

use framemill_schemas::{
    api::{AssetView, JobView, Page},
    asset::AssetState,
    ladder::Ladder,
};
use reqwest::Method;

use crate::{
    farm::Farm,
    http::{problem, raw},
};

const GOOD: &str = r#"{"source":"https://example.net/film.mp4"}"#;

#[tokio::test]
async fn pages_hold_every_asset_once_newest_first() {
    let farm = Farm::local().await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(farm.submit(GOOD).await.id);
    }
    farm.until("the view has them", async || farm.view.assets().len() == 7).await;
    ids.reverse();
    let mut listed = Vec::new();
    let mut path = "/v1/assets?limit=3".to_owned();
    loop {
        let page: Page<AssetView> = farm.get(&path).await.json().await.unwrap();
        assert!(page.items.len() <= 3);
        listed.extend(page.items.into_iter().map(|asset| asset.id));
        // One that comes meanwhile is newer than all that follows.
        farm.submit(GOOD).await;
        let Some(next) = page.next else { break };
        path = format!("/v1/assets?limit=3&cursor={next}");
    }
    assert_eq!(listed, ids);
}

#[tokio::test]
async fn lists_are_narrowed() {
    let farm = Farm::local().await;
    let a = farm.submit(r#"{"source":"https://h/x","tenant":"a"}"#).await;
    let b = farm.submit(r#"{"source":"https://h/x","tenant":"b"}"#).await;
    farm.change(b.id, |asset| asset.state = AssetState::Cancelled).await;
    for (query, expected) in [
        ("", vec![b.id, a.id]),
        ("?tenant=a", vec![a.id]),
        ("?state=cancelled", vec![b.id]),
        ("?state=accepted&tenant=b", vec![]),
        ("?tenant=nobody", vec![]),
    ] {
        let page: Page<AssetView> = farm.get(&format!("/v1/assets{query}")).await.json().await.unwrap();
        assert_eq!(page.items.iter().map(|asset| asset.id).collect::<Vec<_>>(), expected, "{query}");
    }
    let (record, _) = farm.asset(a.id).await;
    for unit in ["probe", "transcode/h264/0000", "transcode/h264/0001"] {
        farm.job(&record, unit, |_| {}).await;
    }
    let mut units = BTreeSet::new();
    let mut path = format!("/v1/jobs?asset={}&limit=2&state=ready&kind=probe", a.id);
    loop {
        let page: Page<JobView> = farm.get(&path).await.json().await.unwrap();
        units.extend(page.items.into_iter().map(|job| job.unit));
        let Some(next) = page.next else { break };
        path = format!("/v1/jobs?asset={}&limit=2&cursor={next}", a.id);
    }
    assert_eq!(units.len(), 3);
    let none: Page<JobView> = farm.get("/v1/jobs?state=dead").await.json().await.unwrap();
    assert!(none.items.is_empty());
}

#[tokio::test]
async fn what_means_nothing_is_refused_with_a_problem() {
    let farm = Farm::local().await;
    for (method, path, status, kind) in [
        (Method::GET, "/v1/assets?limit=0", 400, "invalid-query"),
        (Method::GET, "/v1/assets?limit=201", 400, "invalid-query"),
        (Method::GET, "/v1/assets?limit=x", 400, "invalid-query"),
        (Method::GET, "/v1/assets?cursor=zz", 400, "invalid-query"),
        (Method::GET, "/v1/assets?state=odd", 400, "invalid-query"),
        (Method::GET, "/v1/assets?sate=failed", 400, "invalid-query"),
        (Method::GET, "/v1/jobs?asset=7", 400, "invalid-query"),
        (Method::GET, "/v1/assets/7", 404, "not-found"),
        (Method::GET, "/v1/assets/%ff", 404, "not-found"),
        (Method::GET, "/v1/jobs/7", 404, "not-found"),
        (Method::GET, "/v1/ladders/no-such", 404, "not-found"),
        (Method::GET, "/v1/nothing", 404, "not-found"),
        (Method::GET, "/assets/7", 404, "not-found"),
        (Method::PUT, "/v1/assets", 405, "method-not-allowed"),
        (Method::DELETE, "/v1/events", 405, "method-not-allowed"),
    ] {
        let response = farm.request(method.clone(), path).send().await.unwrap();
        if status == 405 {
            assert!(response.headers().contains_key("allow"), "{path}");
        }
        problem(response, status, kind).await;
    }
}

#[tokio::test]
async fn ladders_are_listed_shown_and_checked() {
    let farm = Farm::local().await;
    let page: Page<Ladder> = farm.get("/v1/ladders?limit=2").await.json().await.unwrap();
    let next = page.next.unwrap();
    let rest: Page<Ladder> = farm.get(&format!("/v1/ladders?cursor={next}")).await.json().await.unwrap();
    let names: Vec<_> = page.items.iter().chain(&rest.items).map(|ladder| ladder.name.clone()).collect();
    assert_eq!(names, ["fast-h264", "web-av1", "web-h264", "web-hevc"]);

    let ladder: Ladder = farm.get("/v1/ladders/web-h264").await.json().await.unwrap();
    let checked = farm.post("/v1/ladders/check", serde_json::to_vec(&ladder).unwrap()).await;
    assert_eq!(checked.json::<Ladder>().await.unwrap(), ladder);
    let yaml = |text: &'static str| {
        farm.request(Method::POST, "/v1/ladders/check").header("content-type", "application/yaml").body(text).send()
    };
    let good = "name: x\ngop_s: 2\nsegment_s: 4\nvideo: [{ name: v, codec: h264, height: 360, quality: 23 }]\n";
    assert_eq!(yaml(good).await.unwrap().status(), 200);
    let bad = "name: x\ngop_s: 2\nsegment_s: 5\nvideo: [{ name: v, codec: h264, height: 0, quality: 23 }]\n";
    let problem = problem(yaml(bad).await.unwrap(), 422, "invalid").await;
    let pointers: Vec<_> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/segment_s", "/video/0/height"]);
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_cut_off() {
    let farm = Farm::local().await;
    for request in ["no http at all\r\n\r\n", "GET /v1/assets HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n"]
    {
        let answer = raw(farm.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    // Cut off while it is still being sent: the answer may be lost on the way.
    let head = format!("GET /v1/assets HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000));
    let answer = raw(farm.address, head.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}
