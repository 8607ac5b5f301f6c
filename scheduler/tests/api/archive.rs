//! Spans of channels that become titles, over the API: what is kept, what is refused, and whose it is.

use framemill_schemas::{
    api::{AccessRole, AssetView},
    asset::AssetState,
    live::{
        Commit, LeftOutWhy, Timeline, Timelines, channel_folder, commit_key, folded_folder, record_key, segment_key,
    },
    subject::{COMMITS_BUCKET, TIMELINES_BUCKET},
};
use framemill_storage::Meta;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{access::key, farm::Farm, http::problem};

/// When the first number starts: a whole second.
const START_S: i64 = 1_795_000_000;
const FIRST: u64 = 600;

fn timeline(id: u32, first: u64) -> Timeline {
    let rate = json!({ "num": 25, "den": 1 });
    let frame = START_S as u64 * 25 + (first - FIRST) * 100;
    serde_json::from_value(json!({
        "id": id, "random": format!("0000000{id}"), "first": first, "first_frame": frame, "edition": 1, "source": 0,
        "origin": framemill_schemas::live::LiveSource::parse("udp://239.0.0.1:5000", false).unwrap(),
        "clock": { "rate": rate, "pts": 0, "frame": frame },
        "format": { "codec": "h264", "pixels": "yuv420p", "width": 640, "height": 360, "rate": rate, "interlaced": false,
            "sound": null },
        "gop_frames": 50, "segment_frames": 100, "timescale": 90_000, "threads": 1, "codec": "h264",
        "rungs": [{ "name": "360p", "width": 640, "height": 360, "preset": "fast",
            "rate_control": { "average": { "bitrate_kbps": 400, "maxrate_kbps": 600 } } }],
        "audio": [{ "name": "stereo", "codec": "aac", "channels": 2, "bitrate_kbps": 96 }],
        "made_ms": 0,
    }))
    .unwrap()
}

/// `s` a segment, `i` one with another init, `f` filler, `-` a gap.
fn commit(number: u64, letter: char) -> Commit {
    let track = |name: &str| {
        let init = format!("{name:0>15}{}", if letter == 'i' { 'b' } else { 'a' });
        json!({ "init": init, "bytes": 1000, "digest": "0".repeat(64), "by": "00000000-0000-0000-0000-000000000001" })
    };
    let tracks = json!([track("1"), track("2")]);
    let made = json!({ "by": "00000000-0000-0000-0000-000000000001", "node": "node-1", "tracks": tracks });
    let what = match letter {
        '-' => json!({ "gap": { "why": "nobody made it in time" } }),
        'f' => json!({ "filler": made }),
        _ => json!({ "segment": made }),
    };
    serde_json::from_value(json!({ "v": 1, "timeline": 1, "number": number, "what": what, "at_ms": 0 })).unwrap()
}

/// A channel that published these numbers; the first `folded` of them were folded.
async fn channel(farm: &Farm, tenant: &str, letters: &str, folded: usize, key: Option<&str>) {
    let document = json!({
        "channel_id": "news", "tenant": tenant, "sources": [{ "uri": "udp://239.0.0.1:5000" }], "ladder": "web-h264",
        "segment_s": 4,
    });
    let put = farm.request(Method::PUT, "/v1/channels/news").json(&document);
    let put = if let Some(key) = key { put.bearer_auth(key) } else { put };
    assert_eq!(put.send().await.unwrap().status(), 201);
    let start = farm.request(Method::POST, "/v1/channels/news/start");
    let start = if let Some(key) = key { start.bearer_auth(key) } else { start };
    assert_eq!(start.send().await.unwrap().status(), 202);
    let (tenant, id) = (tenant.parse().unwrap(), "news".parse().unwrap());
    let commits: Vec<Commit> = (FIRST..).zip(letters.chars()).map(|(number, letter)| commit(number, letter)).collect();
    let floor = FIRST + folded as u64;
    if folded > 0 {
        let index = json!({
            "v": 1, "first": FIRST, "end": floor, "before": null, "breaks": 0, "timelines": [timeline(1, FIRST)],
            "commits": &commits[..folded],
        });
        let key = format!("{}{FIRST}.json", folded_folder(&channel_folder(&tenant, &id)));
        farm.store.put_new(&key, serde_json::to_vec(&index).unwrap().into(), &Meta::default()).await.unwrap();
    }
    for commit in &commits[folded..] {
        let key = commit_key(&tenant, &id, commit.number);
        farm.queue.records(COMMITS_BUCKET).create(&key, commit).await.unwrap();
    }
    let timelines = Timelines { v: 1, all: vec![timeline(1, FIRST)], floor, ..Timelines::default() };
    farm.queue.records(TIMELINES_BUCKET).create(&record_key(&tenant, &id), &timelines).await.unwrap();
}

