//! A farm of one test: its servers can be stopped, copied and put back, and any number of
//! schedulers can look at it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use framemill_queue::{NatsConfig, Outbox, Queue};
use framemill_scheduler::{
    act::Actor,
    api::{self, ApiState},
    ladders::Ladders,
    loops::{collect::Collector, drive, keep, notify, watch},
    retention::Retention,
    run::SchedulerConfig,
    view::View,
};
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    ids::AssetId,
    job::JobState,
    object::asset_folder,
    subject,
};
use framemill_storage::{Listed, S3Config, Secret, Store, embedded};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::hands::Hands;

/// Longest any condition is waited for: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    data: TempDir,
    nats: Nats,
    nats_port: u16,
    s3: SocketAddr,
    stop_s3: Option<DropGuard>,
}

/// A nats-server that dies with its test.
struct Nats(Child);

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One scheduler: its view, its API, and what its loops do when they are told to.
pub struct Scheduler {
    pub queue: Queue,
    pub store: Store,
    pub view: View,
    pub actor: Actor,
    pub hands: Hands,
    address: SocketAddr,
    client: reqwest::Client,
    _stop: DropGuard,
}

impl World {
    pub async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let nats_port = free_port();
        let nats = start_nats(data.path(), nats_port).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let s3 = listener.local_addr().unwrap();
        let stop_s3 = Some(serve_s3(data.path(), listener));
        Self { data, nats, nats_port, s3, stop_s3 }
    }

    /// A scheduler that has seen every record.
    pub async fn scheduler(&self) -> Scheduler {
        self.scheduler_with(Retention::default()).await
    }

    pub async fn scheduler_with(&self, retention: Retention) -> Scheduler {
        let url = format!("nats://127.0.0.1:{}", self.nats_port);
        let queue = Queue::connect(&NatsConfig { url, ..NatsConfig::default() }).await.unwrap();
        let config = S3Config {
            endpoint: Some(format!("http://{}", self.s3)),
            access_key: Some(Secret::from("access")),
            secret_key: Some(Secret::from("secret-secret")),
            create_bucket: true,
            ..S3Config::default()
        };
        let store = Store::connect(&config).await.unwrap();
        let view = View::default();
        let ladders = Arc::new(Ladders::load(None).unwrap());
        let config = SchedulerConfig { retention, ..SchedulerConfig::default() };
        let state = ApiState::new(queue.clone(), store.clone(), view.clone(), config, ladders);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(api::serve(state, listener, stop.clone()));
        {
            let (queue, view, stop) = (queue.clone(), view.clone(), stop.clone());
            let outbox = Outbox::new(queue.clone());
            tokio::spawn(
                async move { tokio::join!(watch::run(&queue, &view, &stop), notify::run(&outbox, &view, &stop)) },
            );
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let actor = Actor::new(queue.clone(), store.clone(), view.clone());
        until("the view is current", async || view.is_current()).await;
        let hands = Hands::new(queue.clone(), store.clone());
        Scheduler { queue, store, view, actor, hands, address, client, _stop: stop.drop_guard() }
    }

    /// Kills NATS and hands its data over; it starts again afterwards.
    pub async fn with_nats_stopped(&mut self, act: impl FnOnce(&Path)) {
        self.nats.0.kill().unwrap();
        self.nats.0.wait().unwrap();
        act(&self.data.path().join("nats"));
        self.nats = start_nats(self.data.path(), self.nats_port).await;
    }

    /// Takes NATS away.
    pub fn kill_nats(&mut self) {
        self.nats.0.kill().unwrap();
        self.nats.0.wait().unwrap();
    }

    /// Stops the store and hands its data over; it starts again at the same address.
    pub async fn with_store_stopped(&mut self, act: impl FnOnce(&Path)) {
        drop(self.stop_s3.take());
        let deadline = Instant::now() + PATIENCE;
        let listener = loop {
            match TcpListener::bind(self.s3).await {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        act(&self.data.path().join("s3"));
        self.stop_s3 = Some(serve_s3_when_free(self.data.path(), listener).await);
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }
}

impl Scheduler {
    /// Submits a title; workers with two slots are heard of.
    pub async fn submit(&self) -> AssetId {
        let body = r#"{"source":"https://example.net/film.mp4"}"#.to_owned();
        let request = self.client.post(self.url("/v1/assets")).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        let asset: Value = answer.json().await.unwrap();
        asset["id"].as_str().unwrap().parse().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(self.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    pub async fn post(&self, path: &str) -> (u16, Value) {
        let answer = self.client.post(self.url(path)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub async fn asset(&self, id: AssetId) -> AssetRecord {
        self.queue.assets().get(&id.to_string()).await.unwrap().unwrap().0
    }

    /// Changes a record as it is.
    pub async fn change(&self, id: AssetId, change: impl Fn(&mut AssetRecord)) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (mut asset, revision) = self.queue.assets().get(&id.to_string()).await.unwrap().unwrap();
            change(&mut asset);
            if self.queue.assets().update(&id.to_string(), &asset, revision).await.is_ok() {
                return;
            }
            assert!(Instant::now() < deadline, "the record keeps changing");
        }
    }

    /// Makes it long ago that the jobs of an asset ended.
    pub async fn age_jobs(&self, id: AssetId) {
        let deadline = Instant::now() + PATIENCE;
        for (key, _, _) in self.queue.jobs().list(&subject::job_records_of(id)).await.unwrap() {
            loop {
                let (mut job, revision) = self.queue.jobs().get(&key).await.unwrap().unwrap();
                if !job.state.is_terminal() {
                    break;
                }
                job.ended_ms = 1;
                job.unsent.clear();
                if self.queue.jobs().update(&key, &job, revision).await.is_ok() {
                    break;
                }
                assert!(Instant::now() < deadline, "the record keeps changing");
            }
        }
        let old = async || self.view.jobs_of(id).iter().all(|job| !job.state.is_terminal() || job.ended_ms == 1);
        until("the view has old jobs", old).await;
    }

    /// Every object of an asset.
    pub async fn objects(&self, id: AssetId) -> Vec<Listed> {
        let asset = self.asset(id).await;
        self.store.list(&format!("{}/", asset_folder(&asset.tenant, id))).await.unwrap()
    }

    /// Waits until the view is as new as the records are now.
    pub async fn see(&self, id: AssetId) {
        let (_, revision) = self.queue.assets().get(&id.to_string()).await.unwrap().unwrap();
        let jobs = self.queue.jobs().list(&subject::job_records_of(id)).await.unwrap();
        let seen = async || {
            self.view.asset(id).is_some_and(|entry| entry.revision >= revision)
                && jobs.iter().all(|(_, job, revision)| {
                    self.view.job(job.id).is_some_and(|summary| summary.revision >= *revision)
                })
        };
        until("the view has seen the records", seen).await;
    }

    /// One look at the asset.
    pub async fn tick(&self, id: AssetId) {
        self.see(id).await;
        drive::tick(&self.actor, id).await;
        self.see(id).await;
    }

    /// Drives an asset and works until `done`.
    pub async fn work_until(&self, id: AssetId, done: impl Fn(&Scheduler, &AssetRecord) -> bool) -> AssetRecord {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asset = self.asset(id).await;
            if asset.slots == 0 && asset.state == AssetState::Accepted {
                // No worker is heard here: what one would tell.
                self.change(id, |asset| asset.slots = 2).await;
            }
            self.tick(id).await;
            let asset = self.asset(id).await;
            if done(self, &asset) {
                return asset;
            }
            self.hands.work(id).await;
            assert!(Instant::now() < deadline, "not done: {:?} {:?}", asset.state, asset.failure);
        }
    }

    /// Makes a title to its end.
    pub async fn make(&self, id: AssetId) -> AssetRecord {
        let made = self.work_until(id, |_, asset| asset.making().is_none()).await;
        // The end is a change like any other: entry manifests follow it.
        self.tick(id).await;
        made
    }

    /// Makes and folds a title.
    pub async fn published(&self) -> AssetId {
        let id = self.submit().await;
        let asset = self.make(id).await;
        assert_eq!(asset.state, AssetState::Published, "{:?}", asset.failure);
        self.fold(id).await;
        id
    }

    pub async fn fold(&self, id: AssetId) -> AssetRecord {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.see(id).await;
            keep::fold_all(&self.actor, &mut Default::default()).await;
            let asset = self.asset(id).await;
            if asset.published.as_ref().is_some_and(|published| published.index.is_some()) {
                self.see(id).await;
                return asset;
            }
            assert!(Instant::now() < deadline, "not folded");
        }
    }

    pub fn collector(&self, retention: Retention) -> Collector {
        let (queue, store, view) = (self.queue.clone(), self.store.clone(), self.view.clone());
        Collector { queue, store, view, retention }
    }

    /// What a check by reading finds: codes and keys.
    pub async fn findings(&self, id: AssetId, deep: bool) -> Vec<(String, String)> {
        let (status, checked) = self.post(&format!("/v1/assets/{id}/check?deep={deep}")).await;
        assert_eq!(status, 200, "{checked}");
        let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
        let findings = checked["findings"].as_array().unwrap().iter();
        findings.map(|finding| (text(finding, "code"), text(finding, "at"))).collect()
    }

    /// Kinds of all events of an asset that were sent or wait in its record.
    pub async fn events(&self, id: AssetId) -> Vec<String> {
        use futures_util::StreamExt;
        let unsent = async || self.asset(id).await.unsent.is_empty();
        until("every event is sent", unsent).await;
        let stream = self.queue.events("events.>".to_owned(), Some(0)).await.unwrap();
        let mut stream = std::pin::pin!(stream);
        let mut seen = std::collections::BTreeMap::new();
        while let Ok(Some(Ok((_, event)))) = tokio::time::timeout(Duration::from_millis(700), stream.next()).await {
            if event.data.asset_id == Some(id) && event.kind.starts_with("asset.") {
                seen.insert((event.time_ms, event.id), event.kind);
            }
        }
        seen.into_values().collect()
    }

    /// Units encoded in a generation.
    pub fn encoded(&self, id: AssetId, generation: u32) -> Vec<String> {
        use framemill_schemas::job::JobKind;
        let encodes = |kind| matches!(kind, JobKind::Transcode | JobKind::Audio);
        let jobs = self.view.jobs_of(id);
        let jobs = jobs.iter().filter(|job| job.generation == generation && encodes(job.kind));
        jobs.filter(|job| job.state == JobState::Done).map(|job| job.unit.clone()).collect()
    }
}

pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Copies a folder as it is.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Puts a copy in a folder's place.
pub fn restore(copied: &Path, folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
    copy(copied, folder);
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn start_nats(data: &Path, port: u16) -> Nats {
    let config = data.join("nats.conf");
    let folder = data.join("nats");
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\nmax_payload: 8MB\njetstream {{ store_dir: {folder:?}, sync_interval: always }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new(nats_server())
        .arg("-c")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server is needed: run infra/setup, or set FRAMEMILL_NATS__SERVER");
    let nats = Nats(child);
    until("nats-server listens", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
    nats
}

fn nats_server() -> PathBuf {
    if let Some(path) = std::env::var_os("FRAMEMILL_NATS__SERVER") {
        return path.into();
    }
    let tool = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.framemill/tools/bin/nats-server");
    if tool.exists() { tool } else { "nats-server".into() }
}

fn serve_s3(data: &Path, listener: TcpListener) -> DropGuard {
    let stop = CancellationToken::new();
    let (root, guard) = (data.join("s3"), stop.clone());
    let (access, secret) = (Secret::from("access"), Secret::from("secret-secret"));
    tokio::spawn(async move { embedded::serve(&root, listener, &access, &secret, stop).await.unwrap() });
    guard.drop_guard()
}

/// The store that was stopped may hold its folder a moment longer.
async fn serve_s3_when_free(data: &Path, listener: TcpListener) -> DropGuard {
    let stop = CancellationToken::new();
    let (root, guard) = (data.join("s3"), stop.clone());
    tokio::spawn(async move {
        let (access, secret) = (Secret::from("access"), Secret::from("secret-secret"));
        let address = listener.local_addr().unwrap();
        let mut listener = Some(listener);
        for _ in 0..500 {
            let listener = match listener.take() {
                Some(listener) => listener,
                None => TcpListener::bind(address).await.unwrap(),
            };
            if embedded::serve(&root, listener, &access, &secret, stop.clone()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    guard.drop_guard()
}
