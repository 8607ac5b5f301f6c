//! How fast an edge serves out of its cache, beside nginx with `secure_link` on the same files, in turn in one run, in the
//! clear and over TLS, each on one thread: `cargo bench -p framemill-edge --bench throughput`. Needs nginx, wrk and
//! openssl, and h2load (Debian: nghttp2-client) for HTTP/2. Prints figures and judges nothing. A word behind `--`
//! (`segment`, `TLS`, `forged`) chooses what is run.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[allow(dead_code)]
#[path = "../tests/edge/support.rs"]
mod support;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use base64::Engine;
use framemill_edge::{EdgeConfig, TlsConfig};
use framemill_schemas::delivery::Claims;
use support::{Farm, PLAYLIST, SEGMENT, claims, eventually, make_certificate, now_ms};
use tokio::net::{TcpListener, TcpStream};

/// Runs of each, in turn; the figures are those of the one in the middle.
const ROUNDS: usize = 3;
/// Seconds of each run.
const SECONDS: u32 = 5;
/// Connections of each run.
const CONNECTIONS: u32 = 64;

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        self.0.wait().ok();
    }
}

// One thread, as nginx has one worker: with more, they would take each other's and wrk's processors.
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let farm = Farm::start().await;
    let playlist = "#EXTINF:4.000,\nt1-00c0ffee/720p/448000000.m4s\n".repeat(30);
    farm.put(PLAYLIST, &playlist[..1200]).await;
    farm.put(SEGMENT, &"0123456789abcdef".repeat(500_000 / 16)).await;
    let edge = farm.edge("edge-1").await;
    let tls = make_certificate(farm.path());
    let safe = EdgeConfig { tls: Some(tls.clone()), ..EdgeConfig::default() };
    let safe_edge = farm.edge_with("edge-2", safe, farm.nats.port).await;
    let nginx = nginx(farm.path(), &playlist[..1200], &tls).await;
    println!("{:36} {:>12} {:>12} {:>10}", "", "requests/s", "MB/s", "p99 ms");
    let chosen = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let is_chosen = |what: &str| what.contains(&chosen);
    for (what, key) in [("playlist of 1.2 KB", PLAYLIST), ("segment of 500 KB", SEGMENT)] {
        let ours = format!("/t/{}/{key}", token(&farm, 0));
        let theirs = format!("/{key}{}", secure(key));
        let (plain, safe) = (format!("http://127.0.0.1:{}", nginx.plain), format!("https://127.0.0.1:{}", nginx.safe));
        if is_chosen(what) {
            compare(what, &format!("{plain}{theirs}"), &edge.url(&ours)).await;
        }
        let (over_tls, over_http2) = (format!("{what}, TLS"), format!("{what}, HTTP/2"));
        if is_chosen(&over_tls) {
            compare(&over_tls, &format!("{safe}{theirs}"), &safe_edge.url(&ours)).await;
        }
        if is_chosen(&over_http2) {
            http2(&over_http2, &format!("{safe}{theirs}"), &safe_edge.url(&ours)).await;
        }
    }
    if is_chosen("forged tokens") {
        flood(&farm).await;
    }
    drop(nginx);
}

/// nginx and the edge in turn.
async fn compare(what: &str, theirs: &str, ours: &str) {
    let (mut them, mut us, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (nginx, edge) = (wrk(theirs, Answers::Good).await, wrk(ours, Answers::Good).await);
        ratios.push([edge.requests_s / nginx.requests_s, edge.mb_s / nginx.mb_s, edge.p99_ms / nginx.p99_ms]);
        them.push(nginx);
        us.push(edge);
    }
    say(&format!("nginx, {what}"), them);
    say(&format!("edge, {what}"), us);
    let [requests, bytes, p99] = std::array::from_fn(|at| middle(ratios.iter().map(|ratio| ratio[at]).collect()));
    println!("  ratio: {requests:.2} of the requests, {bytes:.2} of the bytes, {p99:.2} of the p99");
}

