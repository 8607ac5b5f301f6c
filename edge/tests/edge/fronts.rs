//! Caches that people already run, in front of an edge: a real Varnish and a real nginx. No viewer gets another one's
//! token, or in on another one's.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use framemill_edge::{EdgeConfig, SteeringConfig, TagHeader};
use framemill_schemas::delivery::Claims;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Edge, Farm, PLAYLIST, SEGMENT, claims, eventually};

/// A program in front, ended with the test.
struct Front {
    child: Child,
    port: u16,
}

impl Drop for Front {
    fn drop(&mut self) {
        // Both run children of their own, and end them when they are told to.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        self.child.wait().ok();
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("not run: viewers behind {name}: it is not installed");
    }
    found
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

async fn varnish(folder: &Path, edge: &Edge) -> Option<Front> {
    let varnishd = program("varnishd")?;
    let port = free_port().await;
    let vcl = folder.join("edge.vcl");
    let backend = format!("{{ .host = \"127.0.0.1\"; .port = \"{}\"; }}", edge.address.port());
    let told = "sub vcl_deliver { if (obj.hits > 0) { set resp.http.X-Front = \"HIT\"; } }";
    std::fs::write(&vcl, format!("vcl 4.1;\nbackend default {backend}\n{told}\n")).unwrap();
    let mut command = Command::new(varnishd);
    command.arg("-F").arg("-n").arg(folder.join("varnish")).arg("-f").arg(&vcl);
    command.arg("-a").arg(format!("127.0.0.1:{port}")).args(["-s", "malloc,64m"]);
    started(command, port).await
}

async fn nginx(folder: &Path, edge: &Edge) -> Option<Front> {
    let nginx = program("nginx")?;
    let port = free_port().await;
    let place = folder.display();
    // Its workers write below a folder that only the one who made it may enter.
    let owner = Command::new("id").arg("-un").output().unwrap();
    let owner = String::from_utf8(owner.stdout).unwrap();
    let user = if owner.trim() == "root" { "user root;" } else { "" };
    let config = format!(
        "daemon off; {user} pid {place}/nginx.pid; error_log {place}/nginx.log; worker_processes 1;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
         fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
         proxy_cache_path {place}/cache keys_zone=edge:10m;\n\
         server {{ listen 127.0.0.1:{port}; proxy_cache edge;\n\
         location / {{ proxy_pass http://{}; proxy_set_header X-Forwarded-For $remote_addr;\n\
         add_header X-Front $upstream_cache_status; }} }} }}\n",
        edge.address
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(nginx);
    command.arg("-c").arg(&file).arg("-e").arg(folder.join("nginx-start.log"));
    started(command, port).await
}

async fn started(mut command: Command, port: u16) -> Option<Front> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let front = Front { child, port };
    eventually("the front listens", async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
    Some(front)
}

/// How a viewer shows its token.
const WAYS: [&str; 5] = ["path", "query", "authorization", "cta-common-access-token", "cookie"];

async fn ask(front: &Front, way: &str, token: Option<&str>, key: &str) -> (u16, String) {
    let client = reqwest::Client::new();
    let base = format!("http://127.0.0.1:{}", front.port);
    let request = match (way, token) {
        (_, None) => client.get(format!("{base}/{key}")),
        ("path", Some(token)) => client.get(format!("{base}/t/{token}/{key}")),
        ("query", Some(token)) => client.get(format!("{base}/{key}?token={token}")),
        ("authorization", Some(token)) => client.get(format!("{base}/{key}")).header(way, format!("Bearer {token}")),
        ("cookie", Some(token)) => client.get(format!("{base}/{key}")).header(way, format!("framemill-token={token}")),
        (header, Some(token)) => client.get(format!("{base}/{key}")).header(header, token),
    };
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let said = format!("{:?}", answer.headers());
    (status, said + &answer.text().await.unwrap())
}

