//! Origins that answer 200 with what is old or cannot be played, beside one that is better.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use framemill_edge::{EdgeConfig, OriginOrder};
use http_body_util::Full;
use hyper::{Response, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

use crate::support::{Farm, PLAYLIST, claims, eventually, now_ms};

/// How a segment begins.
const BEGINS: &str = "\0\0\0\x08styp\0\0\x02\0moof\0\0\0\x10mfhd";
/// Longest that viewers may get what is old: a round's pause, its looks, the second that a playlist is kept, and what a
/// busy machine adds.
const BETTER_MAX: Duration = Duration::from_secs(10);

/// An origin that answers as it is told, by path, after a while.
struct Told {
    address: SocketAddr,
    playlists: Arc<AtomicUsize>,
}

impl Told {
    async fn start(after: Duration, answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, playlists) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&playlists);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, counted) = (Arc::clone(&answer), Arc::clone(&counted));
                let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let path = request.uri().path();
                    counted.fetch_add(usize::from(path.ends_with(".m3u8")), Ordering::SeqCst);
                    let kept = if path.ends_with(".m4s") { "max-age=99, immutable" } else { "max-age=1" };
                    let (status, body) = answer(path).map_or((404, String::new()), |body| (200, body));
                    let answer = Response::builder().status(status).header("cache-control", kept);
                    let answer = answer.body(Full::new(Bytes::from(body))).unwrap();
                    async move {
                        tokio::time::sleep(after).await;
                        Ok::<_, Infallible>(answer)
                    }
                });
                tokio::spawn(async move {
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, playlists }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The playlist of a channel whose newest segment ended so long ago, with a word that tells whose it is.
fn playlist(word: &str, age_s: i64) -> String {
    let began = jiff::Timestamp::from_millisecond(now_ms() - (age_s + 2) * 1000).unwrap();
    format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"t1-00c0ffee/720p/init-1.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:{began}\n#EXTINF:2.000000,\nt1-00c0ffee/720p/7.m4s\n## {word}\n"
    )
}

/// An origin of one word: its playlists are so old, its segments begin like this.
async fn origin(word: &'static str, age_s: i64, segment: &'static str) -> Told {
    Told::start(Duration::ZERO, move |path| match path.ends_with(".m3u8") {
        true => Some(playlist(word, age_s)),
        false => Some(format!("{segment}{word}")),
    })
    .await
}

