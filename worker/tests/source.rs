//! The source reader against web servers that misbehave, a real store, and files.
#![allow(clippy::unwrap_used, clippy::result_large_err)]

mod upstream;

use std::{
    collections::HashSet,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use framemill_schemas::{
    failure::{Class, Failure},
    source::Source,
};
use framemill_storage::{Meta, S3Config, Secret, Store, embedded};
use framemill_worker::source::{Limits, OpenSource, SourceReader, SourcesConfig};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use upstream::{Asked, Reply, Then, Upstream, cut, part, status};

/// Longest wait for anything here.
const BOUND: Duration = Duration::from_secs(30);
/// Larger than what is kept of a source, and no whole number of blocks.
const CONTENT_BYTES: usize = 11 * 1024 * 1024 + 12_345;

struct Bench {
    reader: SourceReader,
    store: Store,
    place: TempDir,
    _stop: DropGuard,
}

impl Bench {
    async fn new(mut config: SourcesConfig) -> Self {
        let place = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let (access, secret) = (Secret::from("access"), Secret::from("secret-secret"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let s3 = S3Config {
            endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
            access_key: Some(access.clone()),
            secret_key: Some(secret.clone()),
            create_bucket: true,
            ..S3Config::default()
        };
        let root = place.path().join("store");
        let stopped = stop.clone();
        tokio::spawn(async move { embedded::serve(&root, listener, &access, &secret, stopped).await });
        let store = Store::connect(&s3).await.unwrap();
        config.folders.push(place.path().join("media"));
        std::fs::create_dir(place.path().join("media")).unwrap();
        let limits = Limits {
            connect: Duration::from_millis(500),
            silence: Duration::from_millis(300),
            block: Duration::from_secs(5),
            tries: 3,
            pause: Duration::from_millis(5),
        };
        let reader = SourceReader::start_with(&config, limits, store.clone(), stop.clone()).await.unwrap();
        Self { reader, store, place, _stop: stop.drop_guard() }
    }

    /// For tests of what a server does, which is on a loopback address here.
    async fn trusting() -> Self {
        Self::new(SourcesConfig { allow_hosts: vec!["127.0.0.1".to_owned()], ..SourcesConfig::default() }).await
    }

    async fn open(&self, source: &Source) -> Result<OpenSource, Failure> {
        timeout(BOUND, self.reader.open(source, None)).await.unwrap()
    }

    async fn open_http(&self, url: &str) -> Result<OpenSource, Failure> {
        self.open(&Source::Http(url.to_owned())).await
    }
}

/// Bytes of which every piece is another one.
fn content() -> Vec<u8> {
    let mut state = 7_u64;
    (0..CONTENT_BYTES)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
    /// Whether the body was as long as announced.
    whole: bool,
}

/// One request, as ffmpeg makes it.
async fn ask(url: &str, method: &str, range: Option<&str>) -> Answer {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let range = range.map(|range| format!("Range: {range}\r\n")).unwrap_or_default();
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} /{path} HTTP/1.1\r\nHost: {address}\r\n{range}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        // A reset after the body counts as its end, as it does for ffmpeg.
        let _ = stream.read_to_end(&mut bytes).await;
        bytes
    };
    let bytes = timeout(BOUND, talk).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let body = bytes[end..].to_vec();
    let whole = method == "HEAD" || length == Some(body.len());
    Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body, whole }
}

async fn get(url: &str, range: &str) -> Answer {
    ask(url, "GET", Some(range)).await
}

fn assert_failure(failure: &Failure, code: &str, class: Class) {
    assert_eq!((failure.code.as_str(), failure.class), (code, class), "{failure:?}");
    assert!(failure.mend.is_some(), "{failure:?}");
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
}

