//! Viewers who are sent to other edges: by steering manifests, by playlists that name them, by redirections, and in a real
//! player whose edge goes away.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use framemill_edge::{EdgeConfig, NetworkPlace, STORE, SteeringConfig};
use framemill_schemas::delivery::Place;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Command,
    time::timeout,
};

use crate::{
    origins::Counting,
    support::{Edge, Farm, SEGMENT, WAIT_MAX, claims, eventually},
};

const MASTER: &str = "live/acme/news/master.m3u8";
const MPD: &str = "live/acme/news/manifest.mpd";
const OSLO: Place = Place { latitude: 59.91, longitude: 10.75 };
const PARIS: Place = Place { latitude: 48.86, longitude: 2.35 };

/// One port on two addresses: what differs is the host, as with edges behind names.
async fn two_listeners() -> [TcpListener; 2] {
    eventually("a port is free on both addresses", async || {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        TcpListener::bind(("127.0.0.2", port)).await.ok().map(|second| [first, second])
    })
    .await
}

async fn edge(farm: &Farm, name: &str, listener: TcpListener, origin: String, steering: SteeringConfig) -> Edge {
    let url = Some(format!("http://{}", listener.local_addr().unwrap()));
    let config = EdgeConfig { url, steering, origins: vec![origin], ..EdgeConfig::default() };
    farm.edge_on(name, config, farm.nats.port, listener).await
}

/// The viewers of these tests, by their address, are there.
fn viewers_in(place: Place) -> Vec<NetworkPlace> {
    let Place { latitude, longitude } = place;
    vec![NetworkPlace { network: "127.0.0.0/8".to_owned(), latitude, longitude }]
}

fn master() -> String {
    let sound = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"stereo\",DEFAULT=YES,URI=\"audio-stereo.m3u8\"\n";
    let variant = |name| {
        format!("#EXT-X-STREAM-INF:BANDWIDTH=1328000,CODECS=\"avc1.64001e,mp4a.40.2\",AUDIO=\"a\"\nvideo-{name}.m3u8\n")
    };
    format!("#EXTM3U\n#EXT-X-VERSION:6\n{sound}{}{}", variant("360p"), variant("180p"))
}

const MANIFEST: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT8S\" minBufferTime=\"PT2S\">\n\
    <Period id=\"0\" start=\"PT0S\" duration=\"PT8S\"><AdaptationSet mimeType=\"video/mp4\">\n\
    <SegmentTemplate timescale=\"1\" duration=\"4\" initialization=\"720p/init.mp4\" media=\"720p/$Number$.m4s\" startNumber=\"1\"/>\n\
    <Representation id=\"720p\" bandwidth=\"1000000\" width=\"1280\" height=\"720\" codecs=\"avc1.64001f\"/>\n\
    </AdaptationSet></Period></MPD>\n";