/// The same over HTTP/2, eight streams on each of eight connections.
async fn http2(what: &str, theirs: &str, ours: &str) {
    let (mut them, mut us) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (url, found) in [(theirs, &mut them), (ours, &mut us)] {
            let mut command = tokio::process::Command::new("h2load");
            command.args(["-t1", "-c8", "-m8", &format!("-D{SECONDS}"), url]);
            let Ok(output) = command.output().await else {
                println!("not run: HTTP/2 (h2load is not on PATH)");
                return;
            };
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains(" 0 failed, 0 errored"), "{text}");
            let per_s = text.split(" req/s").next().and_then(|before| before.rsplit(' ').next()).unwrap();
            found.push(per_s.parse::<f64>().unwrap());
        }
    }
    let (them, us) = (middle(them), middle(us));
    println!("{what}: nginx {them:.0} a second, edge {us:.0}: {:.2}", us / them);
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What viewers with valid tokens lose to a flood of forged ones: half of the load with, half without them. From one
/// address, and, as a proxy that is believed says, from a new address each time.
async fn flood(farm: &Farm) {
    let config = EdgeConfig { trusted_proxies: vec!["127.0.0.1".to_owned()], ..EdgeConfig::default() };
    let edge = farm.edge_with("edge-3", config, farm.nats.port).await;
    let valid = edge.url(&format!("/t/{}/{PLAYLIST}", token(farm, 1)));
    let forged = edge.url(&format!("/t/{}/{PLAYLIST}", farm.forged(&claims(&["/live/acme/news/"]))));
    for (whose, from) in [("one address", Answers::Refused), ("many addresses", Answers::RefusedEverywhere)] {
        let alone = wrk(&valid, Answers::Good).await;
        let (flooding, beside) = tokio::join!(wrk(&forged, from), wrk(&valid, Answers::Good));
        println!(
            "forged tokens of {whose}: {:.0} a second beside {:.0} valid requests a second ({:.0} without)",
            flooding.requests_s, beside.requests_s, alone.requests_s
        );
    }
    let before = resident_kb();
    let more = wrk(&forged, Answers::RefusedEverywhere).await.requests_s * f64::from(SECONDS);
    println!("memory of this process: {before} KB, and {} KB after {more:.0} more of them", resident_kb());
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

fn token(farm: &Farm, session: u32) -> String {
    farm.token(&Claims { session: format!("s-{session}"), sessions_max: 1, ..claims(&["/live/acme/news/"]) })
}

struct Nginx {
    _process: Ended,
    plain: u16,
    safe: u16,
}

async fn nginx(folder: &Path, playlist: &str, tls: &TlsConfig) -> Nginx {
    let root = folder.join("www");
    for (key, body) in [(PLAYLIST, playlist.to_owned()), (SEGMENT, "0123456789abcdef".repeat(500_000 / 16))] {
        let file = root.join(key);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, body).unwrap();
    }
    let [plain, safe] = [free_port().await, free_port().await];
    let place = folder.display();
    let config = format!(
        "daemon off; user root; pid {place}/nginx.pid; error_log {place}/nginx.log; worker_processes 1;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; open_file_cache max=100;\n\
         client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
         uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi; root {root};\n\
         ssl_certificate {certificate}; ssl_certificate_key {key};\n\
         server {{ listen 127.0.0.1:{plain}; listen 127.0.0.1:{safe} ssl http2;\n\
         location / {{ secure_link $arg_md5,$arg_expires;\n\
         secure_link_md5 \"$secure_link_expires$uri$remote_addr secret\"; if ($secure_link = \"\") {{ return 403; }}\n\
         if ($secure_link = \"0\") {{ return 410; }} }} }} }}\n",
        root = root.display(),
        certificate = tls.certificate.display(),
        key = tls.key.display(),
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Ended(command.spawn().expect("nginx runs; apt-get install nginx"));
    eventually("nginx listens", async || TcpStream::connect(("127.0.0.1", safe)).await.ok()).await;
    Nginx { _process: process, plain, safe }
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn secure(key: &str) -> String {
    let expires = now_ms() / 1000 + 3600;
    let signed = format!("{expires}/{key}127.0.0.1 secret");
    let output =
        Command::new("sh").args(["-c", "printf %s \"$1\" | md5sum | cut -d' ' -f1", "sh", &signed]).output().unwrap();
    let hex = String::from_utf8(output.stdout).unwrap();
    let bytes: Vec<u8> = (0..32).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    format!("?md5={}&expires={expires}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

struct Figures {
    requests_s: f64,
    mb_s: f64,
    p99_ms: f64,
}

/// What a run expects.
#[derive(Clone, Copy, PartialEq)]
enum Answers {
    Good,
    Refused,
    /// As for viewers of many addresses.
    RefusedEverywhere,
}

/// What wrk sends with each request.
const FROM_ANYWHERE: &str = r#"request = function()
  local address = string.format("10.%d.%d.%d", math.random(255), math.random(255), math.random(255))
  return wrk.format("GET", nil, { ["X-Forwarded-For"] = address })
end
"#;

async fn wrk(url: &str, expected: Answers) -> Figures {
    let mut command = tokio::process::Command::new("wrk");
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), "--latency", url]);
    let script = tempfile::NamedTempFile::with_suffix(".lua").unwrap();
    if expected == Answers::RefusedEverywhere {
        std::fs::write(script.path(), FROM_ANYWHERE).unwrap();
        command.arg("-s").arg(script.path());
    }
    let output = command.output().await.expect("wrk runs; apt-get install wrk");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(expected != Answers::Good || !text.contains("Non-2xx"), "{text}");
    let after = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name).map(str::trim)).unwrap();
    let scaled = |text: &str, units: &[(&str, f64)]| {
        let (unit, factor) = units.iter().find(|(unit, _)| text.ends_with(unit)).unwrap();
        text.strip_suffix(unit).unwrap().parse::<f64>().unwrap() * factor
    };
    Figures {
        requests_s: after("Requests/sec:").parse().unwrap(),
        mb_s: scaled(after("Transfer/sec:"), &[("GB", 1024.0), ("MB", 1.0), ("KB", 1.0 / 1024.0)]),
        p99_ms: scaled(after("99%"), &[("us", 0.001), ("ms", 1.0), ("s", 1000.0)]),
    }
}

/// Says the run in the middle of several.
fn say(what: &str, mut runs: Vec<Figures>) {
    runs.sort_by(|one, other| one.requests_s.total_cmp(&other.requests_s));
    let Figures { requests_s, mb_s, p99_ms } = &runs[runs.len() / 2];
    println!("{what:36} {requests_s:>12.0} {mb_s:>12.0} {p99_ms:>10.2}");
}
