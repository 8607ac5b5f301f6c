//! A farm of separate processes on an outside NATS and on an embedded store that the test itself
//! serves: quick to start, and each role can be ended and started by itself.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use super::{Place, Running, get, local_s3::LocalS3, outside, role};

/// What every role of the farm stands on.
pub struct Separate {
    environment: Vec<role::Variable>,
    _store: LocalS3,
    nats: Option<outside::Nats>,
}

/// A role that runs.
pub struct Role {
    pub process: Running,
    /// Where its API listens; empty for others than schedulers.
    pub api: String,
    pub log: std::path::PathBuf,
    /// Where it tells its health and metrics.
    health: String,
}

impl Separate {
    pub fn start(place: &Place) -> Self {
        let nats = outside::Nats::start(place.path());
        let store = LocalS3::start(&place.path().join("store"));
        let folder = place.path().canonicalize().unwrap().display().to_string();
        let mut environment = store.environment();
        environment.extend([
            ("FRAMEMILL_NATS__URL".to_owned(), nats.url.clone()),
            ("FRAMEMILL_SCHEDULER__FOLDERS".to_owned(), folder.clone()),
            ("FRAMEMILL_SOURCES__FOLDERS".to_owned(), folder),
        ]);
        Self { environment, _store: store, nats: Some(nats) }
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
        let api = match (name, api) {
            ("scheduler", Some(api)) => api.to_owned(),
            ("scheduler", None) => format!("127.0.0.1:{}", outside::free_port()),
            _ => String::new(),
        };
        let listen = (!api.is_empty()).then(|| ("FRAMEMILL_SCHEDULER__LISTEN".to_owned(), api.clone()));
        let health = format!("127.0.0.1:{}", outside::free_port());
        let process = role::start_at(place, name, node, &health, self.environment.iter().chain(&listen));
        Role { process, api, log: role::log_path(place, name, node), health }
    }
}

impl Role {
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A metric of it, all its series added up; 0 while it has none.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, body) = get(&self.health, "/metrics").unwrap();
        let series = body
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' ')));
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }
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
