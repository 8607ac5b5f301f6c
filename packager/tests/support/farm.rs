//! A farm of one packager: a real NATS server, the embedded store, a real ffmpeg, and media made
//! as a worker makes it.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use framemill_media::{Cut, FfmpegConfig, Piece, Toolchain, encode, probe::probe};
use framemill_packager::{LiveConfig, PackagerParts};
use framemill_queue::{Change, NatsConfig, Queue};
use framemill_schemas::{
    ids::{AssetId, JobId, Tenant},
    index::{RenditionPart, SegmentIndex},
    job::{JobRecord, JobState},
    key::job_key,
    lane::{Lane, Priority},
    object::{StoredObject, init_key, segment_key},
    probe::Probe,
    spec::{JobOutput, JobSpec},
    subject,
};
use framemill_storage::{Meta, S3Config, Secret, Store, embedded};
use framemill_telemetry::Shutdown;
use futures_util::StreamExt;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Everything runs until this is dropped.
pub struct Farm {
    pub queue: Queue,
    pub store: Store,
    pub tools: Toolchain,
    pub asset: AssetId,
    shutdown: Shutdown,
    _nats: Killed,
    _data: tempfile::TempDir,
}

/// A process that does not outlive its test.
pub struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.shutdown.stop.cancel();
    }
}

fn nats_server() -> PathBuf {
    if let Some(path) = std::env::var_os("FRAMEMILL_NATS__SERVER") {
        return path.into();
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.framemill/tools/bin/nats-server");
    if own.exists() { own } else { "nats-server".into() }
}

pub async fn start_nats(data: &Path) -> (Killed, String) {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let config = data.join("nats.conf");
    let folder = data.join("nats");
    std::fs::write(
        &config,
        format!("listen: 127.0.0.1:{port}\nmax_payload: 8MB\njetstream {{ store_dir: {:?} }}\n", folder),
    )
    .unwrap();
    let child = Command::new(nats_server())
        .arg("-c")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server runs; `./infra/setup` brings it");
    let listening = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tick.tick().await;
        }
    };
    timeout(WAIT_MAX, listening).await.unwrap();
    (Killed(child), format!("nats://127.0.0.1:{port}"))
}

async fn start_store(data: &Path, stop: CancellationToken) -> Store {
    connect_store(serve_store(data, stop).await).await
}

/// An embedded store on a free port.
pub async fn serve_store(data: &Path, stop: CancellationToken) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let root = data.join("store");
    let keys = keys();
    tokio::spawn(async move { embedded::serve(&root, listener, &keys.0, &keys.1, stop).await });
    address
}

fn keys() -> (Secret, Secret) {
    (Secret::new("access"), Secret::new("secret"))
}

/// A handle of the store at an address.
pub async fn connect_store(address: std::net::SocketAddr) -> Store {
    let (access_key, secret_key) = keys();
    let config = S3Config {
        endpoint: Some(format!("http://{address}")),
        access_key: Some(access_key),
        secret_key: Some(secret_key),
        create_bucket: true,
        ..S3Config::default()
    };
    Store::connect(&config).await.unwrap()
}

impl Farm {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// The same with another ffmpeg for the packager than for the media.
    pub async fn start_with(ffmpeg: Option<PathBuf>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let shutdown = Shutdown::new();
        let (nats, url) = start_nats(data.path()).await;
        let store = start_store(data.path(), shutdown.stop.clone()).await;
        let queue = Queue::connect(&NatsConfig { url, ..NatsConfig::default() }).await.unwrap();
        let config = FfmpegConfig {
            ffmpeg: std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").map(PathBuf::from),
            ffprobe: std::env::var_os("FRAMEMILL_FFMPEG__FFPROBE").map(PathBuf::from),
            ..FfmpegConfig::default()
        };
        let tools = Toolchain::find(&config).await.unwrap();
        let decoders = FfmpegConfig { ffmpeg: ffmpeg.or_else(|| config.ffmpeg.clone()), ..config };
        let parts = PackagerParts {
            queue: queue.clone(),
            store: store.clone(),
            tools: Toolchain::find(&decoders).await.unwrap(),
            node: "packager-1".parse().unwrap(),
            slots: 2,
            live: LiveConfig::default(),
            shutdown: shutdown.clone(),
        };
        tokio::spawn(framemill_packager::run(parts));
        let asset = "0198c0de-0000-7000-8000-000000000000".parse().unwrap();
        Self { queue, store, tools, asset, shutdown, _nats: nats, _data: data }
    }

    fn record(&self, unit: &str, round: u32, spec: JobSpec) -> JobRecord {
        let (id, key) = (JobId::derive(self.asset, 1, unit, round), job_key(&spec, round));
        let lane = Lane::Plain { kind: spec.kind(), priority: Priority::Standard };
        let first = JobRecord::ready(self.asset, 1, unit.to_owned(), Tenant::default_tenant(), lane, spec, 1);
        JobRecord { id, key, round, ..first }
    }

    /// Records a job as somebody else's finished work.
    pub async fn made(&self, unit: &str, spec: JobSpec, output: JobOutput) -> JobRecord {
        let record =
            JobRecord { state: JobState::Done, output: Some(output), ended_ms: 1, ..self.record(unit, 0, spec) };
        self.queue.jobs().create(&subject::job_record(self.asset, record.id), &record).await.unwrap();
        record
    }

