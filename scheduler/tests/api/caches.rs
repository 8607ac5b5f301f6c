//! Real caches in front of a server that counts its answers: what the guide says of them is what is run here.
#![allow(clippy::print_stderr)]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use framemill_scheduler::purges::PurgeConfig;
use framemill_schemas::delivery::{AdapterState, PurgeState};
use tempfile::TempDir;

use crate::{
    farm::{Farm, until},
    purges::{Fleet, ask, show},
};

/// A program that ends with its test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Varnish's manager and nginx' master end their children when they are asked to, and not when they are killed.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.exists());
    if found.is_none() {
        eprintln!("not run: {name} is not there");
    }
    found
}

fn start(program: &Path, folder: &TempDir, arguments: &[&str]) -> Program {
    let log = std::fs::File::create(folder.path().join("program.log")).unwrap();
    let started = Command::new(program)
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    Program(started.unwrap())
}

/// A server that answers every path with the number of its answer, and lets it be kept.
async fn origin() -> SocketAddr {
    let count = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(([("cache-control", "public, max-age=3600")], number.to_string()))
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    address
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn fetch(port: u16, key: &str) -> Option<String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let response = client.get(format!("http://127.0.0.1:{port}/{key}")).send().await.ok()?;
    (response.status() == 200).then_some(())?;
    response.text().await.ok()
}

fn snippet(name: &str, changes: &[(&str, String)]) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../infra/caches").join(name);
    let text = std::fs::read_to_string(file).unwrap();
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from}");
        text.replace(from, to)
    })
}

const ASSET: &str = "0198c0de-0000-7000-8000-000000000000";

#[tokio::test]
async fn a_real_varnish_forgets_what_has_the_tags() {
    let Some(varnishd) = found("varnishd") else { return };
    let (folder, port, origin) = (tempfile::tempdir().unwrap(), free_port(), origin().await);
    let vcl = snippet("varnish.vcl", &[(r#".port = "8081""#, format!(r#".port = "{}""#, origin.port()))]);
    let file = folder.path().join("varnish.vcl");
    std::fs::write(&file, vcl).unwrap();
    let (name, listen) = (folder.path().join("work"), format!("127.0.0.1:{port}"));
    let arguments =
        ["-F", "-n", name.to_str().unwrap(), "-a", &listen, "-f", file.to_str().unwrap(), "-s", "malloc,16m"];
    let _varnish = start(&varnishd, &folder, &arguments);
    let keys = [
        "live/acme/news/master.m3u8".to_owned(),
        "live/acme/news/t1-00c0ffee/720p/1.m4s".to_owned(),
        "live/acme/sport/master.m3u8".to_owned(),
        format!("vod/acme/{ASSET}/master.m3u8"),
        format!("vod/acme/{ASSET}/g1-00c0ffee.m3u8"),
        format!("vod/acme/{ASSET}/g1-00c0ffee/720p/1.m4s"),
    ];
    until("varnish answers", async || fetch(port, &keys[0]).await.is_some()).await;

    let farm = Farm::local().await;
    let config = serde_json::json!({ "varnish": { "urls": [format!("http://{listen}")] } });
    let _fleet = Fleet::beside(&farm, &serde_json::from_value::<PurgeConfig>(config).unwrap());
    let all = async || {
        let mut answers = Vec::new();
        for key in &keys {
            answers.push(fetch(port, key).await.unwrap());
        }
        answers
    };
    for (tag, gone) in [
        ("channel:acme/news".to_owned(), &[0, 1][..]),
        ("timeline:acme/news/t1-00c0ffee".to_owned(), &[1]),
        ("rendition:acme/news/t1-00c0ffee/720p".to_owned(), &[1]),
        ("object:live/acme/sport/master.m3u8".to_owned(), &[2]),
        (format!("asset:{ASSET}"), &[3, 4, 5]),
        (format!("generation:{ASSET}/g1-00c0ffee"), &[4, 5]),
        (format!("rendition:{ASSET}/g1-00c0ffee/720p"), &[5]),
        ("tenant:acme".to_owned(), &[0, 1, 2, 3, 4, 5]),
        ("tenant:other".to_owned(), &[]),
    ] {
        let before = all().await;
        assert_eq!(before, all().await, "it keeps answers");
        let tenant = if tag == "tenant:other" { "other" } else { "acme" };
        let accepted = ask(&farm, &format!(r#"{{"tags":["{tag}"],"tenant":"{tenant}"}}"#)).await;
        let done = async || {
            let shown = show(&farm, &accepted).await;
            shown.state == PurgeState::Completed && shown.adapters[0].state == AdapterState::Completed
        };
        farm.until("varnish has forgotten it", done).await;
        let after = all().await;
        let fresh: Vec<usize> = (0..keys.len()).filter(|at| before[*at] != after[*at]).collect();
        assert_eq!(fresh, gone, "{tag}");
    }
}

#[tokio::test]
async fn a_real_nginx_forgets_objects() {
    let module = "/usr/lib/nginx/modules/ngx_http_cache_purge_module.so";
    let Some(nginx) = found("nginx") else { return };
    if !Path::new(module).exists() {
        return eprintln!("not run: nginx has no module that purges");
    }
    let folder = tempfile::tempdir().unwrap();
    let (port, purger, origin) = (free_port(), free_port(), origin().await);
    let config = snippet(
        "nginx.conf",
        &[
            ("127.0.0.1:8081", origin.to_string()),
            ("127.0.0.1:8082", format!("127.0.0.1:{port}")),
            ("127.0.0.1:8083", format!("127.0.0.1:{purger}")),
        ],
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    // Its workers are another user where it is started by root.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let prefix = format!("{}/", folder.path().display());
    let _nginx = start(&nginx, &folder, &["-p", &prefix, "-c", file.to_str().unwrap(), "-e", "nginx.log"]);
    let keys = ["live/acme/news/master.m3u8", "live/acme/news/other.m3u8"];
    until("nginx answers", async || fetch(port, keys[0]).await.is_some()).await;

    let farm = Farm::local().await;
    let config = serde_json::json!({ "nginx": { "urls": [format!("http://127.0.0.1:{purger}")] } });
    let _fleet = Fleet::beside(&farm, &serde_json::from_value::<PurgeConfig>(config).unwrap());
    let before = (fetch(port, keys[0]).await, fetch(port, keys[1]).await);
    assert_eq!(before, (fetch(port, keys[0]).await, fetch(port, keys[1]).await), "it keeps answers");
    // One that it has, and one that it never had.
    let body = format!(r#"{{"tags":["object:{}","object:live/acme/news/none.m3u8"]}}"#, keys[0]);
    let accepted = ask(&farm, &body).await;
    farm.until("nginx has answered", async || {
        show(&farm, &accepted).await.adapters.iter().any(|adapter| adapter.state == AdapterState::Completed)
    })
    .await;
    assert_ne!(fetch(port, keys[0]).await, before.0);
    assert_eq!(fetch(port, keys[1]).await, before.1);
}
