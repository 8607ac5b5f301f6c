//! How fast an edge serves out of its cache, beside nginx with `secure_link` on the same files, one after the other in
//! one run: `cargo bench -p framemill-edge --bench throughput`. Needs nginx and wrk. Prints figures and judges nothing.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[allow(dead_code)]
#[path = "../tests/edge/support.rs"]
mod support;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use base64::Engine;
use framemill_schemas::delivery::Claims;
use support::{Edge, Farm, PLAYLIST, SEGMENT, claims, eventually, now_ms};
use tokio::net::{TcpListener, TcpStream};

/// Seconds of each run.
const SECONDS: u32 = 8;
/// Connections of each run.
const CONNECTIONS: u32 = 64;

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        self.0.wait().ok();
    }
}

#[tokio::main]
async fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let farm = Farm::start().await;
    let playlist = "#EXTINF:4.000,\nt1-00c0ffee/720p/448000000.m4s\n".repeat(30);
    farm.put(PLAYLIST, &playlist[..1200]).await;
    farm.put(SEGMENT, &"0123456789abcdef".repeat(500_000 / 16)).await;
    let edge = farm.edge("edge-1").await;
    let (nginx, port) = nginx(farm.path(), &playlist[..1200]).await;
    println!("{:28} {:>12} {:>12} {:>10}", "", "requests/s", "MB/s", "p99 ms");
    for (what, key) in [("playlist of 1.2 KB", PLAYLIST), ("segment of 500 KB", SEGMENT)] {
        let theirs = wrk(&format!("http://127.0.0.1:{port}/{key}{}", secure(key)), Answers::Good).await;
        say(&format!("nginx, {what}"), &theirs);
        let ours = wrk(&edge.url(&format!("/t/{}/{key}", token(&farm, 0))), Answers::Good).await;
        say(&format!("edge, {what}"), &ours);
        println!(
            "  ratio: {:.2} of the requests, {:.2} of the bytes, {:.2} of the p99",
            ours.requests_s / theirs.requests_s,
            ours.mb_s / theirs.mb_s,
            ours.p99_ms / theirs.p99_ms
        );
    }
    flood(&farm, &edge).await;
    drop(nginx);
}

/// What viewers with valid tokens lose to a flood of forged ones: half of the load with, half without them.
async fn flood(farm: &Farm, edge: &Edge) {
    let path = format!("/t/{}/{PLAYLIST}", token(farm, 1));
    let alone = wrk(&edge.url(&path), Answers::Good).await;
    let forged = edge.url(&format!("/t/{}/{PLAYLIST}", farm.forged(&claims(&["/live/acme/news/"]))));
    let flooding = tokio::spawn(async move { wrk(&forged, Answers::Refused).await });
    let beside = wrk(&edge.url(&path), Answers::Good).await;
    let flooding = flooding.await.unwrap();
    println!(
        "forged tokens: {:.0} a second beside {:.0} valid requests a second ({:.0} without)",
        flooding.requests_s, beside.requests_s, alone.requests_s
    );
}

fn token(farm: &Farm, session: u32) -> String {
    farm.token(&Claims { session: format!("s-{session}"), sessions_max: 1, ..claims(&["/live/acme/news/"]) })
}

async fn nginx(folder: &Path, playlist: &str) -> (Ended, u16) {
    let root = folder.join("www");
    for (key, body) in [(PLAYLIST, playlist.to_owned()), (SEGMENT, "0123456789abcdef".repeat(500_000 / 16))] {
        let file = root.join(key);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, body).unwrap();
    }
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let place = folder.display();
    let config = format!(
        "daemon off; user root; pid {place}/nginx.pid; error_log {place}/nginx.log; worker_processes 1;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; open_file_cache max=100;\n\
         client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
         uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi; root {};\n\
         server {{ listen 127.0.0.1:{port}; location / {{ secure_link $arg_md5,$arg_expires;\n\
         secure_link_md5 \"$secure_link_expires$uri$remote_addr secret\"; if ($secure_link = \"\") {{ return 403; }}\n\
         if ($secure_link = \"0\") {{ return 410; }} }} }} }}\n",
        root.display()
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let nginx = Ended(command.spawn().expect("nginx runs; apt-get install nginx"));
    eventually("nginx listens", async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
    (nginx, port)
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
#[derive(PartialEq)]
enum Answers {
    Good,
    Refused,
}

async fn wrk(url: &str, expected: Answers) -> Figures {
    let mut command = tokio::process::Command::new("wrk");
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), "--latency", url]);
    let output = command.output().await.expect("wrk runs; apt-get install wrk");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(expected == Answers::Refused || !text.contains("Non-2xx"), "{text}");
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

fn say(what: &str, figures: &Figures) {
    println!("{what:28} {:>12.0} {:>12.0} {:>10.2}", figures.requests_s, figures.mb_s, figures.p99_ms);
}
