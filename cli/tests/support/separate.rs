//! A farm of separate processes on an outside NATS and on an embedded store that the test itself
//! serves: quick to start, and each role can be ended and started by itself.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use framemill_storage::{Secret, embedded};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Place, Running, get, outside, wait_or};

/// What every role of the farm stands on.
pub struct Separate {
    environment: Vec<(String, String)>,
    store: Option<(CancellationToken, std::thread::JoinHandle<()>)>,
    nats: Option<outside::Nats>,
}

/// A role that runs.
pub struct Role {
    pub process: Running,
    /// Where its API listens; empty for others than schedulers.
    pub api: String,
    pub log: PathBuf,
}

impl Separate {
    pub fn start(place: &Place) -> Self {
        let nats = outside::Nats::start(place.path());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let folder = place.path().canonicalize().unwrap().display().to_string();
        let environment = [
            ("NATS__URL", nats.url.clone()),
            ("S3__ENDPOINT", endpoint),
            ("S3__ACCESS_KEY", "access".to_owned()),
            ("S3__SECRET_KEY", "secret-secret".to_owned()),
            ("S3__CREATE_BUCKET", "true".to_owned()),
            ("SCHEDULER__FOLDERS", folder.clone()),
            ("SOURCES__FOLDERS", folder),
        ];
        let environment = environment.map(|(key, value)| (format!("FRAMEMILL_{key}"), value)).into();
        Self { environment, store: Some(serve(&place.path().join("store"), listener)), nats: Some(nats) }
    }

    /// Sets something for every role that is started from now on.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.environment.push((format!("FRAMEMILL_{key}"), value.into()));
    }

    /// Takes NATS away for good.
    pub fn kill_nats(&mut self) {
        self.nats = None;
    }

    /// Where every role finds the farm.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Starts a role on a node and waits until it is ready. A scheduler listens on `api`, or on a
    /// free port.
    pub fn role(&self, place: &Place, name: &str, node: &str, api: Option<&str>) -> Role {
        let health = format!("127.0.0.1:{}", outside::free_port());
        let api = match (name, api) {
            ("scheduler", Some(api)) => api.to_owned(),
            ("scheduler", None) => format!("127.0.0.1:{}", outside::free_port()),
            _ => String::new(),
        };
        let log = place.path().join(format!("{name}-{node}.log"));
        let mut command = place.command(&[name]);
        command
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .env(format!("FRAMEMILL_{}__HEALTH", name.to_uppercase()), &health)
            .env("FRAMEMILL_WORKER__NODE", node)
            .stdout(Stdio::null())
            .stderr(std::fs::File::options().create(true).append(true).open(&log).unwrap());
        if !api.is_empty() {
            command.env("FRAMEMILL_SCHEDULER__LISTEN", &api);
        }
        let role = Role { process: Running(command.spawn().unwrap()), api, log };
        let ready = || get(&health, "/readyz").filter(|(status, _)| *status == 200);
        wait_or(&format!("{name} on {node} ready"), 60, || role.said(), ready);
        role
    }
}

impl Drop for Separate {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.store.take() {
            stop.cancel();
            let _ = thread.join();
        }
    }
}

impl Role {
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn serve(root: &Path, listener: TcpListener) -> (CancellationToken, std::thread::JoinHandle<()>) {
    let (root, stop) = (root.to_owned(), CancellationToken::new());
    listener.set_nonblocking(true).unwrap();
    let thread = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let (access, secret) = (Secret::from("access"), Secret::from("secret-secret"));
                embedded::serve(&root, listener, &access, &secret, stop).await.unwrap();
            });
        }
    });
    (stop, thread)
}

/// Every job of a title, as the API shows it.
pub fn jobs(api: &str, id: &str) -> Vec<Value> {
    let (status, body) = get(api, &format!("/v1/jobs?asset={id}&limit=200")).unwrap();
    assert_eq!(status, 200, "{body}");
    let page: Value = serde_json::from_str(&body).unwrap();
    page["items"].as_array().unwrap().clone()
}

/// A ladder of one small rung, as a submission writes it.
pub fn tiny_ladder() -> Value {
    serde_json::json!({
        "name": "tiny", "gop_s": 1, "segment_s": 2,
        "video": [{ "name": "72p", "codec": "h264", "height": 72, "bitrate_kbps": 80, "maxrate_kbps": 100,
                    "preset": "ultrafast" }],
        "audio": [{ "name": "stereo", "codec": "aac", "channels": 2, "bitrate_kbps": 64 }],
    })
}

/// What an API answers to a submission: status, `Retry-After`, body. `None` where nobody answers.
pub fn post_asset(api: &str, body: &Value, key: &str) -> Option<(u16, Option<u64>, Value)> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(api).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(
        stream,
        "POST /v1/assets HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let again = head.lines().find_map(|line| line.strip_prefix("retry-after: ")).and_then(|text| text.parse().ok());
    Some((status, again, serde_json::from_str(body).ok()?))
}
