//! Purges from the request to the last acknowledgement, with edges that follow the bucket as real ones do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use framemill_queue::{Change, Queue};
use framemill_scheduler::{
    loops::purges,
    purges::{Caches, PurgeConfig},
};
use framemill_schemas::{
    api::{AccessRole, Page},
    delivery::{
        AdapterState, AdapterStatus, EDGE_LOAD_VERSION, EDGE_VERSION, EdgeLoad, EdgeRecord, EdgeView, Purge,
        PurgeAccepted, PurgeReport, PurgeState, PurgeView,
    },
    event::Event,
    ids::NodeId,
    subject::{EDGE_LOADS_BUCKET, EDGES_BUCKET, PURGES_BUCKET},
};
use framemill_storage::Meta;
use futures_util::StreamExt;
use reqwest::Method;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    access::key,
    farm::{Farm, PATIENCE},
    http::problem,
};

/// What stands in for an edge: it follows purges, and writes how far it is. Applying is nothing here.
async fn edge(queue: Queue, name: String, stop: CancellationToken) {
    let (purges, edges) = (queue.records::<Purge>(PURGES_BUCKET), queue.records::<EdgeRecord>(EDGES_BUCKET));
    let edge: NodeId = name.parse().unwrap();
    let mut record =
        EdgeRecord { v: EDGE_VERSION, edge, url: String::new(), zone: None, started_ms: 1, applied: 0, applied_ms: 1 };
    let mut revision = edges.create(&name, &record).await.unwrap();
    let mut changes = std::pin::pin!(purges.watch(">").await.unwrap());
    while let Some(Some(change)) = stop.run_until_cancelled(changes.next()).await {
        if let Change::Put { revision: place, .. } = change.unwrap() {
            record.applied = place;
            revision = edges.update(&name, &record, revision).await.unwrap();
        }
    }
}

/// The loop that completes purges, and edges; all end with the value.
pub struct Fleet {
    stop: CancellationToken,
    _stopped: DropGuard,
}

impl Fleet {
    fn start(farm: &Farm) -> Self {
        Self::beside(farm, &PurgeConfig::default())
    }

    /// With caches of others to be purged.
    pub fn beside(farm: &Farm, config: &PurgeConfig) -> Self {
        let stop = CancellationToken::new();
        let (queue, view, held) = (farm.queue.clone(), farm.view.clone(), stop.clone());
        let caches = Caches::new(config).unwrap();
        tokio::spawn(async move { purges::run(&queue, &view, &caches, &held).await });
        Self { stop: stop.clone(), _stopped: stop.drop_guard() }
    }

    async fn edges(&self, farm: &Farm, count: usize) {
        for number in 1..=count {
            tokio::spawn(edge(farm.queue.clone(), format!("edge-{number:02}"), self.stop.child_token()));
        }
        farm.until("the edges are known", async || farm.view.edges().len() == count).await;
    }
}

pub async fn ask(farm: &Farm, body: &str) -> PurgeAccepted {
    let response = farm.post("/v1/purges", body.to_owned()).await;
    assert_eq!(response.status(), 202);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let accepted: PurgeAccepted = response.json().await.unwrap();
    assert_eq!(location, format!("/v1/purges/{}", accepted.id));
    accepted
}

pub async fn show(farm: &Farm, accepted: &PurgeAccepted) -> PurgeView {
    farm.get(&format!("/v1/purges/{}", accepted.id)).await.json().await.unwrap()
}

async fn events(farm: &Farm, count: usize) -> Vec<Event> {
    let events = farm.queue.events("events.*.purge.>".to_owned(), Some(0)).await.unwrap();
    let wanted = events.take(count).map(|event| event.unwrap().1).collect();
    tokio::time::timeout(PATIENCE, wanted).await.expect("the events are sent")
}