/// The listener answers as a web server should, whatever stands behind it.
async fn assert_serves(source: &OpenSource, content: &[u8]) {
    let size = content.len();
    assert_eq!(source.bytes(), size as u64);
    let whole = ask(source.url(), "GET", None).await;
    assert_eq!((whole.status, whole.whole), (200, true));
    assert!(whole.body == content, "the whole is the whole");
    assert!(whole.head.contains("accept-ranges: bytes"), "{}", whole.head);
    for (range, expected) in [
        ("bytes=0-".to_owned(), 0..size),
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=262143-262144".to_owned(), 262_143..262_145),
        (format!("bytes={}-", size - 1), size - 1..size),
        (format!("bytes={}-{}", size / 2, size * 2), size / 2..size),
        ("bytes=-1000".to_owned(), size - 1000..size),
    ] {
        let part = get(source.url(), &range).await;
        assert_eq!((part.status, part.whole), (206, true), "{range}");
        assert!(part.body == content[expected.clone()], "{range}");
        let said = format!("content-range: bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert!(part.head.contains(&said), "{range}: {}", part.head);
        let head = ask(source.url(), "HEAD", Some(&range)).await;
        assert_eq!((head.status, head.body.len()), (206, 0), "{range}");
        assert!(head.head.contains(&format!("content-length: {}", expected.len())), "{}", head.head);
    }
    let beyond = get(source.url(), &format!("bytes={size}-")).await;
    assert_eq!(beyond.status, 416);
    assert!(beyond.head.contains(&format!("content-range: bytes */{size}")), "{}", beyond.head);
    let post = ask(source.url(), "POST", None).await;
    assert_eq!(post.status, 405);
    assert_eq!(source.fault(), None);
}

#[tokio::test]
async fn every_kind_of_source_is_read_by_ranges() {
    let bench = Bench::trusting().await;
    let content = content();

    let path = bench.place.path().join("media/a.mp4");
    std::fs::write(&path, &content).unwrap();
    let file = bench.open(&Source::Path(path.clone())).await.unwrap();
    assert_serves(&file, &content).await;

    let served = content.clone();
    let server = Upstream::start(move |asked| part(asked, &served, "\"1\"")).await;
    let http = bench.open_http(&server.url("/a.mp4?X-Amz-Signature=hunter2")).await.unwrap();
    assert_serves(&http, &content).await;

    bench.store.put_new("in/a.mp4", Bytes::from(content.clone()), &Meta::default()).await.unwrap();
    let object = Source::S3 { bucket: bench.store.bucket().to_owned(), key: "in/a.mp4".to_owned() };
    let object = bench.open(&object).await.unwrap();
    assert_serves(&object, &content).await;

    let identities = [file.identity(), http.identity(), object.identity()];
    assert_eq!(identities.iter().collect::<HashSet<_>>().len(), 3);
    let reader = &bench.reader;
    let again = reader.open(&Source::Path(path.clone()), Some(file.identity())).await.unwrap();
    assert_ne!(again.url(), file.url(), "no address is given twice");
    let other = reader.open(&Source::Path(path), Some(http.identity())).await.unwrap_err();
    assert_failure(&other, "source-changed", Class::Input);
}

#[tokio::test]
async fn an_address_ends_with_its_source_and_cannot_be_guessed() {
    let bench = Bench::trusting().await;
    let path = bench.place.path().join("media/a.mp4");
    std::fs::write(&path, b"film").unwrap();
    let source = bench.open(&Source::Path(path)).await.unwrap();
    let url = source.url().to_owned();
    assert_eq!(get(&url, "bytes=0-").await.body, b"film");
    let (base, name) = url.rsplit_once('/').unwrap();
    assert_eq!(name.len(), 32);
    for other in ["", "0", "../etc/passwd", "etc/passwd"] {
        assert_eq!(get(&format!("{base}/{other}"), "bytes=0-").await.status, 404, "{other}");
    }
    drop(source);
    assert_eq!(get(&url, "bytes=0-").await.status, 404);
}

#[tokio::test]
async fn many_ranges_at_once_are_each_right() {
    let bench = Bench::trusting().await;
    let content = content();
    let served = content.clone();
    let server = Upstream::start(move |asked| part(asked, &served, "\"1\"")).await;
    let source = bench.open_http(&server.url("/a.mp4")).await.unwrap();
    let reads = (0..24).map(|i| {
        let (url, start) = (source.url().to_owned(), i * 431_007);
        tokio::spawn(async move { (start, get(&url, &format!("bytes={start}-{}", start + 700_000)).await) })
    });
    for read in reads.collect::<Vec<_>>() {
        let (start, answer) = read.await.unwrap();
        assert!(answer.body == content[start..content.len().min(start + 700_001)], "at {start}");
    }
    assert_eq!(source.fault(), None);
}

#[tokio::test]
async fn seeking_back_and_forth_asks_little() {
    let bench = Bench::trusting().await;
    let content = content();
    let served = content.clone();
    let server = Upstream::start(move |asked| part(asked, &served, "\"1\"")).await;
    let source = bench.open_http(&server.url("/a.mp4")).await.unwrap();
    // Both ends of a file in turns, as with sound stored far from its picture.
    for turn in 0..20_usize {
        for place in [0, 8_000_000] {
            let start = place + turn * 10_000;
            let answer = get(source.url(), &format!("bytes={start}-{}", start + 9_999)).await;
            assert!(answer.body == content[start..start + 10_000]);
        }
    }
    assert!(server.asked().len() <= 5, "{:?}", server.asked());
    // One long read is a few large requests.
    let before = server.asked().len();
    get(source.url(), "bytes=0-").await;
    assert!(server.asked().len() - before <= 12, "{:?}", server.asked());
}

#[tokio::test]
async fn loopback_and_private_addresses_are_refused() {
    let server = Upstream::start(|asked| part(asked, b"secret", "\"1\"")).await;
    let bench = Bench::new(SourcesConfig::default()).await;
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0"] {
        let failure = bench.open_http(&format!("http://{host}:{port}/a?token=hunter2")).await.unwrap_err();
        assert_failure(&failure, "source-refused", Class::Input);
    }
    assert!(server.asked().is_empty(), "it was never asked");

    let by_name = SourcesConfig { allow_hosts: vec!["LOCALHOST".to_owned()], ..SourcesConfig::default() };
    let bench = Bench::new(by_name).await;
    bench.open_http(&format!("http://localhost:{port}/a")).await.unwrap();
    let failure = bench.open_http(&server.url("/a")).await.unwrap_err();
    assert_failure(&failure, "source-refused", Class::Input);

    let bench = Bench::new(SourcesConfig { allow_private: true, ..SourcesConfig::default() }).await;
    bench.open_http(&server.url("/a")).await.unwrap();
}

