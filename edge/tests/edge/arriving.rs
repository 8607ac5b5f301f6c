//! Objects that are passed on while they arrive, and what becomes of viewers when they break off.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use framemill_edge::EdgeConfig;
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use crate::support::{Edge, Farm, SEGMENT, WAIT_MAX, claims, eventually};

/// An origin that sends its one object as far as it is told, and breaks off where it is told.
struct Dribbling {
    address: SocketAddr,
    /// Where each request wanted to begin.
    asked: Arc<Mutex<Vec<usize>>>,
    /// How far it sends.
    upto: watch::Sender<usize>,
    /// From where on it closes the connection instead.
    breaks_at: Arc<AtomicUsize>,
}

impl Dribbling {
    async fn start(body: Vec<u8>, etag: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, breaks_at) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(usize::MAX)));
        let (upto, told) = watch::channel(usize::MAX);
        let (noted, breaks, body) = (Arc::clone(&asked), Arc::clone(&breaks_at), Arc::new(body));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, breaks, body, told) =
                    (Arc::clone(&noted), Arc::clone(&breaks), Arc::clone(&body), told.clone());
                tokio::spawn(async move { answer(stream, &body, etag, &noted, &breaks, told).await });
            }
        });
        Self { address, asked, upto, breaks_at }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> Vec<usize> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request of a connection; `None` when it went away.
async fn answer(
    mut stream: TcpStream,
    body: &[u8],
    etag: &str,
    asked: &Mutex<Vec<usize>>,
    breaks_at: &AtomicUsize,
    mut upto: watch::Receiver<usize>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    if !head.starts_with("get /live/acme/news/") {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.ok()?;
        return None;
    }
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-'));
    let same = head.lines().any(|line| line == format!("if-range: \"{etag}\""));
    let mut at: usize = range.filter(|_| same).map_or(0, |at| at.parse().unwrap());
    asked.lock().unwrap().push(range.map_or(0, |at| at.parse().unwrap()));
    let size = body.len();
    let status = match range.is_some() && same {
        true => format!("206 Partial Content\r\ncontent-range: bytes {at}-{}/{size}", size - 1),
        false => "200 OK".to_owned(),
    };
    let left = size - at;
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {left}\r\netag: \"{etag}\"\r\ncache-control: max-age=99, immutable\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    while at < size {
        let end = (*upto.wait_for(|upto| *upto > at).await.ok()?).min(size).min(breaks_at.load(Ordering::SeqCst));
        if end <= at {
            return None;
        }
        stream.write_all(&body[at..end]).await.ok()?;
        at = end;
    }
    Some(())
}

fn body(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at ^ (at >> 8) ^ (at >> 16)).to_le_bytes()[0]).collect()
}

async fn edge(farm: &Farm, origins: &[&Dribbling]) -> (Arc<Edge>, String) {
    let origins = origins.iter().map(|origin| origin.url()).collect();
    let edge = farm.edge_with("edge-1", EdgeConfig { origins, ..EdgeConfig::default() }, farm.nats.port).await;
    (Arc::new(edge), format!("/t/{}/{SEGMENT}", farm.token(&claims(&["/live/acme/news/"]))))
}