#[tokio::test]
async fn a_purge_is_completed_by_its_last_edge_and_told_once() {
    let farm = Farm::local().await;
    let fleet = Fleet::start(&farm);
    fleet.edges(&farm, 3).await;
    let accepted = ask(&farm, r#"{"tags":["channel:acme/news","channel:acme/news"]}"#).await;
    farm.until("it is completed", async || show(&farm, &accepted).await.state == PurgeState::Completed).await;
    let shown = show(&farm, &accepted).await;
    assert_eq!((shown.tags.as_slice(), shown.acknowledged), (&["channel:acme/news".to_owned()][..], 3));
    assert!(shown.waiting.is_empty() && shown.completed_ms >= Some(shown.requested_ms));

    // An edge that is away holds it up, by name, until an operator forgets it.
    let gone = "edge-gone".to_owned();
    let record = EdgeRecord { edge: gone.parse().unwrap(), ..farm.view.edges().values().next().unwrap().clone() };
    farm.queue.records(EDGES_BUCKET).create(&gone, &record).await.unwrap();
    let load = EdgeLoad {
        v: EDGE_LOAD_VERSION,
        edge: record.edge.clone(),
        url: String::new(),
        zone: None,
        place: None,
        serves: true,
        health: 90,
        connections: 30,
        connections_max: 100,
        sent_bytes_per_s: 0,
        egress_bytes_per_s: 0,
        // As fresh as can be, whatever this machine's clock says.
        written_ms: i64::MAX,
    };
    farm.queue.records(EDGE_LOADS_BUCKET).create(&gone, &load).await.unwrap();
    farm.until("its load is known", async || farm.view.edge_load(&load.edge).is_some()).await;
    let second = ask(&farm, r#"{"tags":["tenant:acme"],"refuse":true}"#).await;
    assert!(second.sequence > accepted.sequence);
    farm.until("the others have it", async || show(&farm, &second).await.acknowledged == 3).await;
    let shown = show(&farm, &second).await;
    assert_eq!((shown.state, shown.waiting), (PurgeState::Running, vec![gone.parse().unwrap()]));
    let edges: Page<EdgeView> = farm.get("/v1/edges").await.json().await.unwrap();
    let behind: Vec<_> = edges.items.iter().map(|edge| (edge.id.as_str(), edge.behind)).collect();
    assert_eq!(behind, [("edge-01", 0), ("edge-02", 0), ("edge-03", 0), ("edge-gone", 1)]);
    let shown = edges.items.last().unwrap().load.clone().unwrap();
    assert_eq!((shown.health, shown.load_percent, edges.items[0].load.is_none()), (90, 30, true));
    let forget = async || farm.request(Method::DELETE, "/v1/edges/edge-gone").send().await.unwrap();
    assert_eq!(forget().await.status(), 204);
    farm.until("nobody is sent there", async || farm.view.edge_load(&load.edge).is_none()).await;
    farm.until("it is completed", async || show(&farm, &second).await.state == PurgeState::Completed).await;
    problem(forget().await, 404, "not-found").await;

    let told = events(&farm, 4).await;
    let mut kinds: Vec<_> = told.iter().map(|event| (event.data.purge_id.unwrap(), event.kind.as_str())).collect();
    kinds.sort_by_key(|(id, kind)| (*id != accepted.id, *kind == "purge.completed"));
    let expected = [accepted.id, second.id].map(|id| [(id, "purge.requested"), (id, "purge.completed")]);
    assert_eq!(kinds, expected.concat());
    let page: Page<PurgeView> = farm.get("/v1/purges?state=completed&limit=1").await.json().await.unwrap();
    assert_eq!(page.items[0].id, second.id);
    let rest = format!("/v1/purges?cursor={}", page.next.unwrap());
    let page: Page<PurgeView> = farm.get(&rest).await.json().await.unwrap();
    assert_eq!((page.items.len(), page.items[0].id), (1, accepted.id));
}

#[tokio::test]
#[allow(clippy::print_stderr)]
async fn twenty_edges_acknowledge_and_it_is_told_how_soon() {
    let farm = Farm::local().await;
    let fleet = Fleet::start(&farm);
    fleet.edges(&farm, 20).await;
    let mut completions: Vec<Duration> = Vec::new();
    let mut acknowledged: Vec<Duration> = Vec::new();
    for number in 0..100 {
        let begun = Instant::now();
        let accepted = ask(&farm, &format!(r#"{{"tags":["channel:acme/c{number}"]}}"#)).await;
        let mut news = farm.view.purge_news();
        let mut last = None;
        loop {
            if last.is_none() && farm.view.edges().values().all(|edge| edge.applied >= accepted.sequence) {
                last = Some(begun.elapsed());
            }
            let status = farm.view.purge(accepted.id).and_then(|entry| entry.status);
            if status.is_some_and(|(status, _)| status.state == PurgeState::Completed) {
                break;
            }
            tokio::time::timeout(PATIENCE, news.changed()).await.expect("it is completed").unwrap();
        }
        completions.push(begun.elapsed());
        acknowledged.push(last.unwrap_or_else(|| begun.elapsed()));
    }
    for (what, mut all) in [("all acknowledged", acknowledged), ("written as completed", completions)] {
        all.sort();
        let at = |share: usize| all[(all.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        eprintln!("100 purges, 20 edges, request to {what}: p50 {:.1} ms, p99 {:.1} ms", at(50), at(99));
    }
}

#[tokio::test]
async fn a_request_is_checked_whole_and_kept_to_its_tenant() {
    let farm = Farm::keyed().await;
    let (mine, other) =
        (key(&farm, "acme", AccessRole::Operator).await, key(&farm, "other", AccessRole::Operator).await);
    let viewer = key(&farm, "acme", AccessRole::Viewer).await;
    let send = async |key: &str, idempotency: Option<&str>, body: &str| {
        let mut request = farm.request(Method::POST, "/v1/purges").bearer_auth(key);
        if let Some(idempotency) = idempotency {
            request = request.header("idempotency-key", idempotency);
        }
        request.header("content-type", "application/json").body(body.to_owned()).send().await.unwrap()
    };
    let asset = {
        let body = r#"{"source":"https://example.net/film.mp4"}"#;
        let request = farm.request(Method::POST, "/v1/assets").bearer_auth(&other);
        let response = request.header("content-type", "application/json").body(body).send().await.unwrap();
        response.json::<framemill_schemas::api::AssetView>().await.unwrap().id
    };
    problem(send(&viewer, None, r#"{"tags":["tenant:acme"]}"#).await, 403, "forbidden").await;
    problem(send(&mine, None, r#"{"tags":["tenant:acme"],"tenant":"other"}"#).await, 403, "forbidden").await;
    let body =
        format!(r#"{{"tags":["tenant:acme","tenant:other","channel:x","asset:{asset}","object:live/acme/n/m.m3u8"]}}"#);
    let found = problem(send(&mine, None, &body).await, 422, "invalid").await;
    assert_eq!(found.errors.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), ["/tags/2"]);
    let found = problem(send(&mine, None, &body.replace(r#""channel:x","#, "")).await, 422, "invalid").await;
    assert_eq!(found.errors.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), ["/tags/1", "/tags/2"]);
    let own = send(&other, None, &format!(r#"{{"tags":["asset:{asset}"]}}"#)).await;
    assert_eq!(own.status(), 202);
    let found = problem(send(&mine, None, r#"{"tags":[],"tag":"x"}"#).await, 422, "invalid").await;
    assert!(!found.errors.is_empty());

    // The same key and body are the same purge; another tenant's key of the same name is another one.
    let body = r#"{"tags":["tenant:acme"]}"#;
    let first: PurgeAccepted = send(&mine, Some("k"), body).await.json().await.unwrap();
    let again = send(&mine, Some("k"), body).await;
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    let again: PurgeAccepted = again.json().await.unwrap();
    assert_eq!((first.id, first.sequence), (again.id, again.sequence));
    let clash = send(&mine, Some("k"), r#"{"tags":["tenant:acme"],"refuse":true}"#).await;
    problem(clash, 409, "idempotency-conflict").await;
    let theirs: PurgeAccepted = send(&other, Some("k"), r#"{"tags":["tenant:other"]}"#).await.json().await.unwrap();
    assert_ne!(theirs.id, first.id);
    for path in [format!("/v1/purges/{}", first.id), "/v1/purges/x".to_owned()] {
        let response = farm.request(Method::GET, &path).bearer_auth(&other).send().await.unwrap();
        problem(response, 404, "not-found").await;
    }
    farm.until("the view has all", async || farm.view.purges().len() == 3).await;
    let list = farm.request(Method::GET, "/v1/purges").bearer_auth(&mine).send().await.unwrap();
    let page: Page<PurgeView> = list.json().await.unwrap();
    assert_eq!(page.items.iter().map(|purge| purge.id).collect::<Vec<_>>(), [first.id]);
    let response = farm.request(Method::GET, "/v1/edges").bearer_auth(&mine).send().await.unwrap();
    problem(response, 403, "forbidden").await;
}

#[tokio::test]
async fn a_report_says_when_it_is_gone() {
    let farm = Farm::local().await;
    let fleet = Fleet::start(&farm);
    fleet.edges(&farm, 2).await;
    let keys = ["live/acme/news/master.m3u8", "live/acme/news/t1-00c0ffee/720p/1.m4s", "live/acme/other/master.m3u8"];
    for key in keys {
        farm.store.put_new(key, "x".into(), &Meta::default()).await.unwrap();
    }
    let accepted = ask(&farm, r#"{"tags":["channel:acme/news","timeline:acme/news/t1-00c0ffee"],"refuse":true}"#).await;
    let report =
        async || -> PurgeReport { farm.get(&format!("/v1/purges/{}/report", accepted.id)).await.json().await.unwrap() };
    farm.until("it is completed", async || report().await.purge.state == PurgeState::Completed).await;
    let found = report().await;
    assert_eq!((found.gone, found.objects_left, found.examples.len()), (false, 2, 2));
    farm.store.delete(&keys[..2].iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()).await.unwrap();
    let found = report().await;
    assert_eq!((found.gone, found.objects_left), (true, 0));
}

async fn show_adapters(farm: &Farm, accepted: &PurgeAccepted) -> BTreeMap<String, AdapterStatus> {
    show(farm, accepted).await.adapters.into_iter().map(|adapter| (adapter.name.clone(), adapter)).collect()
}

/// A cache of somebody else that answers with `status`, and keeps what it is asked.
async fn other(status: u16) -> (String, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = asked.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |headers: axum::http::HeaderMap| {
        let tags = headers.get("xkey-purge").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        kept.lock().unwrap().push(tags);
        std::future::ready((axum::http::StatusCode::from_u16(status).unwrap(), "said so"))
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    (url, asked)
}

#[tokio::test]
async fn caches_of_others_are_purged_after_the_edges_and_hold_nothing_up() {
    let farm = Farm::local().await;
    let (good, asked) = other(200).await;
    let (bad, _) = other(403).await;
    let (nginx, _) = other(200).await;
    let config = serde_json::json!({ "varnish": { "urls": [good, bad] }, "nginx": { "urls": [nginx] } });
    let fleet = Fleet::beside(&farm, &serde_json::from_value::<PurgeConfig>(config).unwrap());
    fleet.edges(&farm, 2).await;
    let accepted = ask(&farm, r#"{"tags":["channel:acme/news","object:live/acme/news/master.m3u8"]}"#).await;
    let settled = async || {
        let shown = show(&farm, &accepted).await;
        shown.adapters.len() == 3 && shown.adapters.iter().all(|adapter| adapter.state != AdapterState::Waiting)
    };
    farm.until("every cache has answered", settled).await;
    let shown = show(&farm, &accepted).await;
    assert_eq!((shown.state, shown.acknowledged), (PurgeState::Completed, 2));
    let states = show_adapters(&farm, &accepted).await;
    let of = |kind: &str, url: &str| &states[&format!("{kind}/{}", url.trim_start_matches("http://"))];
    assert_eq!((of("varnish", &good).state, of("varnish", &good).requests), (AdapterState::Completed, 1));
    assert_eq!(*asked.lock().unwrap(), ["channel:acme/news object:live/acme/news/master.m3u8"]);
    let failed = of("varnish", &bad);
    assert_eq!((failed.state, failed.receipts[0].answer.as_str()), (AdapterState::Failed, "403 said so"));
    let some = of("nginx", &nginx);
    assert_eq!(
        (some.state, some.unsupported.as_slice()),
        (AdapterState::Unsupported, &["channel:acme/news".to_owned()][..])
    );
    assert!(
        shown.adapters.iter().all(|adapter| adapter.receipts.iter().all(|it| Some(it.at_ms) >= shown.completed_ms))
    );
    let told = events(&farm, 3).await;
    let mut kinds: Vec<_> = told.iter().map(|event| event.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["purge.completed", "purge.failed", "purge.requested"]);
    let reason = told.iter().find_map(|event| event.data.reason.clone()).unwrap();
    assert!(reason.contains("varnish/") && reason.contains("403 said so"), "{reason}");

    // Mended or not, one that was given up can be asked again, and nobody else is.
    let retried = farm.request(Method::POST, &format!("/v1/purges/{}/retry", accepted.id)).send().await.unwrap();
    assert_eq!(retried.status(), 200);
    farm.until("every cache has answered again", settled).await;
    let adapters = show_adapters(&farm, &accepted).await;
    let requests = |url: &str| adapters[&format!("varnish/{}", url.trim_start_matches("http://"))].requests;
    assert_eq!((requests(&good), requests(&bad)), (1, 2));

    // An edge that is away holds caches up for a while only; once it is forgotten they are purged again.
    let away = EdgeRecord { edge: "edge-away".parse().unwrap(), ..farm.view.edges().values().next().unwrap().clone() };
    farm.queue.records(EDGES_BUCKET).create("edge-away", &away).await.unwrap();
    let second = ask(&farm, r#"{"tags":["tenant:acme"]}"#).await;
    let early = async || show(&farm, &second).await.adapters.iter().any(|adapter| adapter.early);
    farm.until("caches are purged without the edge", early).await;
    assert_eq!(show(&farm, &second).await.state, PurgeState::Running);
    assert_eq!(farm.request(Method::DELETE, "/v1/edges/edge-away").send().await.unwrap().status(), 204);
    let again = async || asked.lock().unwrap().iter().filter(|tags| *tags == "tenant:acme").count() == 2;
    farm.until("caches are purged after the edges", again).await;
}