#[tokio::test]
async fn every_hop_of_a_redirect_is_checked() {
    let redirects = |asked: &Asked| match asked.path.split_once('?').map_or(asked.path.as_str(), |(path, _)| path) {
        "/metadata" => status("302 Found", "Location: http://169.254.169.254/latest/meta-data/?hunter2\r\n"),
        "/name" => status("307 Temporary Redirect", "Location: http://localhost:1/x?hunter2\r\n"),
        "/file" => status("301 Moved Permanently", "Location: file:///etc/passwd\r\n"),
        "/credentials" => status("301 Moved Permanently", "Location: http://user:hunter2@127.0.0.1/\r\n"),
        "/loop" => status("302 Found", "Location: /loop\r\n"),
        "/nowhere" => status("302 Found", ""),
        "/1" => status("302 Found", "Location: /2?signature=hunter2\r\n"),
        "/2" => status("308 Permanent Redirect", "Location: good\r\n"),
        "/good" => part(asked, b"film", "\"1\""),
        _ => status("404 Not Found", ""),
    };
    let server = Upstream::start(redirects).await;
    let bench = Bench::trusting().await;
    for (path, code) in [
        ("/metadata", "source-refused"),
        ("/name", "source-refused"),
        ("/file", "source-redirect"),
        ("/credentials", "source-redirect"),
        ("/loop", "source-redirect"),
        ("/nowhere", "source-rejected"),
        ("/gone", "source-missing"),
    ] {
        let failure = bench.open_http(&server.url(path)).await.unwrap_err();
        assert_failure(&failure, code, Class::Input);
        assert!(failure.reason.contains(path), "the submitted address is named: {}", failure.reason);
    }
    let loops = server.asked().iter().filter(|asked| asked.path == "/loop").count();
    assert_eq!(loops, 6, "the address and five redirects");
    let source = bench.open_http(&server.url("/1")).await.unwrap();
    assert_eq!(get(source.url(), "bytes=1-2").await.body, b"il");
}

