//! What a submission gets: every fault in one answer, and one asset per idempotency key.

use framemill_schemas::{api::AssetView, asset::AssetState, ids::AssetId, key::digest, subject::IDEMPOTENCY_BUCKET};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use crate::{
    farm::{Farm, PATIENCE},
    http::problem,
};

const GOOD: &str = r#"{"source":"https://example.net/film.mp4"}"#;

#[tokio::test]
async fn a_good_submission_is_accepted_and_can_be_looked_at() {
    let farm = Farm::local().await;
    let path = farm.film("film.mp4");
    let body = format!(r#"{{"source":{path:?},"ladder":"fast-h264","tenant":"cinema","priority":"bulk"}}"#);
    let response = farm.post("/v1/assets", body).await;
    assert_eq!(response.status(), 202);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let asset: AssetView = response.json().await.unwrap();
    assert_eq!(location, format!("/v1/assets/{}", asset.id));
    assert_eq!(
        (asset.state, asset.tenant.as_str(), asset.ladder.as_str()),
        (AssetState::Accepted, "cinema", "fast-h264")
    );
    assert_eq!((asset.generation.number, asset.generation.random.len()), (1, 8));

    let shown: AssetView = farm.get(&location).await.json().await.unwrap();
    assert_eq!(shown, asset);
    let (record, _) = farm.asset(asset.id).await;
    assert_eq!((record.slots, record.v), (0, 1));
}

#[tokio::test]
async fn every_fault_is_named_with_its_place() {
    let farm = Farm::local().await;
    let inline = |ladder: &str| format!(r#"{{"source":"https://h/x","ladder":{ladder}}}"#);
    let rung = |rung: &str| {
        inline(&format!(r#"{{"name":"l","gop_s":2,"segment_s":4,"video":[{{"name":"v","codec":"h264",{rung}}}]}}"#))
    };
    for (body, status, kind, pointers) in [
        (r#"{"source":"file:///etc/passwd"}"#.to_owned(), 422, "invalid", vec!["/source"]),
        (r#"{"source":"/etc/passwd"}"#.to_owned(), 422, "invalid", vec!["/source"]),
        (r#"{"source":"film.mp4"}"#.to_owned(), 422, "invalid", vec!["/source"]),
        (r#"{"source":"ftp://h/x"}"#.to_owned(), 422, "invalid", vec!["/source"]),
        (r#"{"source":"https://u:p@h/x"}"#.to_owned(), 422, "invalid", vec!["/source"]),
        (r#"{"source":"https://h/x","tenant":"A/B"}"#.to_owned(), 422, "invalid", vec!["/tenant"]),
        (r#"{"source":"https://h/x","priority":"now"}"#.to_owned(), 422, "invalid", vec!["/priority"]),
        (r#"{"source":"https://h/x","ladder":"no-such"}"#.to_owned(), 422, "invalid", vec!["/ladder"]),
        (r#"{"source":"https://h/x","color":1}"#.to_owned(), 422, "invalid", vec!["/color"]),
        (r#"{"source":7}"#.to_owned(), 422, "invalid", vec!["/source"]),
        ("{}".to_owned(), 422, "invalid", vec![""]),
        ("[]".to_owned(), 422, "invalid", vec![""]),
        (rung(r#""height":0,"quality":20"#), 422, "invalid", vec!["/ladder/video/0/height"]),
        (rung(r#""height":100000,"quality":20"#), 422, "invalid", vec!["/ladder/video/0/height"]),
        (rung(r#""height":361,"quality":20"#), 422, "invalid", vec!["/ladder/video/0/height"]),
        (
            rung(r#""height":360,"bitrate_kbps":900,"maxrate_kbps":800"#),
            422,
            "invalid",
            vec!["/ladder/video/0/bitrate_kbps"],
        ),
        (
            rung(r#""height":361,"quality":99"#),
            422,
            "invalid",
            vec!["/ladder/video/0/height", "/ladder/video/0/quality"],
        ),
        (
            r#"{"source":"ftp://h/x","ladder":"no-such","tenant":"A"}"#.to_owned(),
            422,
            "invalid",
            vec!["/source", "/ladder", "/tenant"],
        ),
        ("{".to_owned(), 400, "invalid-json", vec![]),
        (String::new(), 400, "invalid-json", vec![]),
        ("[".repeat(10_000), 400, "invalid-json", vec![]),
    ] {
        let problem = problem(farm.post("/v1/assets", body.clone()).await, status, kind).await;
        let found: Vec<_> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(found, pointers, "{body}: {problem:?}");
        assert!(problem.errors.iter().all(|error| !error.mend.is_empty()), "{body}");
    }
    assert!(farm.queue.assets().list(">").await.unwrap().is_empty(), "nothing half-done is left behind");
}

#[tokio::test]
async fn bodies_that_are_no_submission() {
    let farm = Farm::local().await;
    problem(farm.post("/v1/assets", b"{\"source\":\"\xff\xfe\"}".to_vec()).await, 400, "invalid-utf8").await;
    problem(farm.post("/v1/assets", vec![b' '; 10_000_000]).await, 413, "too-large").await;
    problem(farm.post("/v1/assets", vec![b' '; 256 * 1024 + 1]).await, 413, "too-large").await;
    let chunked = futures_util::stream::iter((0..160).map(|_| Ok::<_, std::io::Error>(vec![b' '; 65_536])));
    problem(farm.post("/v1/assets", reqwest::Body::wrap_stream(chunked)).await, 413, "too-large").await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/yaml"] {
        let request = farm.request(Method::POST, "/v1/assets").header("content-type", content_type).body(GOOD);
        problem(request.send().await.unwrap(), 415, "unsupported-media-type").await;
    }
    problem(farm.request(Method::POST, "/v1/assets").body(GOOD).send().await.unwrap(), 415, "unsupported-media-type")
        .await;
    let request = farm.request(Method::POST, "/v1/assets").header("content-type", "application/json; charset=utf-8");
    assert_eq!(request.body(GOOD).send().await.unwrap().status(), 202);
}

async fn submit_with_key(farm: &Farm, key: &str, body: &str) -> reqwest::Response {
    let request = farm.request(Method::POST, "/v1/assets").header("content-type", "application/json");
    request.header("idempotency-key", key).body(body.to_owned()).send().await.unwrap()
}

#[tokio::test]
async fn one_asset_per_idempotency_key() {
    let farm = Farm::local().await;
    let path = farm.film("film.mp4");
    let body = format!(r#"{{"source":{path:?}}}"#);
    let first: AssetView = submit_with_key(&farm, "k1", &body).await.json().await.unwrap();
    // The answer does not depend on what became of the file.
    std::fs::remove_file(&path).unwrap();
    let again = submit_with_key(&farm, "k1", &body).await;
    assert_eq!((again.status().as_u16(), again.headers().contains_key("idempotency-replayed")), (202, true));
    assert_eq!(again.json::<AssetView>().await.unwrap().id, first.id);

    problem(submit_with_key(&farm, "k1", GOOD).await, 409, "idempotency-conflict").await;
    let other: AssetView = submit_with_key(&farm, "k2", GOOD).await.json().await.unwrap();
    assert_ne!(other.id, first.id);
    // A key is its tenant's own.
    let elsewhere = r#"{"source":"https://example.net/film.mp4","tenant":"b"}"#;
    let elsewhere: AssetView = submit_with_key(&farm, "k1", elsewhere).await.json().await.unwrap();
    assert_ne!(elsewhere.id, first.id);
    problem(submit_with_key(&farm, "", GOOD).await, 400, "invalid-header").await;
    problem(submit_with_key(&farm, &"k".repeat(256), GOOD).await, 400, "invalid-header").await;
}

#[tokio::test]
async fn many_at_once_make_one_asset() {
    let farm = Farm::local().await;
    let tries =
        (0..16).map(|_| async { submit_with_key(&farm, "k", GOOD).await.json::<AssetView>().await.unwrap().id });
    let ids = futures_util::future::join_all(tries).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(farm.queue.assets().list(">").await.unwrap().len(), 1);
}

/// As the scheduler writes it.
#[derive(Serialize, Deserialize)]
struct IdempotencyRecord {
    v: u32,
    body: String,
    asset: AssetId,
}

#[tokio::test]
async fn a_crash_between_key_and_asset_is_finished_by_the_next_try() {
    let farm = Farm::local().await;
    let asset = AssetId::new(Uuid::now_v7());
    let record = IdempotencyRecord { v: 1, body: digest(GOOD.as_bytes()), asset };
    let records = farm.queue.records::<IdempotencyRecord>(IDEMPOTENCY_BUCKET);
    records.create(&digest(b"default\nk"), &record).await.unwrap();

    let submitted: AssetView = submit_with_key(&farm, "k", GOOD).await.json().await.unwrap();
    assert_eq!(submitted.id, asset);
    assert_eq!(farm.asset(asset).await.0.state, AssetState::Accepted);
}

/// A key goes on standing for an asset that was removed: the same id is never used twice.
#[tokio::test]
async fn a_key_outlives_its_asset() {
    let farm = Farm::local().await;
    let asset: AssetView = submit_with_key(&farm, "k", GOOD).await.json().await.unwrap();
    let removed = farm.request(Method::DELETE, &format!("/v1/assets/{}", asset.id)).send().await.unwrap();
    assert_eq!(removed.status(), 202);
    problem(submit_with_key(&farm, "k", GOOD).await, 410, "gone").await;
    // What the collector does at last.
    farm.until("its events are sent", async || farm.asset(asset.id).await.0.unsent.is_empty()).await;
    let (_, revision) = farm.asset(asset.id).await;
    farm.queue.assets().delete(&asset.id.to_string(), revision).await.unwrap();
    problem(submit_with_key(&farm, "k", GOOD).await, 410, "gone").await;
    assert!(farm.queue.assets().get(&asset.id.to_string()).await.unwrap().is_none());
    problem(submit_with_key(&farm, "k", r#"{"source":"https://h/x"}"#).await, 409, "idempotency-conflict").await;
    let other: AssetView = submit_with_key(&farm, "another", GOOD).await.json().await.unwrap();
    assert_ne!(other.id, asset.id);
}

/// Forty clients that send almost all of a large body, and then nothing.
#[tokio::test]
async fn bodies_that_are_held_at_once_have_a_bound() {
    let farm = Farm::local().await;
    let sent = vec![b' '; 256 * 1024 - 1];
    let head = format!(
        "POST /v1/assets HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        farm.address,
        sent.len() + 1
    );
    let clients = (0..40).map(|_| async {
        let mut stream = TcpStream::connect(farm.address).await.unwrap();
        // A connection that is refused may be closed before it took everything.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&sent).await;
        stream
    });
    let mut clients = futures_util::future::join_all(clients).await;
    let answers = clients.iter_mut().map(|stream| {
        Box::pin(async move {
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.map(|_| String::from_utf8_lossy(&answer).into_owned())
        })
    });
    let first = tokio::time::timeout(PATIENCE, futures_util::future::select_all(answers)).await.expect("an answer").0;
    assert_eq!(first.unwrap(), "HTTP/1.1 503");
    // A small one is let in beside them, and a large one when they have gone.
    farm.submit(GOOD).await;
    drop(clients);
    let large = format!("{GOOD}{}", " ".repeat(250 * 1024));
    farm.until("there is room again", async || farm.post("/v1/assets", large.clone()).await.status() == 202).await;
}

#[tokio::test]
async fn without_nats_nothing_is_promised() {
    let mut farm = Farm::local().await;
    farm.kill_nats();
    let response = farm.post("/v1/assets", GOOD).await;
    assert!(response.headers().contains_key("retry-after"));
    problem(response, 503, "unavailable").await;
}
