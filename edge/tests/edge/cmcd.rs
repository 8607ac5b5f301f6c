//! What players tell, as it comes over HTTP: it is counted, and is nowhere else.

use std::{path::Path, process::Command, sync::Arc};

use framemill_edge::EdgeConfig;
use framemill_storage::Meta;
use framemill_telemetry::health;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::{Farm, SEGMENT, claims, eventually};

/// Every metric of this process.
async fn metrics() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(health::serve(listener, Arc::new(Vec::new), stop.clone()));
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    stop.cancel();
    text
}

/// The sum of a series of a channel.
fn of(metrics: &str, channel: &str, name: &str) -> f64 {
    let (series, label) = (format!("{name}{{"), format!("channel=\"{channel}\""));
    let lines = metrics.lines().filter(|line| line.starts_with(&series) && line.contains(&label));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_players_tell_is_counted_and_is_nowhere_else() {
    let farm = Farm::start().await;
    farm.put(SEGMENT, "0123456789").await;
    let log = farm.path().join("access.log");
    let config = EdgeConfig { access_log: Some(log.clone()), ..EdgeConfig::default() };
    let edge = farm.edge_with("edge-1", config, farm.nats.port).await;
    let token = farm.token(&claims(&["/live/acme/news/"]));
    let path = format!("/t/{token}/{SEGMENT}");
    let sid = "6e2fb550-c457-11e9-bb97-0800200c9a66";

    // Version 1, in the query and in headers: a start, and a standstill. Each is another query, and one object.
    for (told, outcome) in [("%2Csu", "framemill; fwd=miss"), ("%2Cbs", "framemill; hit")] {
        let query = format!("CMCD=bl%3D4000%2Cbr%3D366%2Cd%3D2000%2Cot%3Dv%2Csid%3D%22{sid}%22{told}");
        let answer = edge.request(&format!("{path}?{query}")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["cache-status"].to_str().unwrap()), (200, outcome));
        edge.keeps(&path).await;
    }
    let request = edge.request(&path).header("cmcd-object", "br=128,d=2000,ot=a").header("cmcd-request", "mtp=25400");
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
    assert_eq!(edge.get(&format!("{path}?CMCD=%zz")).await.0, 200, "what cannot be read harms nobody");

    // Version 2, as hls.js 1.7.4 posts it. The session is another one: a page that was opened anew.
    let again =
        farm.token(&framemill_schemas::delivery::Claims { session: "s-2".to_owned(), ..claims(&["/live/acme/news/"]) });
    let lines = format!(
        "e=ps,sid=\"{sid}\",sn=0,sta=s,ts=1795999063000,v=2\nbr=(366),e=ps,sid=\"{sid}\",sn=1,sta=p,ts=1795999063500,v=2\n\
         e=ps,sid=\"{sid}\",sn=2,sta=r,ts=1795999069835,v=2\ne=ps,sid=\"{sid}\",sn=3,sta=p,ts=1795999073435,v=2\n\
         e=e,ec=(\"3016\"),sid=\"{sid}\",sta=f,ts=1795999073500,v=2\n"
    );
    let post = async |path: String, body: String| {
        let request = reqwest::Client::new().post(edge.url(&path)).header("content-type", "application/cmcd");
        request.body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!(post(format!("/t/{again}/live/acme/news/cmcd"), lines).await, 204);
    assert_eq!(post("/live/acme/news/cmcd".to_owned(), "e=t,v=2".to_owned()).await, 401);
    assert_eq!(post(format!("/t/{token}/live/acme/sport/cmcd"), "e=t,v=2".to_owned()).await, 403);
    assert_eq!(post(path.clone(), "e=t,v=2".to_owned()).await, 405);
    assert_eq!(post(format!("/t/{again}/live/acme/news/cmcd"), "x".repeat(65 * 1024)).await, 413);
    let asked = reqwest::Client::new().request(reqwest::Method::OPTIONS, edge.url("/live/acme/news/cmcd"));
    let preflight = asked.header("origin", "https://tv.example").send().await.unwrap();
    let allowed = |name: &str| preflight.headers()[name].to_str().unwrap().to_owned();
    assert!(allowed("access-control-allow-methods").contains("POST"));
    assert!(["content-type", "cmcd-status"].iter().all(|name| allowed("access-control-allow-headers").contains(name)));

    let told = metrics().await;
    for (name, expected) in [
        ("framemill_edge_viewer_start_seconds_count", 2.0),
        ("framemill_edge_viewer_rebuffers_total", 2.0),
        ("framemill_edge_viewer_rebuffer_seconds_sum", 3.6),
        ("framemill_edge_viewer_errors_total", 1.0),
        ("framemill_edge_viewer_media_seconds_total", 4.0),
        ("framemill_edge_viewer_bitrate_kbps_count", 3.0),
        ("framemill_edge_viewer_bitrate_kbps_sum", 860.0),
        ("framemill_edge_viewer_buffer_seconds_sum", 8.0),
        ("framemill_edge_viewer_throughput_kbps_sum", 25400.0),
    ] {
        assert_eq!(of(&told, "acme/news", name), expected, "{name}");
    }
    assert!(!told.contains(sid) && !told.contains("s-2"), "nobody is told of by name");
    eventually("the log is written", async || {
        let text = std::fs::read_to_string(&log).unwrap();
        let whole = text.contains("\"POST /live/acme/news/cmcd HTTP/1.1\" 204 0 ") && text.contains(" report ");
        whole.then(|| assert!(!text.contains("CMCD") && !text.contains(sid)))
    })
    .await;
}

/// Six seconds of pictures as a channel's playlists and segments.
fn media(folder: &Path) -> bool {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=6", "-c:v", "libx264"])
        .args([
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-b:v",
            "200k",
            "-g",
            "50",
            "-keyint_min",
            "50",
            "-sc_threshold",
            "0",
        ])
        .args(["-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"])
        .args(["-master_pl_name", "master.m3u8", "video.m3u8"])
        .current_dir(folder)
        .status();
    made.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_player_is_understood() {
    let farm = Farm::start().await;
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/judges");
    if !judges.join("node_modules").exists() {
        eprintln!("not run: what hls.js tells: the judges are not installed; run infra/setup --tests");
        return;
    }
    let made = tempfile::tempdir().unwrap();
    if !media(made.path()) {
        eprintln!("not run: what hls.js tells: no ffmpeg with libx264");
        return;
    }
    for file in std::fs::read_dir(made.path()).unwrap() {
        let file = file.unwrap();
        let key = format!("live/acme/player/{}", file.file_name().to_str().unwrap());
        let body = std::fs::read(file.path()).unwrap();
        farm.store.put_new(&key, body.into(), &Meta::default()).await.unwrap();
    }
    let edge = farm.edge("edge-1").await;
    let token = farm.token(&claims(&["/live/acme/player/"]));
    let url = edge.url(&format!("/t/{token}/live/acme/player/master.m3u8"));
    let played = tokio::process::Command::new("node")
        .arg("cmcd.mjs")
        .args([&url, "--timeout", "40"])
        .current_dir(judges)
        .output()
        .await;
    let Some(played) = played.ok().filter(|played| played.status.code() != Some(77)) else {
        eprintln!("not run: what hls.js tells: there is no node, or no Chromium");
        return;
    };
    let said = String::from_utf8_lossy(&played.stdout).replace(&token, "TOKEN");
    assert!(played.status.success(), "{said} {}", String::from_utf8_lossy(&played.stderr));

    let told = metrics().await;
    let count = |name: &str| of(&told, "acme/player", name);
    assert_eq!(count("framemill_edge_viewer_start_seconds_count"), 1.0, "{said}");
    assert!(count("framemill_edge_viewer_start_seconds_sum") < 40.0);
    assert_eq!(count("framemill_edge_viewer_bitrate_kbps_count"), 3.0, "three segments");
    assert_eq!(count("framemill_edge_viewer_media_seconds_total"), 6.0);
    assert_eq!(count("framemill_edge_viewer_errors_total"), 0.0);
}