/// The whole of an answer, or that it broke off.
async fn get(edge: &Edge, path: &str) -> Result<Vec<u8>, reqwest::Error> {
    let answer = edge.request(path).send().await?;
    assert_eq!(answer.status(), 200);
    Ok(answer.bytes().await?.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_byte_is_with_the_viewer_before_the_origin_has_sent_the_last() {
    let farm = Farm::start().await;
    let origin = Dribbling::start(body(100_000), "e").await;
    let (edge, path) = edge(&farm, &[&origin]).await;
    origin.upto.send_replace(1000);
    let mut answer = timeout(WAIT_MAX, edge.request(&path).send()).await.unwrap().unwrap();
    let headers = answer.headers().clone();
    assert_eq!((headers["content-length"].to_str().unwrap(), headers["etag"].to_str().unwrap()), ("100000", "\"e\""));
    let mut read = Vec::new();
    while read.len() < 1000 {
        read.extend_from_slice(&timeout(WAIT_MAX, answer.chunk()).await.unwrap().unwrap().unwrap());
    }
    // Part of it, and whether it has changed, can be told meanwhile.
    let part = edge.request(&path).header("range", "bytes=500-509").send().await.unwrap();
    assert_eq!(
        (part.status().as_u16(), part.headers()["content-range"].to_str().unwrap()),
        (206, "bytes 500-509/100000")
    );
    assert_eq!(part.bytes().await.unwrap(), &body(1000)[500..510]);
    let same = edge.request(&path).header("if-none-match", "\"e\"").send().await.unwrap();
    assert_eq!(same.status(), 304);
    let head = reqwest::Client::new().head(edge.url(&path)).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()), (200, "100000"));
    origin.upto.send_replace(usize::MAX);
    while let Some(part) = answer.chunk().await.unwrap() {
        read.extend_from_slice(&part);
    }
    assert!(read == body(100_000));
    eventually("it is kept", async || {
        let answer = edge.request(&path).send().await.unwrap();
        let hit = answer.headers()["cache-status"] == "framemill; hit";
        assert!(answer.bytes().await.unwrap() == body(100_000));
        hit.then_some(())
    })
    .await;
    assert_eq!(origin.asked(), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_viewers_of_what_arrives_are_one_fetch_and_a_slow_one_holds_nobody_back() {
    let farm = Farm::start().await;
    let size = 4_000_000;
    let origin = Dribbling::start(body(size), "e").await;
    let (edge, path) = edge(&farm, &[&origin]).await;
    origin.upto.send_replace(100_000);
    // One who asks, and reads nothing.
    let mut slow = TcpStream::connect(edge.address).await.unwrap();
    slow.write_all(format!("GET {path} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let part = Arc::new(body(size)[..1_000_000].to_vec());
    let viewers: Vec<_> = (0..1000)
        .map(|_| {
            let (edge, path, part) = (Arc::clone(&edge), path.clone(), Arc::clone(&part));
            tokio::spawn(async move {
                let answer = edge.request(&path).header("range", "bytes=0-999999").send().await.unwrap();
                assert_eq!(answer.status(), 206);
                assert!(answer.bytes().await.unwrap() == part.as_slice());
            })
        })
        .collect();
    eventually("the origin is asked", async || (!origin.asked().is_empty()).then_some(())).await;
    origin.upto.send_replace(2_000_000);
    for viewer in join_all(viewers).await {
        viewer.unwrap();
    }
    origin.upto.send_replace(usize::MAX);
    assert!(get(&edge, &path).await.unwrap() == body(size));
    let mut late = Vec::new();
    timeout(WAIT_MAX, slow.read_to_end(&mut late)).await.unwrap().unwrap();
    assert!(late.ends_with(&body(size)));
    assert_eq!(origin.asked(), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_origin_goes_on_where_the_first_broke_off_or_fell_silent() {
    for silent in [false, true] {
        let farm = Farm::start().await;
        let (first, second) = (Dribbling::start(body(100_000), "e").await, Dribbling::start(body(100_000), "e").await);
        let (edge, path) = edge(&farm, &[&first, &second]).await;
        if silent {
            first.upto.send_replace(60_000);
        } else {
            first.breaks_at.store(60_000, Ordering::SeqCst);
        }
        assert!(timeout(WAIT_MAX, get(&edge, &path)).await.unwrap().unwrap() == body(100_000), "{silent}");
        assert_eq!((first.asked(), second.asked()), (vec![0], vec![60_000]), "{silent}");
        assert!(get(&edge, &path).await.unwrap() == body(100_000));
        assert_eq!((first.asked().len(), second.asked().len()), (1, 1), "{silent}: it was kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_finish_is_an_error_for_viewers_and_is_not_kept() {
    let farm = Farm::start().await;
    let first = Dribbling::start(body(100_000), "e").await;
    // Other bytes under the name.
    let second = Dribbling::start(body(100_000).into_iter().rev().collect(), "other").await;
    for origins in [vec![&first], vec![&first, &second]] {
        let (edge, path) = edge(&farm, &origins).await;
        first.breaks_at.store(60_000, Ordering::SeqCst);
        assert!(get(&edge, &path).await.is_err(), "a part is no whole");
        first.breaks_at.store(usize::MAX, Ordering::SeqCst);
        let before = first.asked().len();
        assert!(get(&edge, &path).await.unwrap() == body(100_000));
        assert_eq!(first.asked().len(), before + 1, "it was not kept");
        Arc::into_inner(edge).unwrap().end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_while_it_arrives_leaves_those_who_read_alone_and_keeps_nothing() {
    let farm = Farm::start().await;
    let origin = Dribbling::start(body(100_000), "e").await;
    let (edge, path) = edge(&farm, &[&origin]).await;
    origin.upto.send_replace(1000);
    let mut answer = edge.request(&path).send().await.unwrap();
    let place = farm.purge(&["channel:acme/news"], false).await;
    eventually("it is acknowledged", async || (farm.applied("edge-1").await >= place).then_some(())).await;
    let other = tokio::spawn({
        let (edge, path) = (Arc::clone(&edge), path.clone());
        async move { get(&edge, &path).await }
    });
    eventually("it is fetched anew", async || (origin.asked().len() == 2).then_some(())).await;
    origin.upto.send_replace(usize::MAX);
    let mut read = Vec::new();
    while let Some(part) = timeout(Duration::from_secs(30), answer.chunk()).await.unwrap().unwrap() {
        read.extend_from_slice(&part);
    }
    assert!(read == body(100_000) && other.await.unwrap().unwrap() == body(100_000));
    assert_eq!(origin.asked(), [0, 0]);
}
