//! Machines over the API: who may look and act, what is shown, what is refused.

use framemill_queue::node;
use framemill_schemas::{
    api::{AccessRole, AssetView, Page, Scaling},
    failure::{Class, Failure},
    holder::Holder,
    ids::NodeId,
    job::JobState,
    ladder::VideoCodec,
    lane::{Demand, Lane, Priority, Size},
    node::{Decider, NodeDetail, NodeRole, NodeState, NodeView, Waiting},
    presence::Heartbeat,
};
use reqwest::Method;
use uuid::Uuid;

use crate::{access::key, farm::Farm, http::problem};

fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

/// As a worker of that machine does at its start.
async fn joins(farm: &Farm, name: &str) {
    let role = NodeRole {
        role: "worker".to_owned(),
        slots: 2,
        encodes: Vec::new(),
        zone: Some("rack-2".parse().unwrap()),
        inventory: None,
    };
    let at = node::Moment { now_ms: 5, revision: 0 };
    let record = node::join(None, &id(name), &role, at).unwrap();
    farm.queue.nodes().create(name, &record).await.unwrap();
}

/// What a process of that machine says that encodes nothing.
fn beat(process: u128, role: &str, waiting: Option<&str>) -> Heartbeat {
    Heartbeat {
        v: 1,
        node: id("gpu-7"),
        process: Uuid::from_u128(process),
        role: role.to_owned(),
        nonces: Vec::new(),
        slots: 2,
        hardware: Vec::new(),
        engines: 0,
        encodes: Vec::new(),
        zone: None,
        waiting: waiting.map(str::to_owned),
    }
}

