//! Several origins, and what becomes of viewers when one is gone.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use framemill_edge::EdgeConfig;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::{Response, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

use crate::support::{Farm, PLAYLIST, SEGMENT, claims, eventually};

/// An origin that has one body for everything, and counts.
pub struct Counting {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    pub broken: Arc<AtomicBool>,
    serving: tokio::task::JoinHandle<()>,
}

impl Counting {
    pub async fn start(body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, broken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, breaks) = (Arc::clone(&asked), Arc::clone(&broken));
        let body = Bytes::from(body);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, breaks, body) = (Arc::clone(&counted), Arc::clone(&breaks), body.clone());
                let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let status = if breaks.load(Ordering::SeqCst) { 500 } else { 200 };
                    let kept =
                        if request.uri().path().ends_with(".m4s") { "max-age=99, immutable" } else { "max-age=1" };
                    let answer = Response::builder().status(status).header("cache-control", kept);
                    let answer = answer.body(Full::new(body.clone())).unwrap();
                    async move {
                        // As far away as another city: whoever comes meanwhile has to wait for this fetch.
                        tokio::time::sleep(Duration::from_millis(30)).await;
                        Ok::<_, Infallible>(answer)
                    }
                });
                tokio::spawn(async move {
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, asked, broken, serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn of(origins: Vec<String>) -> EdgeConfig {
    EdgeConfig { origins, ..EdgeConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_origin_serves_within_the_request_that_found_the_first_one_gone() {
    let farm = Farm::start().await;
    let (first, second) = (Counting::start("first".to_owned()).await, Counting::start("second".to_owned()).await);
    let edge = Arc::new(farm.edge_with("edge-1", of(vec![first.url(), second.url()]), farm.nats.port).await);
    let token = farm.token(&claims(&["/live/acme/news/"]));
    let segment = |number: usize| format!("/t/{token}/live/acme/news/t1-00c0ffee/720p/{number}.m4s");
    assert_eq!(edge.get(&segment(1)).await, (200, "first".to_owned()));
    first.broken.store(true, Ordering::SeqCst);
    assert_eq!(edge.get(&segment(2)).await, (200, "second".to_owned()));
    first.serving.abort();
    // Five hundred viewers, each of its own place in the stream.
    let viewers = (0..500).map(|viewer| {
        let (edge, path) = (Arc::clone(&edge), segment(10 + viewer % 50));
        tokio::spawn(async move { edge.get(&path).await })
    });
    for answer in join_all(viewers).await {
        assert_eq!(answer.unwrap(), (200, "second".to_owned()));
    }
    // Three failures in a row were enough; then it was left alone.
    assert!(first.asked() < 60, "{}", first.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_origin_gone_the_edge_shows_what_it_has() {
    let farm = Farm::start().await;
    let origin = Counting::start("#EXTM3U\n#EXT-X-TARGETDURATION:60\n".to_owned()).await;
    let edge = farm.edge_with("edge-1", of(vec![origin.url()]), farm.nats.port).await;
    let token = farm.token(&claims(&["/live/acme/news/"]));
    let (playlist, segment) = (format!("/t/{token}/{PLAYLIST}"), format!("/t/{token}/{SEGMENT}"));
    assert_eq!(edge.get(&playlist).await.0, 200);
    assert_eq!(edge.get(&segment).await.0, 200);
    origin.broken.store(true, Ordering::SeqCst);
    eventually("the playlist is shown although it is stale", async || {
        let answer = edge.request(&playlist).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.headers()["cache-status"].to_str().unwrap().contains("stale").then_some(())
    })
    .await;
    assert_eq!(edge.get(&segment).await.0, 200);
    let answer = edge.request(&format!("/t/{token}/live/acme/news/t1-00c0ffee/720p/8.m4s")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["cache-control"].to_str().unwrap()), (502, "no-store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_behind_an_edge_is_asked_without_a_token_by_those_that_show_the_secret() {
    let farm = Farm::start().await;
    farm.put(SEGMENT, "0123456789").await;
    let secret = || Some(framemill_storage::Secret::new("a secret between edges"));
    let shield_config = EdgeConfig { shield_secret: secret(), ..EdgeConfig::default() };
    let shield = farm.edge_with("shield", shield_config, farm.nats.port).await;
    let edge_config = EdgeConfig { shield_secret: secret(), ..of(vec![format!("edge+{}", shield.url(""))]) };
    let edge = farm.edge_with("edge-1", edge_config, farm.nats.port).await;
    let token = farm.token(&claims(&["/live/acme/news/"]));
    assert_eq!(edge.get(&format!("/t/{token}/{SEGMENT}")).await, (200, "0123456789".to_owned()));
    let path = format!("/{SEGMENT}");
    for (name, value, status) in [
        ("framemill-shield", "a secret between edges", 200),
        ("framemill-shield", "guessed", 401),
        ("framemill-purged", "0", 401),
    ] {
        assert_eq!(shield.request(&path).header(name, value).send().await.unwrap().status(), status, "{name} {value}");
    }
    // A shield that has not heard of a purge says so, and is not believed.
    let ahead =
        shield.request(&path).header("framemill-shield", "a secret between edges").header("framemill-purged", "99");
    assert_eq!(ahead.send().await.unwrap().status(), 503);
}
