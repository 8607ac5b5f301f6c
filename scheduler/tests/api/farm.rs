//! A control plane of its own for each test: nats-server, embedded store, view and API on free
//! ports, gone with the value.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use framemill_queue::{NatsConfig, Outbox, Queue};
use framemill_scheduler::{
    api::{self, ApiState},
    ladders::Ladders,
    loops::{audit, notify, watch},
    run::SchedulerConfig,
    view::View,
};
use framemill_schemas::{
    api::AssetView,
    asset::AssetRecord,
    ids::AssetId,
    job::{JobKind, JobRecord, JobState},
    lane::{Lane, Priority},
    spec::{JobSpec, ProbeSpec},
    subject,
};
use framemill_storage::{S3Config, Secret, Store, embedded};
use reqwest::{Method, RequestBuilder, Response};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longest any condition is waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Farm {
    pub queue: Queue,
    pub store: Store,
    pub view: View,
    pub address: SocketAddr,
    pub media: TempDir,
    client: reqwest::Client,
    nats: Nats,
    _data: TempDir,
    stop: CancellationToken,
    _stopped: DropGuard,
}

/// A nats-server that dies with its test.
struct Nats(Child);

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Farm {
    /// One that needs no key: it listens on loopback.
    pub async fn local() -> Self {
        Self::listening("127.0.0.1:0").await
    }

    /// One that needs keys.
    pub async fn keyed() -> Self {
        Self::listening("0.0.0.0:0").await
    }

    async fn listening(address: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let media = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let (nats, url) = start_nats(&data).await;
        let queue = Queue::connect(&NatsConfig { url, ..NatsConfig::default() }).await.unwrap();
        let store = start_store(&data, &stop).await;
        let view = View::default();
        let config = SchedulerConfig { folders: vec![media.path().to_owned()], ..SchedulerConfig::default() };
        let ladders = Arc::new(Ladders::load(None).unwrap());
        let state = ApiState::new(queue.clone(), store.clone(), view.clone(), config, ladders);
        let trail = state.delivery.audit.clone();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = SocketAddr::new([127, 0, 0, 1].into(), listener.local_addr().unwrap().port());
        tokio::spawn(api::serve(state, listener, stop.clone()));
        {
            let (queue, view, stop) = (queue.clone(), view.clone(), stop.clone());
            let outbox = Outbox::new(queue.clone());
            tokio::spawn(async move {
                tokio::join!(
                    watch::run(&queue, &view, &stop),
                    notify::run(&outbox, &view, &stop),
                    audit::run(&trail, &stop)
                )
            });
        }
        // The client insists on a provider even where nothing is encrypted; a second test in the
        // same process finds the first one's.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let farm = Self {
            queue,
            store,
            view,
            address,
            media,
            client,
            nats,
            _data: data,
            stop: stop.clone(),
            _stopped: stop.drop_guard(),
        };
        farm.until("the view is current", async || farm.view.is_current()).await;
        farm
    }

    /// A file below the configured folder.
    pub fn film(&self, name: &str) -> PathBuf {
        let path = self.media.path().join(name);
        std::fs::write(&path, b"not a film, but a file").unwrap();
        path
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        request.body(body).send().await.unwrap()
    }

    /// Submits an address; returns the asset.
    pub async fn submit(&self, body: &str) -> AssetView {
        let response = self.post("/v1/assets", body.to_owned()).await;
        assert_eq!(response.status(), 202);
        response.json().await.unwrap()
    }

    pub async fn asset(&self, id: AssetId) -> (AssetRecord, u64) {
        self.queue.assets().get(&id.to_string()).await.unwrap().unwrap()
    }

    /// Changes an asset's record, as another part of the farm would.
    pub async fn change(&self, id: AssetId, change: impl Fn(&mut AssetRecord)) -> AssetRecord {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (mut asset, revision) = self.asset(id).await;
            change(&mut asset);
            // The loop that sends events changes the record as well.
            if self.queue.assets().update(&id.to_string(), &asset, revision).await.is_ok() {
                let changed = asset.clone();
                self.until("the view has the change", async || {
                    self.view.asset(id).is_some_and(|entry| {
                        entry.record.state == changed.state && entry.record.published == changed.published
                    })
                })
                .await;
                return asset;
            }
            assert!(Instant::now() < deadline, "the record keeps changing");
        }
    }

    /// Stores a job of an asset, as the driver would.
    pub async fn job(&self, asset: &AssetRecord, unit: &str, change: impl Fn(&mut JobRecord)) -> JobRecord {
        let spec = JobSpec::Probe(ProbeSpec { source: asset.source.clone() });
        let lane = Lane::Plain { kind: JobKind::Probe, priority: Priority::Standard };
        let (number, tenant) = (asset.generation.number, asset.tenant.clone());
        let ready = JobRecord::ready(asset.id, number, unit.to_owned(), tenant, lane, spec, 1);
        let mut job = JobRecord { trace: asset.trace.clone(), ..ready };
        change(&mut job);
        self.queue.jobs().create(&subject::job_record(asset.id, job.id), &job).await.unwrap();
        self.until("the view has the job", async || self.view.job(job.id).is_some()).await;
        job
    }

    pub async fn job_state(&self, job: &JobRecord) -> JobState {
        let key = subject::job_record(job.asset, job.id);
        self.queue.jobs().get(&key).await.unwrap().unwrap().0.state
    }

    /// Takes NATS away.
    pub fn kill_nats(&mut self) {
        self.nats.0.kill().unwrap();
        self.nats.0.wait().unwrap();
    }

    /// Shuts the API down.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for a condition.
    pub async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        until(what, holds).await;
    }
}

pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn start_nats(data: &TempDir) -> (Nats, String) {
    let folder = data.path().join("nats");
    std::fs::create_dir_all(&folder).unwrap();
    let config = data.path().join("nats.conf");
    let text = format!(
        "listen: \"127.0.0.1:-1\"\nmax_payload: 8MB\nports_file_dir: {folder:?}\njetstream {{ store_dir: {folder:?} }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new(nats_server())
        .arg("-c")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server is needed: run infra/setup, or set FRAMEMILL_NATS__SERVER");
    let ports = folder.join(format!("nats-server_{}.ports", child.id()));
    let nats = Nats(child);
    let url = async || {
        let text = std::fs::read_to_string(&ports).ok()?;
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        value["nats"][0].as_str().map(str::to_owned)
    };
    until("nats-server listens", async || url().await.is_some()).await;
    (nats, url().await.unwrap())
}

fn nats_server() -> PathBuf {
    if let Some(path) = std::env::var_os("FRAMEMILL_NATS__SERVER") {
        return path.into();
    }
    let tool = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.framemill/tools/bin/nats-server");
    if tool.exists() { tool } else { "nats-server".into() }
}

async fn start_store(data: &TempDir, stop: &CancellationToken) -> Store {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (root, stop) = (data.path().join("s3"), stop.clone());
    let (access, secret) = (Secret::from("access"), Secret::from("secret-secret"));
    {
        let (access, secret) = (access.clone(), secret.clone());
        tokio::spawn(async move { embedded::serve(&root, listener, &access, &secret, stop).await.unwrap() });
    }
    let config = S3Config {
        endpoint: Some(endpoint),
        access_key: Some(access),
        secret_key: Some(secret),
        create_bucket: true,
        ..S3Config::default()
    };
    Store::connect(&config).await.unwrap()
}