/// Asks for a span, in seconds from the start.
async fn ask(farm: &Farm, from: i64, to: i64, headers: &[(&str, &str)]) -> Response {
    let body = json!({ "from": START_S + from, "to": (START_S + to).to_string() });
    let mut request = farm.request(Method::POST, "/v1/channels/news/archive").json(&body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_span_becomes_an_asset_that_says_what_it_keeps() {
    let farm = Farm::local().await;
    channel(&farm, "default", "ssss-sfsssss", 3, None).await;
    let accepted = ask(&farm, 5, 36, &[("idempotency-key", "once")]).await;
    assert_eq!(accepted.status(), 202);
    let location = accepted.headers()["location"].to_str().unwrap().to_owned();
    let asset: AssetView = accepted.json().await.unwrap();
    assert_eq!((asset.state, location), (AssetState::Accepted, format!("/v1/assets/{}", asset.id)));
    assert_eq!((asset.source.as_str(), asset.ladder.as_str()), ("channel:news/601-608", "web-h264"));
    let archive = asset.archive.clone().unwrap();
    assert_eq!((archive.first, archive.last, archive.segments, archive.left_out_segments), (601, 608, 6, 2));
    assert_eq!((archive.from_ms, archive.to_ms), ((START_S + 4) * 1000, (START_S + 36) * 1000));
    let left_out: Vec<_> = archive.left_out.iter().map(|left| (left.why, left.segments, left.from_ms)).collect();
    let at = |s: i64| (START_S + s) * 1000;
    assert_eq!(left_out, [(LeftOutWhy::Gap, 1, at(16)), (LeftOutWhy::Filler, 1, at(24))]);

    // The same key is the same asset, another body is not.
    let again = ask(&farm, 5, 36, &[("idempotency-key", "once")]).await;
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(again.json::<AssetView>().await.unwrap().id, asset.id);
    problem(ask(&farm, 5, 37, &[("idempotency-key", "once")]).await, 409, "idempotency-conflict").await;
    let listed: AssetView = farm.get(&format!("/v1/assets/{}", asset.id)).await.json().await.unwrap();
    assert_eq!(listed.archive, asset.archive);

    // Anew only while the channel has it.
    let path = format!("/v1/assets/{}", asset.id);
    assert_eq!(farm.post(&format!("{path}/cancel"), "").await.status(), 200);
    let refused = problem(farm.post(&format!("{path}/retry"), "").await, 409, "span-not-kept").await;
    assert!(refused.detail.contains("channel:news/601-608"), "{}", refused.detail);
    let (record, _) = farm.asset(asset.id).await;
    for stretch in &record.cut.unwrap().stretches {
        let key = segment_key(&stretch.folder, "360p", stretch.first);
        farm.store.put_new(&key, "x".into(), &Meta::default()).await.unwrap();
    }
    let retried: AssetView = farm.post(&format!("{path}/retry"), "").await.json().await.unwrap();
    assert_eq!((retried.state, retried.generation.number), (AssetState::Accepted, 2));
}

#[tokio::test]
async fn spans_that_cannot_be_kept_are_refused_with_what_is() {
    let farm = Farm::local().await;
    channel(&farm, "default", "ssss--ffiiss", 4, None).await;
    for (from, to, kind, says) in [
        (40, 49, "span-in-future", "2026-11-18T11:07:28.000Z"),
        (-60, 8, "span-not-kept", "2026-11-18T11:06:40.000Z"),
        (16, 30, "span-empty", "nothing of the source"),
        (0, 48, "span-changes", "2026-11-18T11:07:12.000Z, 2026-11-18T11:07:20.000Z"),
    ] {
        let found = problem(ask(&farm, from, to, &[]).await, 409, kind).await;
        assert!(found.detail.contains(says), "{}", found.detail);
    }
    for (body, pointers) in [
        (json!({ "from": "x", "to": "2026-11-29T20:00:00Z" }), vec!["/from"]),
        (json!({ "from": 20, "to": 10 }), vec!["/to"]),
        (json!({ "from": 10, "to": 20, "title": "x" }), vec!["/title"]),
        (json!({ "from": 10, "to": 20, "priority": "live" }), vec!["/priority"]),
    ] {
        let body: Value = body;
        let answer = farm.post("/v1/channels/news/archive", body.to_string()).await;
        let found = problem(answer, 422, "invalid").await;
        assert_eq!(found.errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(), pointers, "{body}");
    }
    let body = json!({ "from": 10, "to": 20 }).to_string();
    problem(farm.post("/v1/channels/nope/archive", body).await, 404, "not-found").await;
    // Each piece of what changes can be kept.
    for (from, to) in [(0, 16), (32, 40), (40, 48)] {
        assert_eq!(ask(&farm, from, to, &[]).await.status(), 202, "{from}");
    }
}

#[tokio::test]
async fn a_tenant_keeps_only_its_own() {
    let farm = Farm::keyed().await;
    let own = key(&farm, "a", AccessRole::Operator).await;
    let other = key(&farm, "b", AccessRole::Operator).await;
    let viewer = key(&farm, "a", AccessRole::Viewer).await;
    channel(&farm, "a", "ssss", 0, Some(&own)).await;
    let bearer = |key: &str| format!("Bearer {key}");
    problem(ask(&farm, 0, 8, &[]).await, 401, "unauthorized").await;
    problem(ask(&farm, 0, 8, &[("authorization", &bearer(&other))]).await, 404, "not-found").await;
    problem(ask(&farm, 0, 8, &[("authorization", &bearer(&viewer))]).await, 403, "forbidden").await;
    let kept = ask(&farm, 0, 8, &[("authorization", &bearer(&own))]).await;
    assert_eq!(kept.status(), 202);
    let kept: AssetView = kept.json().await.unwrap();
    assert_eq!((kept.tenant.as_str(), kept.archive.unwrap().segments), ("a", 2));
    let path = format!("/v1/assets/{}", kept.id);
    problem(farm.request(Method::GET, &path).bearer_auth(&other).send().await.unwrap(), 404, "not-found").await;
}