fn of(origins: Vec<String>) -> EdgeConfig {
    EdgeConfig { origins, ..EdgeConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_an_origin_that_is_old_get_the_fresh_one_soon() {
    let farm = Farm::start().await;
    let (first, second) = (origin("first", 60, BEGINS).await, origin("second", 1, BEGINS).await);
    let edge = farm.edge_with("edge-1", of(vec![first.url(), second.url()]), farm.nats.port).await;
    let token = farm.token(&claims(&["/live/acme/"]));
    let path = format!("/t/{token}/{PLAYLIST}");
    let began = Instant::now();
    assert!(edge.get(&path).await.1.ends_with("## first\n"));
    eventually("the fresh one is shown", async || edge.get(&path).await.1.ends_with("## second\n").then_some(())).await;
    eprintln!("the fresh playlist came after {:?}", began.elapsed());
    assert!(began.elapsed() < BETTER_MAX, "{:?}", began.elapsed());
    // Its newest segments are asked of the second too, which the first does not have yet.
    let segment = format!("/t/{token}/live/acme/news/t1-00c0ffee/720p/8.m4s");
    assert!(edge.get(&segment).await.1.ends_with("second"));
    // And not for a moment only.
    let looked = first.playlists.load(Ordering::SeqCst);
    eventually("it was looked at again", async || {
        assert!(edge.get(&path).await.1.ends_with("## second\n"));
        (first.playlists.load(Ordering::SeqCst) > looked + 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_an_origin_whose_newest_segment_is_garbage_get_the_other_one() {
    let farm = Farm::start().await;
    let (first, second) = (origin("first", 1, "<html>502 ").await, origin("second", 1, BEGINS).await);
    let edge = farm.edge_with("edge-1", of(vec![first.url(), second.url()]), farm.nats.port).await;
    let token = farm.token(&claims(&["/live/acme/"]));
    let path = format!("/t/{token}/{PLAYLIST}");
    let began = Instant::now();
    eventually("the other one is shown", async || edge.get(&path).await.1.ends_with("## second\n").then_some(())).await;
    assert!(began.elapsed() < BETTER_MAX, "{:?}", began.elapsed());
    let segment = format!("/t/{token}/live/acme/news/t1-00c0ffee/720p/8.m4s");
    assert!(edge.get(&segment).await.1.ends_with("second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_old_everywhere_is_served_as_ever() {
    let farm = Farm::start().await;
    let (first, second) = (origin("first", 60, BEGINS).await, origin("second", 60, BEGINS).await);
    let edge = farm.edge_with("edge-1", of(vec![first.url(), second.url()]), farm.nats.port).await;
    let path = format!("/t/{}/{PLAYLIST}", farm.token(&claims(&["/live/acme/"])));
    eventually("the second was looked at twice", async || {
        assert!(edge.get(&path).await.1.ends_with("## first\n"));
        (second.playlists.load(Ordering::SeqCst) >= 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_channel_comes_from_the_origin_that_is_good_for_it_be_it_a_shield_or_the_store() {
    let farm = Farm::start().await;
    // Target durations are of the playlist's text: what is put once is to be fresh for the whole test.
    let text = |word: &str, age_s| playlist(word, age_s).replace("TARGETDURATION:2", "TARGETDURATION:60");
    let (old, new) = ("live/acme/one/video-720p.m3u8", "live/acme/two/video-720p.m3u8");
    farm.put(old, &text("store", 600)).await;
    farm.put(new, &text("store", 1)).await;
    for channel in ["one", "two"] {
        farm.put(&format!("live/acme/{channel}/t1-00c0ffee/720p/7.m4s"), BEGINS).await;
    }
    let web = Told::start(Duration::ZERO, move |path| match path.ends_with(".m3u8") {
        true => Some(text("web", if path.contains("/one/") { 1 } else { 600 })),
        false => Some(BEGINS.to_owned()),
    })
    .await;
    let secret = || Some(framemill_storage::Secret::new("a secret between edges"));
    let shield_config = EdgeConfig { shield_secret: secret(), ..of(vec![web.url()]) };
    let shield = farm.edge_with("shield", shield_config, farm.nats.port).await;
    let origins = vec![format!("edge+{}", shield.url("")), "s3".to_owned()];
    let edge_config = EdgeConfig { shield_secret: secret(), ..of(origins) };
    let edge = farm.edge_with("edge-1", edge_config, farm.nats.port).await;
    let token = farm.token(&claims(&["/live/acme/"]));
    let began = Instant::now();
    eventually("each channel is fresh", async || {
        let (one, two) =
            (edge.get(&format!("/t/{token}/{old}")).await.1, edge.get(&format!("/t/{token}/{new}")).await.1);
        (one.ends_with("## web\n") && two.ends_with("## store\n")).then_some(())
    })
    .await;
    assert!(began.elapsed() < BETTER_MAX, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_is_asked_first_where_that_is_wanted() {
    let farm = Farm::start().await;
    let far = Told::start(Duration::from_millis(150), |path| match path.ends_with(".m3u8") {
        true => Some(playlist("far", 1)),
        false => Some(BEGINS.to_owned()),
    })
    .await;
    let near = origin("near", 1, BEGINS).await;
    let config = EdgeConfig { origin_order: OriginOrder::Nearest, ..of(vec![far.url(), near.url()]) };
    let edge = farm.edge_with("edge-1", config, farm.nats.port).await;
    let path = format!("/t/{}/{PLAYLIST}", farm.token(&claims(&["/live/acme/"])));
    assert!(edge.get(&path).await.1.ends_with("## far\n"));
    eventually("the nearer one is shown", async || edge.get(&path).await.1.ends_with("## near\n").then_some(())).await;
}
