//! Channels over the API: made, changed, started, stopped, removed, and whose they are.

use framemill_schemas::{
    api::{AccessRole, Page},
    live::{
        ChannelChange, ChannelDetail, ChannelPut, ChannelState, ChannelView, Diagnosis, Station, StationState, Wanted,
    },
};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{access::key, farm::Farm, http::problem};

fn document(id: &str) -> Value {
    json!({
        "channel_id": id,
        "sources": [{ "uri": "srt://encoder.example:9000", "secret": "news-srt" }, { "uri": "udp://239.0.0.1:5000" }],
        "ladder": "web-h264",
        "segment_s": 4,
    })
}

async fn put(farm: &Farm, id: &str, document: &Value) -> Response {
    put_with(farm, id, document, None).await
}

async fn put_with(farm: &Farm, id: &str, document: &Value, key: Option<&str>) -> Response {
    let request = farm.request(Method::PUT, &format!("/v1/channels/{id}")).json(document);
    match key {
        Some(key) => request.bearer_auth(key).send().await.unwrap(),
        None => request.send().await.unwrap(),
    }
}

async fn accepted(response: Response) -> ChannelView {
    assert_eq!(response.status(), 202);
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_channel_is_made_changed_started_stopped_and_removed() {
    let farm = Farm::local().await;
    let checked = farm.request(Method::PUT, "/v1/channels/news?dry_run=true").json(&document("news")).send().await;
    let checked: ChannelPut = checked.unwrap().json().await.unwrap();
    assert_eq!((checked.outcome, checked.dry_run), (ChannelChange::Created, true));
    assert_eq!(farm.get("/v1/channels/news").await.status(), 404, "nothing was stored");

    let made = put(&farm, "news", &document("news")).await;
    assert_eq!((made.status().as_u16(), &made.headers()["location"]), (201, &"/v1/channels/news".parse().unwrap()));
    let made: ChannelPut = made.json().await.unwrap();
    assert_eq!((made.channel.state, made.channel.edition), (ChannelState::Stopped, 1));
    let again: ChannelPut = put(&farm, "news", &document("news")).await.json().await.unwrap();
    assert_eq!((again.outcome, again.channel), (ChannelChange::Unchanged, made.channel.clone()));
    let mut wider = document("news");
    wider["window_s"] = json!(120);
    let wide = put(&farm, "news", &wider).await;
    assert_eq!(wide.status(), 200);
    let wide: ChannelPut = wide.json().await.unwrap();
    assert_eq!((wide.outcome, wide.channel.edition), (ChannelChange::Changed, 2));
    assert_eq!(wide.changes, ["window: 60 s -> 120 s"]);

    let started = accepted(farm.post("/v1/channels/news/start", "").await).await;
    assert_eq!((started.wanted, started.state), (Wanted::Running, ChannelState::Starting));
    wider["segment_s"] = json!(2);
    let refused = problem(put(&farm, "news", &wider).await, 409, "conflict").await;
    assert!(refused.detail.contains("stop it first"), "{}", refused.detail);
    let stopped = accepted(farm.post("/v1/channels/news/stop", "").await).await;
    assert_eq!(stopped.wanted, Wanted::Stopped);
    assert_eq!(put(&farm, "news", &wider).await.status(), 200);
    let gone = accepted(farm.request(Method::DELETE, "/v1/channels/news").send().await.unwrap()).await;
    assert_eq!(gone.wanted, Wanted::Retired);
    problem(farm.post("/v1/channels/news/start", "").await, 409, "conflict").await;
}

#[tokio::test]
async fn a_schedule_is_no_edition_and_is_shown_with_what_comes_next() {
    let farm = Farm::local().await;
    let past = json!([{ "from": "2020-01-01T10:00:00+01:00", "until": "2020-01-01T11:00:00Z" }]);
    let mut scheduled = document("news");
    scheduled["on_air"] = past;
    let made: ChannelPut = put(&farm, "news", &scheduled).await.json().await.unwrap();
    assert_eq!((made.outcome, made.notes.len(), made.channel.next), (ChannelChange::Created, 1, None));
    let over = accepted(farm.post("/v1/channels/news/start", "").await).await;
    assert_eq!((over.state, over.why.unwrap().code.as_str()), (ChannelState::Scheduled, "schedule-over"));

    let coming = json!([{ "until": "2020-01-01T11:00:00Z" }, { "from": "2999-01-01T10:00:00Z" }]);
    scheduled["on_air"] = coming.clone();
    let later: ChannelPut = put(&farm, "news", &scheduled).await.json().await.unwrap();
    assert_eq!((later.outcome, later.channel.edition), (ChannelChange::Changed, 1));
    assert_eq!(later.changes, ["on air: 2020-01-01T09:00:00Z..2020-01-01T11:00:00Z -> 2 spans"]);
    assert!(later.notes.is_empty() && later.channel.next.is_some_and(|next| next.on), "{later:?}");
    let shown: Value = farm.get("/v1/channels/news").await.json().await.unwrap();
    assert_eq!((&shown["on_air"], &shown["next"]), (&coming, &json!({ "on": true, "at_ms": 32_472_180_000_000_i64 })));
    farm.until("it is listed by its state", async || {
        let listed: Page<ChannelView> = farm.get("/v1/channels?state=scheduled").await.json().await.unwrap();
        listed.items.iter().any(|channel| channel.next.is_some())
    })
    .await;
    let found: Diagnosis = farm.get("/v1/channels/news/diagnose").await.json().await.unwrap();
    assert_eq!(found.failed, None, "to be off air as planned is no failure: {found:?}");

    // Whoever stops it overrules the schedule, and whoever starts it within a span puts it on air.
    let stopped = accepted(farm.post("/v1/channels/news/stop", "").await).await;
    assert_eq!((stopped.wanted, stopped.next), (Wanted::Stopped, None));
    let mut open = document("open");
    open["on_air"] = json!([{ "from": "2020-01-01T10:00:00Z" }]);
    assert_eq!(put(&farm, "open", &open).await.status(), 201);
    let started = accepted(farm.post("/v1/channels/open/start", "").await).await;
    assert_eq!(started.state, ChannelState::Starting);
    open["on_air"] = json!([{ "from": "10:00" }, {}]);
    let found = problem(put(&farm, "open", &open).await, 422, "invalid").await;
    let pointers: Vec<_> = found.errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/on_air/0/from", "/on_air/0/until", "/on_air/1"]);
}

#[tokio::test]
async fn a_channel_shows_its_sources_without_secrets_and_says_where_it_fails() {
    let farm = Farm::local().await;
    let mut signed = document("news");
    signed["sources"][1] = json!({ "uri": "https://h.example/x.m3u8?signature=s3cr3t" });
    assert_eq!(put(&farm, "news", &signed).await.status(), 201);
    let text = farm.get("/v1/channels/news").await.text().await.unwrap();
    assert!(!text.contains("s3cr3t") && text.contains("news-srt"), "{text}");
    let shown: ChannelDetail = serde_json::from_str(&text).unwrap();
    assert_eq!((shown.segment_ms, shown.sources.len(), shown.hls.as_str()), (4000, 2, "live/default/news/master.m3u8"));
    let found: Diagnosis = farm.get("/v1/channels/news/diagnose").await.json().await.unwrap();
    assert_eq!(found.failed, Some(Station::Control));
    farm.post("/v1/channels/news/start", "").await;
    let found: Diagnosis = farm.get("/v1/channels/news/diagnose").await.json().await.unwrap();
    // No controller runs beside this API.
    assert_eq!(found.failed, Some(Station::Control));
    assert!(found.stations[1].says.contains("0 of 2 replicas"), "{found:?}");
    assert_eq!(found.stations[2].state, StationState::Unknown);
}

#[tokio::test]
async fn lists_are_narrowed_and_paged() {
    let farm = Farm::local().await;
    for id in ["c", "a", "b"] {
        assert_eq!(put(&farm, id, &document(id)).await.status(), 201);
    }
    let mut other = document("a");
    other["tenant"] = json!("other");
    assert_eq!(put(&farm, "a", &other).await.status(), 201);
    accepted(farm.post("/v1/channels/b/start", "").await).await;
    let list =
        async |query: &str| farm.get(&format!("/v1/channels{query}")).await.json::<Page<ChannelView>>().await.unwrap();
    let names = |page: &Page<ChannelView>| {
        page.items.iter().map(|channel| format!("{}/{}", channel.tenant, channel.channel_id)).collect::<Vec<_>>()
    };
    farm.until("the view has them", async || list("").await.items.len() == 4).await;
    assert_eq!(names(&list("").await), ["default/a", "default/b", "default/c", "other/a"]);
    farm.until("one is starting", async || names(&list("?state=starting").await) == ["default/b"]).await;
    assert_eq!(names(&list("?tenant=other").await), ["other/a"]);
    let first = list("?limit=3").await;
    assert_eq!(names(&list(&format!("?limit=3&cursor={}", first.next.unwrap())).await), ["other/a"]);
    // Which of two is meant has to be said.
    problem(farm.get("/v1/channels/a").await, 400, "invalid-query").await;
    let shown: ChannelDetail = farm.get("/v1/channels/a?tenant=other").await.json().await.unwrap();
    assert_eq!(shown.channel.tenant.as_str(), "other");
    assert_eq!(farm.get("/v1/channels/c").await.status(), 200);
}

#[tokio::test]
async fn documents_with_faults_are_refused_whole() {
    let farm = Farm::local().await;
    let cases = [
        (json!({ "channel_id": "other", "sources": [{ "uri": "udp://h:1" }] }), vec!["/channel_id"]),
        (json!({ "channel_id": "news", "sources": [] }), vec!["/sources"]),
        (json!({ "channel_id": "news", "sources": [{ "uri": "/etc/passwd" }] }), vec!["/sources/0/uri"]),
        (
            json!({ "channel_id": "news", "sources": [{ "uri": "srt://h:1?passphrase=x" }], "window_s": 1 }),
            vec!["/sources/0/uri", "/window_s"],
        ),
        (json!({ "channel_id": "news", "sources": [{ "uri": "udp://h:1" }], "ladder": "nope" }), vec!["/ladder"]),
    ];
    for (document, pointers) in cases {
        for query in ["", "?dry_run=true"] {
            let path = format!("/v1/channels/news{query}");
            let answer = farm.request(Method::PUT, &path).json(&document).send().await.unwrap();
            let found = problem(answer, 422, "invalid").await;
            assert_eq!(found.errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(), pointers);
        }
    }
    let film = farm.film("loop.ts");
    let looped = json!({ "channel_id": "loop", "sources": [{ "uri": film }] });
    assert_eq!(put(&farm, "loop", &looped).await.status(), 201);
    for (method, path) in [
        (Method::GET, "/v1/channels/nope"),
        (Method::GET, "/v1/channels/No.Name"),
        (Method::GET, "/v1/channels/nope/diagnose"),
        (Method::POST, "/v1/channels/nope/start"),
        (Method::POST, "/v1/channels/nope/stop"),
        (Method::DELETE, "/v1/channels/nope"),
    ] {
        problem(farm.request(method, path).send().await.unwrap(), 404, "not-found").await;
    }
}

#[tokio::test]
async fn a_tenant_sees_and_changes_only_its_own() {
    let farm = Farm::keyed().await;
    let a = key(&farm, "a", AccessRole::Operator).await;
    let b = key(&farm, "b", AccessRole::Operator).await;
    let viewer = key(&farm, "a", AccessRole::Viewer).await;
    problem(put(&farm, "news", &document("news")).await, 401, "unauthorized").await;
    problem(put_with(&farm, "news", &document("news"), Some(&viewer)).await, 403, "forbidden").await;
    let mut foreign = document("news");
    foreign["tenant"] = json!("b");
    problem(put_with(&farm, "news", &foreign, Some(&a)).await, 403, "forbidden").await;
    assert_eq!(put_with(&farm, "news", &document("news"), Some(&a)).await.status(), 201);
    for (method, path) in [
        (Method::GET, "/v1/channels/news"),
        (Method::GET, "/v1/channels/news?tenant=a"),
        (Method::GET, "/v1/channels/news/diagnose"),
        (Method::POST, "/v1/channels/news/start"),
        (Method::DELETE, "/v1/channels/news"),
    ] {
        let answer = farm.request(method.clone(), path).bearer_auth(&b).send().await.unwrap();
        problem(answer, 404, "not-found").await;
        if method != Method::GET {
            let answer = farm.request(method, path).bearer_auth(&viewer).send().await.unwrap();
            problem(answer, 403, "forbidden").await;
        }
    }
    let answer = farm.request(Method::GET, "/v1/channels/news").bearer_auth(&viewer).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let list = farm.request(Method::GET, "/v1/channels").bearer_auth(&b).send().await.unwrap();
    assert!(list.json::<Page<ChannelView>>().await.unwrap().items.is_empty());
}