/// The steering manifest, once its order is this one, and it is to be asked for again after so many seconds: 60 when all
/// edges are well.
async fn order(edge: &Edge, token: &str, query: &str, ttl_s: u32, expected: &[&str]) -> Value {
    let path = format!("/t/{token}/live/acme/news/steering.json{query}");
    eventually(&format!("the order is {expected:?}"), async || {
        let (status, body) = edge.get(&path).await;
        assert_eq!(status, 200, "{body}");
        assert!(!body.contains(token), "{body}");
        let said: Value = serde_json::from_str(&body).unwrap();
        let order: Vec<_> =
            said["PATHWAY-PRIORITY"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        (order == expected && said["TTL"] == ttl_s).then_some(said)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_are_sent_to_the_nearest_edge_and_away_from_one_that_is_sick_or_gone() {
    let farm = Farm::start().await;
    farm.put(MASTER, master()).await;
    farm.put(MPD, MANIFEST).await;
    let behind_paris = Counting::start(master()).await;
    let [first, second] = two_listeners().await;
    let steering = |place| SteeringConfig { place: Some(place), networks: viewers_in(PARIS), ..Default::default() };
    let oslo = edge(&farm, "oslo", first, STORE.to_owned(), steering(OSLO)).await;
    let token = farm.token(&claims(&["/live/acme/news/"]));
    let asked = |path: &str| oslo.request(&format!("/t/{token}/{path}"));

    // Alone: what the store has, to the byte.
    order(&oslo, &token, "", 60, &["oslo"]).await;
    assert_eq!(asked(MASTER).send().await.unwrap().text().await.unwrap(), master());
    let neutral = asked(MASTER).send().await.unwrap().headers()["etag"].clone();

    let paris = edge(&farm, "paris", second, behind_paris.url(), steering(PARIS)).await;
    let said = order(&oslo, &token, "?_HLS_pathway=oslo", 60, &["paris", "oslo"]).await;
    assert_eq!(said["VERSION"], 1);
    let clone = &said["PATHWAY-CLONES"][0];
    assert_eq!((clone["BASE-ID"].as_str(), clone["ID"].as_str()), (Some("oslo"), Some("paris")));
    assert_eq!(clone["URI-REPLACEMENT"]["HOST"], "127.0.0.2");
    let manifest = asked("live/acme/news/steering.json").send().await.unwrap();
    assert_eq!(manifest.headers()["cache-control"], "private, no-store");

    // A playlist names this edge's pathway, and no token; an MPD names both edges, with it.
    let steered = asked(MASTER).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(steered.headers()["cache-control"], "public, max-age=1, stale-if-error=12");
    let etag = steered.headers()["etag"].clone();
    assert!(etag != neutral && etag.to_str().unwrap().ends_with("-gzip\""), "{etag:?}");
    let unchanged = asked(MASTER).header("accept-encoding", "gzip").header("if-none-match", &etag);
    assert_eq!(unchanged.send().await.unwrap().status(), 304);
    let stale = asked(MASTER).header("if-none-match", &neutral).send().await.unwrap();
    assert_eq!(stale.status(), 200);
    let body = stale.text().await.unwrap();
    assert!(body.contains("#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering.json\",PATHWAY-ID=\"oslo\"\n"), "{body}");
    assert!(!body.contains(&token), "{body}");
    let mpd = asked(MPD).send().await.unwrap();
    assert_eq!(mpd.headers()["cache-control"], "private, no-store");
    assert!(mpd.text().await.unwrap().contains(&format!("\"paris\">{}/t/{token}/live/acme/news/<", paris.url(""))));

    // Nothing is behind it any more: it shows what it has, and others come first.
    behind_paris.broken.store(true, Ordering::SeqCst);
    for number in 0..4 {
        paris.get(&format!("/t/{token}/live/acme/news/t1-00c0ffee/720p/{number}.m4s")).await;
    }
    let began = Instant::now();
    order(&oslo, &token, "?_HLS_pathway=paris", 10, &["oslo", "paris"]).await;
    eprintln!("an edge without origins is last after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());

    // One that ends says so.
    paris.end().await;
    let said = order(&oslo, &token, "?_HLS_pathway=paris", 60, &["oslo"]).await;
    assert!(said.get("PATHWAY-CLONES").is_none(), "{said}");
    assert_eq!(asked(MASTER).send().await.unwrap().text().await.unwrap(), master());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_the_best_edge_keeps_the_token() {
    let farm = Farm::start().await;
    farm.put(SEGMENT, "body").await;
    let [first, second] = two_listeners().await;
    let steering = |place| SteeringConfig { place: Some(place), networks: viewers_in(PARIS), ..Default::default() };
    let oslo = edge(&farm, "oslo", first, STORE.to_owned(), steering(OSLO)).await;
    let paris = edge(&farm, "paris", second, STORE.to_owned(), steering(PARIS)).await;
    let token = farm.token(&claims(&["/live/acme/news/"]));
    order(&oslo, &token, "", 60, &["paris", "oslo"]).await;

    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let cookie = format!("framemill-token={token}");
    let bearer = format!("Bearer {token}");
    for (way, header, asked, place) in [
        ("path", None, format!("/route/t/{token}/{SEGMENT}"), format!("/t/{token}/{SEGMENT}")),
        ("query", None, format!("/route/{SEGMENT}?token={token}&x=1"), format!("/{SEGMENT}?token={token}&x=1")),
        ("header", Some(("authorization", &bearer)), format!("/route/{SEGMENT}"), format!("/{SEGMENT}")),
        ("cookie", Some(("cookie", &cookie)), format!("/route/{SEGMENT}"), format!("/t/{token}/{SEGMENT}")),
    ] {
        let mut request = client.get(oslo.url(&asked));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()),
            (307, &*paris.url(&place)),
            "{way}"
        );
        assert_eq!(answer.headers()["cache-control"], "private, no-store", "{way}");
    }
    // And it leads there.
    let answer = reqwest::get(oslo.url(&format!("/route/t/{token}/{SEGMENT}"))).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "body");

    let listed = client.get(oslo.url(&format!("/route/t/{token}/{SEGMENT}"))).header("accept", "application/json");
    let said: Value = listed.send().await.unwrap().json().await.unwrap();
    let edges = said["edges"].as_array().unwrap();
    assert_eq!((&edges[0]["edge"], &edges[0]["url"]), (&"paris".into(), &paris.url("").into()));
    assert_eq!((&edges[0]["distance_km"], &edges[0]["health"]), (&0.into(), &100.into()));
    assert!(edges[1]["distance_km"].as_u64().unwrap() > 1000 && !said.to_string().contains(&token), "{said}");

    for (asked, status) in
        [(format!("/route/{SEGMENT}"), 401), (format!("/route/t/{token}/live/acme/sport/1.m4s"), 403)]
    {
        assert_eq!(client.get(oslo.url(&asked)).send().await.unwrap().status(), status, "{asked}");
    }
}

/// A title of 24 seconds with sound, made by ffmpeg alone; its files below `folder`.
fn make_title(folder: &Path) {
    let ffmpeg = std::env::var("FRAMEMILL_FFMPEG__FFMPEG").unwrap_or_else(|_| "ffmpeg".to_owned());
    let made = std::process::Command::new(ffmpeg)
        .args("-v error -f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine -t 24 -map 0:v -map 1:a".split(' '))
        .args("-c:v libx264 -preset ultrafast -g 50 -sc_threshold 0 -pix_fmt yuv420p -c:a aac -f hls".split(' '))
        .args("-hls_time 2 -hls_playlist_type vod -hls_segment_type fmp4 -master_pl_name master.m3u8".split(' '))
        .args(["-hls_fmp4_init_filename", "init-%v.mp4", "-hls_segment_filename", "s%v-%d.m4s"])
        .args(["-var_stream_map", "v:0,agroup:a a:0,agroup:a", "s%v.m3u8"])
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(made.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_goes_on_with_the_other_edge_when_its_own_is_gone() {
    const NOT_RUN: i32 = 77;
    let judges: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/judges");
    if !judges.join("node_modules").exists() {
        eprintln!("not run: a player and two edges: the judges are not installed; run infra/setup --tests");
        return;
    }
    let farm = Farm::start().await;
    let title = tempfile::tempdir().unwrap();
    make_title(title.path());
    for file in std::fs::read_dir(title.path()).unwrap().map(Result::unwrap) {
        let key = format!("vod/acme/title/{}", file.file_name().to_str().unwrap());
        farm.put(&key, std::fs::read(file.path()).unwrap()).await;
    }
    farm.put(MPD, MANIFEST).await;
    let [first, second] = two_listeners().await;
    let steering = SteeringConfig::default;
    let one = edge(&farm, "edge-1", first, STORE.to_owned(), steering()).await;
    let two = edge(&farm, "edge-2", second, STORE.to_owned(), steering()).await;
    let token = farm.token(&claims(&["/vod/acme/title/", "/live/acme/news/"]));
    order(&one, &token, "", 60, &["edge-1", "edge-2"]).await;

    let mut player = Command::new("node")
        .arg("steer.mjs")
        .arg(one.url(&format!("/t/{token}/vod/acme/title/master.m3u8")))
        .args(["--other", &two.url("")])
        .args(["--mpd", &one.url(&format!("/t/{token}/{MPD}"))])
        .current_dir(judges)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut told = BufReader::new(player.stderr.take().unwrap()).lines();
    // It ends without a word where there is no browser.
    let line = timeout(WAIT_MAX, told.next_line()).await.unwrap().unwrap();
    if line.as_deref() == Some("playing") {
        one.end().await;
    }
    drop(player.stdin.take());
    let output = timeout(WAIT_MAX, player.wait_with_output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(NOT_RUN) {
        eprintln!("not run: a player and two edges: {}", said.trim());
        return;
    }
    assert!(output.status.success(), "{line:?} {said}");
    eprintln!("{}", said.trim());
}