async fn post(farm: &Farm, path: &str) -> NodeView {
    let response = farm.request(Method::POST, path).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_node_says_why_it_takes_nothing() {
    let farm = Farm::local().await;
    joins(&farm, "gpu-7").await;
    let all = [
        beat(1, "worker", Some("2 of 2 slots are taken")),
        beat(2, "packager", Some("the store is away")),
        beat(3, "packager", None),
        Heartbeat { node: id("gpu-8"), ..beat(4, "worker", Some("another's")) },
    ];
    for beat in &all {
        farm.queue.beat(beat).await.unwrap();
    }
    let waiting = |role: &str, why: &str| Waiting { role: role.to_owned(), why: why.to_owned() };
    let expected = [waiting("packager", "the store is away"), waiting("worker", "2 of 2 slots are taken")];
    let shown = async || farm.get("/v1/nodes/gpu-7").await.json::<NodeDetail>().await.unwrap();
    farm.until("what was heard is shown", async || shown().await.waiting == expected).await;
    // Taken back with the next heartbeat.
    farm.queue.beat(&beat(1, "worker", None)).await.unwrap();
    farm.until("only one waits", async || shown().await.waiting == expected[..1]).await;
}

#[tokio::test]
async fn a_title_says_that_nobody_is_there_to_encode_it() {
    let farm = Farm::local().await;
    let asset = farm.submit(r#"{"source":"https://media.example.net/a.mp4"}"#).await;
    let (record, _) = farm.asset(asset.id).await;
    let (codec, priority) = (VideoCodec::Hevc, Priority::Standard);
    let lane = Lane::Encode { engine: Demand::Any, codec, size: Size::Small, priority };
    farm.job(&record, "transcode/hevc/0001", |job| job.lane = lane).await;
    let path = format!("/v1/assets/{}", asset.id);
    let waiting = async || farm.get(&path).await.json::<AssetView>().await.unwrap().waiting;
    assert_eq!(waiting().await.as_deref(), Some("no worker is heard"));
    let worker = |slots, encodes: &[_]| Heartbeat { slots, encodes: encodes.to_vec(), ..beat(1, "worker", None) };
    farm.queue.beat(&worker(2, &[VideoCodec::H264])).await.unwrap();
    farm.until("a worker is heard", async || {
        waiting().await.as_deref() == Some("no worker is there that encodes hevc")
    })
    .await;
    let both = [VideoCodec::H264, VideoCodec::Hevc];
    farm.queue.beat(&worker(0, &both)).await.unwrap();
    let out = "every worker that encodes hevc is out of service";
    farm.until("it takes nothing", async || waiting().await.as_deref() == Some(out)).await;
    farm.queue.beat(&worker(2, &both)).await.unwrap();
    farm.until("somebody encodes it", async || waiting().await.is_none()).await;
}

#[tokio::test]
async fn an_operator_drains_resumes_and_quarantines() {
    let farm = Farm::local().await;
    joins(&farm, "gpu-7").await;
    joins(&farm, "gpu-8").await;
    let page: Page<NodeView> = farm.get("/v1/nodes?limit=1").await.json().await.unwrap();
    assert_eq!((page.items[0].id.clone(), page.items[0].state), (id("gpu-7"), NodeState::Active));
    assert_eq!(page.items[0].roles[0].zone.as_ref().map(|zone| zone.as_str()), Some("rack-2"));
    let rest = format!("/v1/nodes?cursor={}", page.next.unwrap());
    let page: Page<NodeView> = farm.get(&rest).await.json().await.unwrap();
    assert_eq!((page.items.len(), page.items[0].id.clone(), page.next), (1, id("gpu-8"), None));

    let view = post(&farm, "/v1/nodes/gpu-7/drain").await;
    assert_eq!((view.state, view.by, view.deadline_s), (NodeState::Draining, Decider::Operator, Some(60)));
    let view = post(&farm, "/v1/nodes/gpu-7/drain?deadline_s=5").await;
    assert_eq!((view.state, view.deadline_s), (NodeState::Draining, Some(5)));
    let view = post(&farm, "/v1/nodes/gpu-7/resume").await;
    assert_eq!((view.state, view.deadline_s), (NodeState::Active, None));
    let view = post(&farm, "/v1/nodes/gpu-7/quarantine?why=smoke").await;
    assert_eq!((view.state, view.by, view.why.as_str()), (NodeState::Quarantined, Decider::Operator, "smoke"));
    // Again changes nothing, and is no fault.
    let again = post(&farm, "/v1/nodes/gpu-7/quarantine?why=smoke").await;
    assert_eq!(again, view);
    assert_eq!(farm.queue.nodes().get("gpu-8").await.unwrap().unwrap().0.state, NodeState::Active);

    for (path, status, kind) in [
        ("/v1/nodes/nobody/drain", 404, "not-found"),
        ("/v1/nodes/No.Name/drain", 404, "not-found"),
        ("/v1/nodes/gpu-7/drain?deadline_s=86401", 422, "invalid"),
        ("/v1/nodes/gpu-7/drain?deadline=5", 400, "invalid-query"),
        ("/v1/nodes/gpu-7/quarantine?why=%1B", 422, "invalid"),
    ] {
        problem(farm.request(Method::POST, path).send().await.unwrap(), status, kind).await;
    }
    problem(farm.get("/v1/nodes/nobody").await, 404, "not-found").await;
}

#[tokio::test]
async fn a_node_shows_what_it_runs_and_what_failed_on_it() {
    let farm = Farm::local().await;
    joins(&farm, "gpu-7").await;
    let asset = farm.submit(r#"{"source":"https://example.net/film.mp4"}"#).await;
    let (asset, _) = farm.asset(asset.id).await;
    let failed = |node: &str, at_ms: i64| Failure {
        node: Some(id(node)),
        at_ms,
        ..Failure::new(Class::Transient, "ffmpeg-crashed", "signal 11")
    };
    let running = farm
        .job(&asset, "one", |job| {
            job.state = JobState::Running;
            job.holder = Some(Holder { node: id("gpu-7"), process: Uuid::nil(), nonce: Uuid::nil() });
            job.claimed_ms = 9;
            job.failures = vec![failed("gpu-8", 3)];
        })
        .await;
    let ready = farm.job(&asset, "two", |job| job.failures = vec![failed("gpu-7", 1), failed("gpu-7", 2)]).await;
    let shown: NodeDetail = farm.get("/v1/nodes/gpu-7").await.json().await.unwrap();
    assert_eq!(shown.node.running, 1);
    assert_eq!(shown.jobs.iter().map(|job| job.job_id).collect::<Vec<_>>(), [running.id]);
    let failures: Vec<_> = shown.failures.iter().map(|failed| (failed.job_id, failed.failure.at_ms)).collect();
    assert_eq!(failures, [(ready.id, 2), (ready.id, 1)]);
}

#[tokio::test]
async fn machines_are_the_farms_own() {
    let farm = Farm::keyed().await;
    joins(&farm, "gpu-7").await;
    let paths = [
        (Method::GET, "/v1/nodes", AccessRole::Viewer),
        (Method::GET, "/v1/nodes/gpu-7", AccessRole::Viewer),
        (Method::POST, "/v1/nodes/gpu-7/drain", AccessRole::Operator),
        (Method::POST, "/v1/nodes/gpu-7/quarantine", AccessRole::Operator),
        (Method::POST, "/v1/nodes/gpu-7/resume", AccessRole::Operator),
    ];
    let customer = key(&farm, "a", AccessRole::Admin).await;
    for (method, path, _) in &paths {
        let response = farm.request(method.clone(), path).bearer_auth(&customer).send().await.unwrap();
        problem(response, 403, "forbidden").await;
        problem(farm.request(method.clone(), path).send().await.unwrap(), 401, "unauthorized").await;
    }
    assert_eq!(farm.queue.nodes().get("gpu-7").await.unwrap().unwrap().0.state, NodeState::Active);
    for role in [AccessRole::Viewer, AccessRole::Operator] {
        let own = key(&farm, "default", role).await;
        for (method, path, needed) in &paths {
            let response = farm.request(method.clone(), path).bearer_auth(&own).send().await.unwrap();
            assert_eq!(response.status() == 200, role >= *needed, "{role:?} {path}");
        }
    }
}

#[tokio::test]
async fn an_autoscaler_reads_what_waits_and_who_is_free() {
    let farm = Farm::local().await;
    let asset = farm.submit(r#"{"source":"https://media.example.net/a.mp4"}"#).await;
    let (record, _) = farm.asset(asset.id).await;
    let (codec, priority) = (VideoCodec::H264, Priority::Standard);
    let lane = Lane::Encode { engine: Demand::Nvenc, codec, size: Size::Small, priority };
    for unit in ["transcode/h264/0001", "transcode/h264/0002"] {
        farm.job(&record, unit, |job| job.lane = lane).await;
    }
    let gpu = |process, waiting: Option<&str>| Heartbeat {
        hardware: vec![codec],
        engines: 2,
        ..beat(process, "worker", waiting)
    };
    for beat in [gpu(1, Some("gpu 0: encoder 88 % of 90 %")), gpu(2, None), beat(3, "worker", None)] {
        farm.queue.beat(&beat).await.unwrap();
    }
    let of = async |work: &str| farm.get(&format!("/v1/scaling?work={work}")).await.json::<Scaling>().await.unwrap();
    farm.until("all are heard", async || of("worker").await.nodes == 3).await;
    let found = of("gpu").await;
    assert_eq!((found.waiting, found.running, found.nodes, found.free_nodes), (2, 0, 2, 1));
    assert!(found.oldest_wait_s > 1000, "the test's records were made ready in 1970");
    assert_eq!((of("worker").await.free_nodes, of("packager").await), (2, Scaling::default()));
    for bad in ["", "?work=disk", "?work=gpu&x=1"] {
        assert_eq!(farm.get(&format!("/v1/scaling{bad}")).await.status(), 400, "{bad}");
    }
}