    /// Lets the packager run a job, and returns its record at its end.
    pub async fn run(&self, unit: &str, round: u32, spec: JobSpec) -> JobRecord {
        let record = self.record(unit, round, spec);
        let key = subject::job_record(self.asset, record.id);
        let revision = self.queue.jobs().create(&key, &record).await.unwrap();
        self.queue.dispatch(&record, revision).await.unwrap();
        let mut changes = self.queue.jobs().watch(&key).await.unwrap();
        let ended = async {
            loop {
                match changes.next().await {
                    Some(Ok(Change::Put { value, .. })) if value.state.is_terminal() => return *value,
                    Some(Ok(_)) => {}
                    other => panic!("the watch ended: {other:?}"),
                }
            }
        };
        timeout(WAIT_MAX, ended).await.unwrap_or_else(|_| panic!("{unit} did not end"))
    }

    /// Stores an object as a worker does.
    pub async fn put(&self, key: &str, body: Bytes) -> StoredObject {
        self.store.put_new(key, body, &Meta::default()).await.unwrap().stored().clone()
    }

    /// Replaces an object behind everybody's back.
    pub async fn replace(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) -> StoredObject {
        let there = self.store.get(key).await.unwrap().unwrap();
        let mut body = there.body.to_vec();
        change(&mut body);
        let meta = Meta { digest: String::new(), ..there.meta };
        self.store.put_match(key, body.into(), &meta, &there.stored.etag).await.unwrap().unwrap()
    }

    /// Stores what an encoder cuts, as parts.
    pub async fn store_cuts(&self, folder: &str, names: &[String], cuts: Vec<Cut>) -> Vec<RenditionPart> {
        let mut parts = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let mut init = None;
            let mut segments = Vec::new();
            for cut in cuts.iter().filter(|cut| cut.rendition == n) {
                match &cut.piece {
                    Piece::Init(bytes) => init = Some(self.put(&init_key(folder, name), bytes.clone()).await),
                    Piece::Segment(cut) => segments.push(SegmentIndex {
                        number: cut.number,
                        start_ticks: cut.start_ticks,
                        duration_ticks: cut.duration_ticks,
                        samples: cut.samples,
                        keyframes: cut.keyframes.clone(),
                        object: self.put(&segment_key(folder, name, cut.number), cut.bytes.clone()).await,
                    }),
                }
            }
            parts.push(RenditionPart { rendition: name.clone(), init: init.unwrap(), segments });
        }
        parts
    }

    /// Runs a transcode or sound job's encoder.
    pub async fn encode(&self, spec: &JobSpec, url: &str) -> Vec<Cut> {
        let (sender, mut receiver) = mpsc::channel(4);
        let (progress, _) = watch::channel(0);
        let cancel = CancellationToken::new();
        let run = async {
            match spec {
                JobSpec::Transcode(spec) => {
                    let via = encode::Via::Processor;
                    let begun = encode::Begun { spec, start_frame: spec.start_frame, url, via };
                    encode::transcode(&self.tools, begun, sender, &progress, &cancel).await
                }
                JobSpec::Audio(spec) => encode::audio(&self.tools, spec, url, sender, &progress, &cancel).await,
                other => panic!("{other:?} encodes nothing"),
            }
        };
        let collect = async {
            let mut cuts = Vec::new();
            while let Some(cut) = receiver.recv().await {
                cuts.push(cut);
            }
            cuts
        };
        let (done, cuts) = tokio::join!(run, collect);
        done.unwrap();
        cuts
    }

    /// Probes a source.
    pub async fn probe(&self, url: &str, bytes: u64) -> Probe {
        probe(&self.tools, url, "identity", bytes, &CancellationToken::new()).await.unwrap()
    }
}

/// A source on the loopback interface: pictures and a tone, four and a half seconds.
pub async fn source(folder: &Path) -> (String, u64) {
    let path = folder.join("source.mp4");
    let program = std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").unwrap_or_else(|| "ffmpeg".into());
    let made = Command::new(program)
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4.4"])
        .args(["-f", "lavfi", "-i", "sine=f=440:r=48000:d=4.4", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-g", "25", "-bf", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let body = std::fs::read(path).unwrap();
    let bytes = body.len() as u64;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/source", listener.local_addr().unwrap());
    let body = Bytes::from(body);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let body = body.clone();
            // A reader that seeks closes the connection: an error here is no fault.
            tokio::spawn(async move { answer(stream, &body).await.ok() });
        }
    });
    (url, bytes)
}

/// Answers one request with everything from the byte asked for.
async fn answer(stream: TcpStream, body: &[u8]) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut start, mut line) = (0, String::new());
    while stream.read_line(&mut line).await? > 2 {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            start = range.split('-').next().and_then(|text| text.parse().ok()).unwrap_or(0).min(body.len());
        }
        line.clear();
    }
    let (last, all, rest) = (body.len() - 1, body.len(), body.len() - start);
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nAccept-Ranges: bytes\r\n\
         Content-Range: bytes {start}-{last}/{all}\r\nContent-Length: {rest}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body[start..]).await?;
    stream.shutdown().await
}