async fn two_viewers(farm: &Farm, front: &Front, what: &str, keys: &[&str]) {
    let viewer = |account: &str, path: &str| {
        farm.token(&Claims { account: account.to_owned(), session: format!("s-{account}"), ..claims(&[path]) })
    };
    let (ada, bob) = (viewer("ada", "/live/acme/news/"), viewer("bob", "/live/acme/news/"));
    let stranger = viewer("eve", "/live/acme/sport/");
    for key in keys.iter().copied() {
        for way in WAYS {
            // Twice, so that whatever the front keeps is there when the next one comes.
            for _ in 0..2 {
                let (status, said) = ask(front, way, Some(&ada), key).await;
                assert!(status == 200 && !said.contains(&bob), "{what} {way} {key}: {status} {said}");
            }
            if way == "path" && key == SEGMENT {
                let (_, said) = ask(front, way, Some(&ada), key).await;
                assert!(said.contains("HIT"), "{what} keeps what it may, or this shows nothing: {said}");
            }
            let (status, said) = ask(front, way, Some(&bob), key).await;
            assert!(status == 200 && !said.contains(&ada), "{what} {way} {key}: {status} {said}");
            for token in [Some(stranger.as_str()), None] {
                let (status, said) = ask(front, way, token, key).await;
                let expected = if token.is_some() { 403 } else { 401 };
                assert_eq!(status, expected, "{what} {way} {key}: {said}");
                assert!(!said.contains(&ada) && !said.contains(&bob), "{what} {way} {key}: {said}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_varnish_nobody_gets_in_on_anothers_token() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    farm.put(SEGMENT, "body").await;
    let edge = farm.edge("edge-1").await;
    if let Some(front) = varnish(farm.path(), &edge).await {
        two_viewers(&farm, &front, "varnish", &[PLAYLIST, SEGMENT]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_nobody_gets_in_on_anothers_token() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    farm.put(SEGMENT, "body").await;
    let edge = farm.edge("edge-1").await;
    if let Some(front) = nginx(farm.path(), &edge).await {
        two_viewers(&farm, &front, "nginx", &[PLAYLIST, SEGMENT]).await;
    }
}

/// Playlists that name other edges have their viewer's token in them.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_cache_nobody_gets_a_playlist_with_anothers_token() {
    const KEYS: [&str; 2] = ["live/acme/news/master.m3u8", "live/acme/news/manifest.mpd"];
    let farm = Farm::start().await;
    farm.put(KEYS[0], "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo-720p.m3u8\n").await;
    farm.put(KEYS[1], "<MPD><Period/></MPD>").await;
    let config = |name: &str| EdgeConfig {
        url: Some(format!("http://{name}.example")),
        steering: SteeringConfig { redundant: 1, ..SteeringConfig::default() },
        ..EdgeConfig::default()
    };
    let edge = farm.edge_with("edge-1", config("edge-1"), farm.nats.port).await;
    let _other = farm.edge_with("edge-2", config("edge-2"), farm.nats.port).await;
    let token = farm.token(&claims(&["/live/acme/news/"]));
    for key in KEYS {
        eventually("the other edge is named, with the token", async || {
            let (_, body) = edge.get(&format!("/t/{token}/{key}")).await;
            body.contains(&format!("http://edge-2.example/t/{token}/live/acme/news/")).then_some(())
        })
        .await;
    }
    if let Some(front) = varnish(farm.path(), &edge).await {
        two_viewers(&farm, &front, "varnish", &KEYS).await;
    }
    if let Some(front) = nginx(farm.path(), &edge).await {
        two_viewers(&farm, &front, "nginx", &KEYS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_told_to_proxies_that_are_trusted_and_to_nobody_else() {
    let farm = Farm::start().await;
    farm.put(SEGMENT, "body").await;
    let token = farm.token(&claims(&["/live/acme/news/"]));
    let tags = "object:live/acme/news/t1-00c0ffee/720p/7.m4s,tenant:acme,channel:acme/news,\
                timeline:acme/news/t1-00c0ffee,rendition:acme/news/t1-00c0ffee/720p";
    for (trusted, expected) in [("127.0.0.1", Some(tags)), ("10.0.0.0/8", None)] {
        let config = EdgeConfig {
            tag_header: Some(TagHeader::CacheTag),
            trusted_proxies: vec![trusted.to_owned()],
            ..EdgeConfig::default()
        };
        let edge = farm.edge_with("edge-1", config, farm.nats.port).await;
        let answer = edge.request(&format!("/t/{token}/{SEGMENT}")).send().await.unwrap();
        assert_eq!(answer.headers().get("cache-tag").map(|tags| tags.to_str().unwrap()), expected);
        let refused = edge.request(&format!("/t/x/{SEGMENT}")).send().await.unwrap();
        assert!(refused.status().is_client_error() && !refused.headers().contains_key("cache-tag"));
        edge.end().await;
    }
}

/// The configuration that this repository ships, with that edge behind it.
async fn shipped_varnish(folder: &Path, edge: &Edge) -> Option<Front> {
    let varnishd = program("varnishd")?;
    let shipped = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/caches/varnish.vcl"));
    let backend = format!(".port = \"{}\"", edge.address.port());
    let shipped = shipped.unwrap().replace(".port = \"8081\"", &backend);
    let told = "sub vcl_deliver { if (obj.hits > 0) { set resp.http.X-Front = \"HIT\"; } }";
    let vcl = folder.join("shipped.vcl");
    std::fs::write(&vcl, shipped + told).unwrap();
    let port = free_port().await;
    let mut command = Command::new(varnishd);
    command.arg("-F").arg("-n").arg(folder.join("shipped")).arg("-f").arg(&vcl);
    command.arg("-a").arg(format!("127.0.0.1:{port}")).args(["-s", "malloc,64m"]);
    started(command, port).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_varnish_purges_by_the_tags_it_is_told_and_shows_none() {
    let farm = Farm::start().await;
    farm.put(SEGMENT, "body").await;
    let config = EdgeConfig {
        tag_header: Some(TagHeader::Xkey),
        trusted_proxies: vec!["127.0.0.1".to_owned()],
        ..EdgeConfig::default()
    };
    let edge = farm.edge_with("edge-1", config, farm.nats.port).await;
    let Some(front) = shipped_varnish(farm.path(), &edge).await else { return };
    let token = farm.token(&claims(&["/live/acme/news/"]));
    let purge = async |tags: &str| {
        let method = reqwest::Method::from_bytes(b"PURGE").unwrap();
        let request = reqwest::Client::new().request(method, format!("http://127.0.0.1:{}/", front.port));
        request.header("xkey-purge", tags).send().await.unwrap().status().as_u16()
    };
    for (tags, kept) in [("channel:acme/sport", true), ("rendition:acme/news/t1-00c0ffee/720p", false)] {
        for _ in 0..2 {
            let (status, said) = ask(&front, "path", Some(&token), SEGMENT).await;
            assert!(status == 200 && !said.contains("xkey") && !said.contains("channel:"), "{said}");
        }
        assert_eq!(purge(tags).await, 200);
        let (_, said) = ask(&front, "path", Some(&token), SEGMENT).await;
        assert_eq!(said.contains("HIT"), kept, "{tags}: {said}");
    }
}
