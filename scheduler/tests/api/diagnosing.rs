//! What a diagnosis finds between the store and a viewer, with edges that answer as real ones do.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    http::{StatusCode, Uri},
    response::IntoResponse,
};
use framemill_queue::Queue;
use framemill_schemas::{
    delivery::{EDGE_VERSION, EdgeRecord, TokenKey},
    live::{Diagnosis, Station, StationState, StationView},
    subject::{EDGES_BUCKET, TOKEN_KEYS_BUCKET},
};
use framemill_storage::Meta;
use framemill_tokens::Keyring;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

use crate::farm::Farm;

/// What an edge answers, and the addresses that it was asked for.
type Asked = Arc<Mutex<Vec<String>>>;

async fn stand_in(status: StatusCode, body: &'static str) -> (String, Asked) {
    let asked = Asked::default();
    let heard = asked.clone();
    let answer = move |uri: Uri| async move {
        heard.lock().unwrap().push(uri.to_string());
        (status, body).into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    (url, asked)
}

async fn know(queue: &Queue, name: &str, url: &str) {
    let edge = EdgeRecord {
        v: EDGE_VERSION,
        edge: name.parse().unwrap(),
        url: url.to_owned(),
        zone: None,
        started_ms: 1,
        applied: 0,
        applied_ms: 1,
    };
    queue.records(EDGES_BUCKET).create(name, &edge).await.unwrap();
}

async fn station(farm: &Farm, station: Station) -> StationView {
    let found: Diagnosis = farm.get("/v1/channels/news/diagnose").await.json().await.unwrap();
    found.stations.into_iter().find(|held| held.station == station).unwrap()
}

const FRESH: &str = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:5\n#EXTINF:4.0,\nt1/5.m4s\n#EXTINF:4.0,\nt1/6.m4s\n";
const OLD: &str = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:4.0,\nt1/1.m4s\n#EXTINF:4.0,\nt1/2.m4s\n";

#[tokio::test]
async fn edges_are_asked_as_viewers_ask_them() {
    let farm = Farm::local().await;
    let document =
        json!({ "channel_id": "news", "sources": [{ "uri": "udp://239.0.0.1:5000" }], "ladder": "web-h264" });
    let put = farm.request(Method::PUT, "/v1/channels/news").json(&document).send().await.unwrap();
    assert_eq!(put.status(), 201);
    assert_eq!(farm.post("/v1/channels/news/start", "").await.status(), 202);
    let says = station(&farm, Station::EdgePlaylist).await;
    assert_eq!((says.state, says.says.as_str()), (StationState::Unknown, "there is no edge"));
    assert_eq!(station(&farm, Station::Entitlement).await.state, StationState::Ok);

    let (good, asked) = stand_in(StatusCode::OK, FRESH).await;
    let (old, _) = stand_in(StatusCode::OK, OLD).await;
    let (fenced, _) = stand_in(StatusCode::SERVICE_UNAVAILABLE, "{\"reason\":\"fenced\"}").await;
    for (name, url) in [("edge-good", good.as_str()), ("edge-hidden", "")] {
        know(&farm.queue, name, url).await;
    }
    farm.until("the edges are known", async || farm.view.edges().len() == 2).await;
    let says = station(&farm, Station::Entitlement).await;
    assert!(says.state == StationState::Warning && says.says.contains("has no token key"), "{says:?}");
    assert_eq!(
        station(&farm, Station::EdgePlaylist).await.state,
        StationState::Unknown,
        "there is nothing to ask with"
    );

    assert_eq!(farm.post("/v1/token-keys", r#"{"algorithm":"ed_dsa"}"#).await.status(), 201);
    let says = station(&farm, Station::EdgePlaylist).await;
    assert_eq!(says.says, "the store has no playlist of it to compare with");
    for (name, text) in
        [("master.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo-720p.m3u8\n"), ("video-720p.m3u8", FRESH)]
    {
        farm.store.put_new(&format!("live/default/news/{name}"), text.into(), &Meta::default()).await.unwrap();
    }
    let says = station(&farm, Station::EdgePlaylist).await;
    assert_eq!((says.state, says.says.as_str()), (StationState::Ok, "1 of 1 edges serve it, up to number 6"));
    assert_eq!(station(&farm, Station::Entitlement).await.state, StationState::Ok);

    // A token for this channel, signed with the tenant's key, that ends soon.
    let keys = farm.queue.records::<TokenKey>(TOKEN_KEYS_BUCKET).list(">").await.unwrap();
    let (ring, _) = Keyring::new(keys.into_iter().map(|(_, key, _)| key));
    let address = asked.lock().unwrap().last().unwrap().clone();
    let (token, rest) = address.strip_prefix("/t/").unwrap().split_once('/').unwrap();
    assert_eq!(rest, "live/default/news/video-720p.m3u8");
    let now_s = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let claims = ring.verify(token, now_s).unwrap().claims;
    assert_eq!(claims.paths.as_slice(), ["/live/default/news/"]);
    assert!(claims.expires_s <= now_s + 31);

    know(&farm.queue, "edge-old", &old).await;
    know(&farm.queue, "edge-reads", &fenced).await;
    // Nobody listens there.
    know(&farm.queue, "edge-gone", "http://127.0.0.1:9").await;
    farm.until("the others are known", async || farm.view.edges().len() == 5).await;
    let says = station(&farm, Station::EdgePlaylist).await;
    assert_eq!(says.state, StationState::Warning);
    for words in
        ["3 of 4 edges", "edge-old is 4 numbers behind", "edge-reads answers 503 (fenced)", "edge-gone is not reached"]
    {
        assert!(says.says.contains(words), "{says:?}");
    }
    assert!(!says.says.contains(token), "no token is told");

    let purge = farm.post("/v1/purges", r#"{"tags":["channel:default/news"],"refuse":true}"#).await;
    assert_eq!(purge.status(), 202);
    farm.until("the refusal is known", async || {
        station(&farm, Station::Entitlement).await.state == StationState::Failed
    })
    .await;
    let found: Diagnosis = farm.get("/v1/channels/news/diagnose").await.json().await.unwrap();
    assert_eq!(found.failed, Some(Station::Entitlement));
}