#[tokio::test]
async fn a_place_that_expired_is_looked_up_again() {
    let content = content();
    // Each place that the address leads to serves three requests.
    let behave = move |asked: &Asked| match asked.path.strip_prefix("/place/") {
        None => status("302 Found", &format!("Location: /place/{}\r\n", asked.before)),
        Some(since) if asked.before - since.parse::<usize>().unwrap() > 3 => status("403 Forbidden", ""),
        Some(_) => part(asked, &content, "\"1\""),
    };
    let server = Upstream::start(behave).await;
    let bench = Bench::trusting().await;
    let source = bench.open_http(&server.url("/a.mp4")).await.unwrap();
    let answer = get(source.url(), "bytes=0-").await;
    assert_eq!((answer.whole, answer.body.len()), (true, CONTENT_BYTES));
    assert_eq!(source.fault(), None);
    assert!(server.asked().iter().filter(|asked| asked.path == "/a.mp4").count() > 1);
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let server = Upstream::start(|asked| match asked.path.trim_end_matches("?key=hunter2") {
        "/whole" => Reply {
            head: "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n".to_owned(),
            body: b"film".to_vec(),
            then: Then::Keep,
        },
        "/empty" => status("200 OK", ""),
        "/empty-ranges" => status("416 Range Not Satisfiable", "Content-Range: bytes */0\r\n"),
        "/forbidden" => status("403 Forbidden", ""),
        "/gone" => status("410 Gone", ""),
        "/down" => status("503 Service Unavailable", ""),
        "/noise" => Reply { head: "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), body: Vec::new(), then: Then::Close },
        "/stands" => Reply { head: String::new(), body: Vec::new(), then: Then::Stand },
        _ => status("404 Not Found", ""),
    })
    .await;
    let bench = Bench::trusting().await;
    for (path, code, class, asked) in [
        ("/whole", "source-no-ranges", Class::Input, 1),
        ("/empty", "source-empty", Class::Input, 1),
        ("/empty-ranges", "source-empty", Class::Input, 1),
        ("/forbidden", "source-forbidden", Class::Input, 1),
        ("/missing", "source-missing", Class::Input, 1),
        ("/gone", "source-missing", Class::Input, 1),
        ("/down", "source-unavailable", Class::Transient, 3),
        ("/noise", "source-interrupted", Class::Transient, 3),
    ] {
        let before = server.asked().len();
        let failure = bench.open_http(&server.url(&format!("{path}?key=hunter2"))).await.unwrap_err();
        assert_failure(&failure, code, class);
        assert!(failure.reason.contains(path), "{}", failure.reason);
        assert_eq!(server.asked().len() - before, asked, "{path}");
    }
    let failure = bench.open_http(&server.url("/stands")).await.unwrap_err();
    assert_failure(&failure, "source-stalled", Class::Transient);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = bench.open_http(&format!("http://{closed}/x?key=hunter2")).await.unwrap_err();
    assert_failure(&failure, "source-unreachable", Class::Transient);
    let failure = bench.open_http("http://a b/x").await.unwrap_err();
    assert_failure(&failure, "source-malformed", Class::Input);

    for (path, code) in [
        (bench.place.path().join("media/missing.mp4"), "source-missing"),
        (bench.place.path().join("media"), "source-not-a-file"),
        (PathBuf::from("/etc/passwd"), "source-refused"),
    ] {
        assert_failure(&bench.open(&Source::Path(path)).await.unwrap_err(), code, Class::Input);
    }
    let object = |bucket: &str, key: &str| Source::S3 { bucket: bucket.to_owned(), key: key.to_owned() };
    let failure = bench.open(&object(bench.store.bucket(), "in/missing.mp4")).await.unwrap_err();
    assert_failure(&failure, "source-missing", Class::Input);
    bench.store.put_new("in/empty.mp4", Bytes::new(), &Meta::default()).await.unwrap();
    let failure = bench.open(&object(bench.store.bucket(), "in/empty.mp4")).await.unwrap_err();
    assert_failure(&failure, "source-empty", Class::Input);
}

#[tokio::test]
async fn a_read_that_breaks_off_goes_on_where_it_was() {
    let content = content();
    let served = content.clone();
    // Every second answer breaks off or stands still, at another byte each time; some fail.
    let behave = move |asked: &Asked| match asked.before % 6 {
        1 => cut(asked, &served, "\"1\"", 100_000 + asked.before * 7_777, Then::Close),
        3 => cut(asked, &served, "\"1\"", 33_333, Then::Stand),
        5 => status("503 Service Unavailable", ""),
        _ => part(asked, &served, "\"1\""),
    };
    let server = Upstream::start(behave).await;
    let bench = Bench::trusting().await;
    let source = bench.open_http(&server.url("/a.mp4")).await.unwrap();
    let answer = get(source.url(), "bytes=0-").await;
    assert!(answer.whole && answer.body == content);
    assert_eq!(source.fault(), None);
    assert_eq!(source.explanation(), None);
    assert!(server.asked().len() > 4);
}

#[tokio::test]
async fn a_source_that_fails_in_the_middle_leaves_its_reason() {
    let content = content();
    const WHERE: usize = 3_000_001;
    let misbehave = move |asked: &Asked| {
        let (first, last) = (asked.range.0 as usize, asked.range.1 as usize);
        let good = part(asked, &content, "\"1\"");
        if last < WHERE {
            return good;
        }
        let keep = WHERE.saturating_sub(first);
        match asked.path.as_str() {
            "/truncated" => cut(asked, &content, "\"1\"", keep, Then::Close),
            "/stands" => cut(asked, &content, "\"1\"", keep, Then::Stand),
            "/changed" => part(asked, &content, "\"2\""),
            "/grown" => part(asked, &[&content[..], b"x"].concat(), "\"1\""),
            "/shrunk" => status("416 Range Not Satisfiable", "Content-Range: bytes */10\r\n"),
            "/gone" => status("404 Not Found", ""),
            "/forbidden" => status("403 Forbidden", ""),
            "/down" => status("500 Internal Server Error", ""),
            "/emptied" => status("200 OK", ""),
            path => panic!("{path}"),
        }
    };
    let server = Upstream::start(misbehave).await;
    let bench = Bench::trusting().await;
    for (path, code, class) in [
        ("/truncated", "source-truncated", Class::Input),
        ("/stands", "source-stalled", Class::Transient),
        ("/changed", "source-changed", Class::Input),
        ("/grown", "source-changed", Class::Input),
        ("/shrunk", "source-changed", Class::Input),
        ("/gone", "source-missing", Class::Input),
        ("/forbidden", "source-forbidden", Class::Input),
        ("/down", "source-unavailable", Class::Transient),
        ("/emptied", "source-changed", Class::Input),
    ] {
        let source = bench.open_http(&server.url(path)).await.unwrap();
        assert_eq!(source.fault(), None);
        let answer = get(source.url(), "bytes=0-").await;
        assert!(!answer.whole && answer.body.len() <= WHERE, "{path}: {} bytes came", answer.body.len());
        let fault = source.fault().expect(path);
        assert_failure(&fault, code, class);
        if class == Class::Input {
            let before = server.asked().len();
            assert_eq!(get(source.url(), "bytes=0-").await.status, 502, "{path}");
            assert_eq!(server.asked().len(), before, "a source that is at fault is not asked again");
        }
    }
}

#[tokio::test]
async fn a_passing_outage_passes() {
    let content = content();
    let down = Arc::new(AtomicBool::new(false));
    let (served, outage) = (content.clone(), Arc::clone(&down));
    let server = Upstream::start(move |asked| {
        if outage.load(Ordering::SeqCst) { status("502 Bad Gateway", "") } else { part(asked, &served, "\"1\"") }
    })
    .await;
    let bench = Bench::trusting().await;
    let source = bench.open_http(&server.url("/a.mp4")).await.unwrap();
    down.store(true, Ordering::SeqCst);
    assert_eq!(get(source.url(), "bytes=5000000-").await.status, 502);
    assert_failure(&source.fault().unwrap(), "source-unavailable", Class::Transient);
    down.store(false, Ordering::SeqCst);
    let answer = get(source.url(), "bytes=5000000-").await;
    assert!(answer.whole && answer.body == content[5_000_000..]);
}

#[tokio::test]
async fn a_server_that_drips_is_given_up() {
    let content = content();
    let server = Upstream::start(move |asked| {
        // Whole answers, each of a few bytes: never an error, and never an end.
        let asked = Asked { range: (asked.range.0, asked.range.0 + 99), ..asked.clone() };
        part(&asked, &content, "\"1\"")
    })
    .await;
    let bench = Bench::trusting().await;
    let failure = bench.open_http(&server.url("/a.mp4")).await.unwrap_err();
    assert_failure(&failure, "source-no-ranges", Class::Input);
    assert!(server.asked().len() < 100, "{}", server.asked().len());
}

#[tokio::test]
async fn an_object_that_is_replaced_is_noticed() {
    let bench = Bench::trusting().await;
    let content = content();
    let key = "in/a.mp4";
    bench.store.put_new(key, Bytes::from(content.clone()), &Meta::default()).await.unwrap();
    let object = Source::S3 { bucket: bench.store.bucket().to_owned(), key: key.to_owned() };
    let source = bench.open(&object).await.unwrap();
    let answer = get(source.url(), "bytes=0-99").await;
    assert!(answer.body == content[..100]);
    bench.store.delete(&[key.to_owned()]).await.unwrap();
    let mut other = content;
    other.reverse();
    bench.store.put_new(key, Bytes::from(other), &Meta::default()).await.unwrap();
    assert_eq!(get(source.url(), "bytes=9000000-").await.status, 502);
    assert_failure(&source.fault().unwrap(), "source-changed", Class::Input);
    let failure = bench.reader.open(&object, Some(source.identity())).await.unwrap_err();
    assert_failure(&failure, "source-changed", Class::Input);
}

/// An ffmpeg tool as workers find it.
fn tool(name: &str, setting: &str) -> tokio::process::Command {
    let program = std::env::var_os(setting).unwrap_or_else(|| name.into());
    let mut command = tokio::process::Command::new(program);
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn output(command: &mut tokio::process::Command) -> (bool, String) {
    let output = timeout(BOUND, command.output()).await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn ffmpeg_reads_and_seeks_through_the_reader() {
    let bench = Bench::trusting().await;
    let film = bench.place.path().join("film.mp4");
    let made = output(
        tool("ffmpeg", "FRAMEMILL_FFMPEG__FFMPEG")
            .args([
                "-nostdin",
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                "testsrc=size=320x180:rate=25,noise=alls=30:allf=t",
                "-t",
                "20",
            ])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-qp", "20", "-g", "50"])
            .arg(&film),
    )
    .await;
    assert!(made.0, "{}", made.1);
    let content = std::fs::read(&film).unwrap();
    assert!(content.len() > 2_000_000, "its index is at the end, far from the beginning");
    let served = content.clone();
    let server = Upstream::start(move |asked| match asked.path.as_str() {
        "/cut" if asked.range.1 > 1_000_000 && asked.range.0 < 1_500_000 => {
            let keep = 1_000_000_usize.saturating_sub(asked.range.0 as usize);
            cut(asked, &served, "\"1\"", keep, Then::Close)
        }
        _ => part(asked, &served, "\"1\""),
    })
    .await;
    let frames = |url: &str, seek: &str| {
        let mut command = tool("ffprobe", "FRAMEMILL_FFMPEG__FFPROBE");
        command
            .args(["-v", "error", "-protocol_whitelist", "http,tcp", "-format_whitelist", "mov"])
            .args(["-select_streams", "v:0", "-count_packets", "-show_entries", "stream=nb_read_packets"])
            .args(["-of", "csv=p=0", "-read_intervals", seek, url]);
        command
    };

    let source = bench.open_http(&server.url("/film")).await.unwrap();
    let (good, said) = output(&mut frames(source.url(), "0%")).await;
    assert_eq!((good, said.trim()), (true, "500"));
    let (good, said) = output(&mut frames(source.url(), "10%+2")).await;
    assert!(good && said.trim().parse::<u32>().unwrap() >= 50, "{said}");
    assert_eq!(source.fault(), None);

    let source = bench.open_http(&server.url("/cut")).await.unwrap();
    let (_, said) = output(&mut frames(source.url(), "0%")).await;
    assert_ne!(said.trim(), "500");
    assert_failure(&source.fault().unwrap(), "source-truncated", Class::Input);
}
