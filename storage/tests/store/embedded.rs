//! What the embedded store does beyond the suite: conditions, crashes, a locked folder, and the
//! operations that other tools use.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use framemill_storage::{Checksums, Classes, Limits, Meta, Put, S3Config, Store, StoreError, embedded};
use futures_util::{StreamExt, stream};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Mutex,
};
use tokio_util::sync::CancellationToken;

use crate::{
    local::{ACCESS, Local, Process, SECRET, config, free_ports, wait_until},
    suite,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_passes_the_suite() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::start(root.path()).await;
    suite::run(&local.config()).await;
    Store::connect(&S3Config { checksums: Checksums::Always, ..local.config() }).await.unwrap();
    local.stop().await;
    let bucket = root.path().join("buckets/framemill-test");
    assert_eq!(fs::read_dir(bucket).unwrap().count(), 0, "no folder is left where nothing is");
    assert_eq!(fs::read_dir(root.path().join("incoming")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_and_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::start(root.path()).await;
    let owner = Store::connect(&local.config()).await.unwrap();
    let key = "live/demo/news/master.m3u8";
    owner.put_new(key, Bytes::from("1"), &Meta::default()).await.unwrap();
    let (access, secret) = embedded::reader(&ACCESS.into(), &SECRET.into());
    let reading = S3Config { access_key: Some(access.clone()), secret_key: Some(secret), ..local.config() };
    let reader = Store::open(&reading).unwrap();
    assert_eq!(reader.get(key).await.unwrap().unwrap().body, "1");
    assert!(reader.get("live/demo/news/other.m3u8").await.unwrap().is_none());
    assert!(reader.put_new("live/demo/news/other.m3u8", Bytes::from("2"), &Meta::default()).await.is_err());
    assert!(reader.delete(&[key.to_owned()]).await.is_err());
    assert_eq!(owner.get(key).await.unwrap().unwrap().body, "1");
    let guessed = S3Config { access_key: Some(access), secret_key: Some(SECRET.into()), ..local.config() };
    assert!(Store::open(&guessed).unwrap().get(key).await.is_err());
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_is_put_with_its_class_and_nothing_else_is() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::start(root.path()).await;
    let classes = Classes { live: Some("ONEZONE_IA".to_owned()), title: Some("GLACIER_IR".to_owned()) };
    let store = Store::connect(&S3Config { classes, ..local.config() }).await.unwrap();
    assert_eq!(store.list("framemill-trial/").await.unwrap(), [], "the trial leaves nothing behind");
    let client = client(&local);
    for (key, class) in [
        ("live/demo/news/t1-00c0ffee/360p/7.m4s", Some("ONEZONE_IA")),
        ("live/demo/news/master.m3u8", None),
        ("vod/demo/a/g1-00c0ffee/360p/init.mp4", Some("GLACIER_IR")),
        ("vod/demo/a/g1-00c0ffee/index.json", None),
    ] {
        let Put::Created(put) = store.put_new(key, Bytes::from("1"), &Meta::default()).await.unwrap() else {
            panic!("{key} was free")
        };
        let class_of = async || {
            let head = client.head_object().bucket(store.bucket()).key(key).send().await.unwrap();
            head.storage_class.map(|class| class.as_str().to_owned())
        };
        assert_eq!(class_of().await.as_deref(), class, "{key}");
        // One that replaces another has it too.
        assert!(store.put_match(key, Bytes::from("2"), &Meta::default(), &put.etag).await.unwrap().is_some());
        assert_eq!(class_of().await.as_deref(), class, "{key}");
    }
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_outlive_the_process_and_the_folder_has_one_owner() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::start(root.path()).await;
    let store = Store::connect(&local.config()).await.unwrap();
    let meta = Meta { job_key: Some("k".to_owned()), ..Meta::default() };
    let put = store.put_new("a/b.m4s", Bytes::from("bytes"), &meta).await.unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let second = embedded::serve(root.path(), listener, &ACCESS.into(), &SECRET.into(), CancellationToken::new()).await;
    let error = second.unwrap_err();
    assert!(matches!(error, embedded::EmbeddedError::Locked { .. }), "{error}");
    local.stop().await;

    let local = Local::start(root.path()).await;
    let store = Store::connect(&local.config()).await.unwrap();
    let object = store.get("a/b.m4s").await.unwrap().unwrap();
    assert_eq!(object.body, "bytes");
    assert_eq!(object.stored, *put.stored());
    assert_eq!(object.meta.job_key.as_deref(), Some("k"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_store_keeps_what_it_acknowledged_and_shows_no_half_object() {
    let root = tempfile::tempdir().unwrap();
    let [port] = free_ports();
    let address = ([127, 0, 0, 1], port).into();
    let limits = Limits { connect_ms: 500, answer_ms: 2000, stall_ms: 1000, attempts: 1, outage_ms: 0 };
    let config = S3Config { limits, ..config(address) };
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    for life in 0..3 {
        let process = Process::start(root.path(), address).await;
        let store = Store::connect(&config).await.unwrap();
        let puts = {
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                stream::iter(0..)
                    .map(|number: u32| {
                        let store = store.clone();
                        async move {
                            let body = Bytes::from(vec![number as u8; 200_000 + number as usize]);
                            store.put_new(&format!("life{life}/{number}.m4s"), body, &Meta::default()).await
                        }
                    })
                    .buffer_unordered(8)
                    .take_while(|put| std::future::ready(put.is_ok()))
                    .for_each(|put| async {
                        if let Ok(Put::Created(stored)) = put {
                            acknowledged.lock().await.push(stored);
                        }
                    })
                    .await;
            })
        };
        let enough = (life + 1) * 40;
        wait_until("puts are under way", Duration::from_secs(30), async || acknowledged.lock().await.len() >= enough)
            .await;
        process.kill();
        puts.await.unwrap();
    }
    let local = Local::start(root.path()).await;
    let store = Store::connect(&local.config()).await.unwrap();
    let listed = store.list("life").await.unwrap();
    for object in &listed {
        let object = store.get(&object.key).await.unwrap().unwrap();
        assert_eq!(object.stored.digest, object.meta.digest, "{} is whole", object.stored.key);
    }
    let listed: HashSet<_> = listed.into_iter().map(|listed| (listed.key, listed.etag)).collect();
    for stored in acknowledged.lock().await.iter() {
        assert!(listed.contains(&(stored.key.clone(), stored.etag.clone())), "{} is there", stored.key);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stderr)]
async fn a_full_disk_is_told_and_harms_nothing() {
    let root = tempfile::tempdir().unwrap();
    let [port] = free_ports();
    let address = ([127, 0, 0, 1], port).into();
    let Some(_process) = Process::start_on_a_small_disk(root.path(), address).await else {
        eprintln!("not run: this system lets nobody mount a small disk");
        return;
    };
    let store = Store::connect(&config(address)).await.unwrap();
    let body = Bytes::from(vec![7; 3_000_000]);
    let mut stored = Vec::new();
    let error = loop {
        assert!(stored.len() < 10, "16 MB hold no more");
        match store.put_new(&format!("full/{}.m4s", stored.len()), body.clone(), &Meta::default()).await {
            Ok(put) => stored.push(put.stored().clone()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert_eq!(stored.len(), 5);
    // What is there is whole, nothing else is, and room made is room had.
    assert_eq!(store.list("full/").await.unwrap().len(), 5);
    for object in &stored {
        assert_eq!(store.get(&object.key).await.unwrap().unwrap().stored, *object);
    }
    store.delete(&[stored[0].key.clone()]).await.unwrap();
    let put = store.put_new("full/again.m4s", body, &Meta::default()).await.unwrap();
    assert!(matches!(put, Put::Created(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_in_the_middle_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::start(root.path()).await;
    let client = client(&local);
    client.create_bucket().bucket("bucket").send().await.unwrap();
    let put = client.put_object().bucket("bucket").key("half").content_length(1_000_000);
    let put = put.presigned(presigning()).await.unwrap();
    let address = local.address;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let path = put.uri().split_once(&address.to_string()).unwrap().1;
    let head = format!("PUT {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 1000000\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![7; 500_000]).await.unwrap();
    let incoming = root.path().join("incoming");
    let receiving = async || fs::read_dir(&incoming).unwrap().count() == 1;
    wait_until("the body is being received", Duration::from_secs(10), receiving).await;
    drop(socket);
    let gone = async || fs::read_dir(&incoming).unwrap().count() == 0;
    wait_until("what came of it is gone", Duration::from_secs(10), gone).await;
    assert_eq!(client.list_objects_v2().bucket("bucket").send().await.unwrap().key_count(), Some(0));
}

fn presigning() -> aws_sdk_s3::presigning::PresigningConfig {
    aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_secs(60)).unwrap()
}

fn client(local: &Local) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(ACCESS, SECRET, None, None, "test"))
        .endpoint_url(format!("http://{}", local.address))
        .force_path_style(true)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

fn status<E, R>(result: Result<R, SdkError<E>>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(error) => error.raw_response().unwrap().status().as_u16(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_reads_and_writes() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::start(root.path()).await;
    let client = client(&local);
    client.create_bucket().bucket("bucket").send().await.unwrap();
    let put = || client.put_object().bucket("bucket").key("key").body(ByteStream::from_static(b"0123456789"));
    let etag = put().send().await.unwrap().e_tag().unwrap().to_owned();
    let get = || client.get_object().bucket("bucket").key("key");
    let head = || client.head_object().bucket("bucket").key("key");

    let unchanged = get().if_none_match(&etag).send().await.unwrap_err();
    let unchanged = unchanged.raw_response().unwrap();
    assert_eq!(unchanged.status().as_u16(), 304);
    assert_eq!(unchanged.headers().get("etag"), Some(etag.as_str()));
    assert_eq!(status(head().if_none_match(&etag).send().await), 304);
    assert_eq!(status(get().if_none_match("\"other\"").send().await), 200);
    assert_eq!(status(get().if_match("\"other\"").send().await), 412);
    assert_eq!(status(get().if_match(&etag).send().await), 200);
    assert_eq!(status(put().if_none_match("*").send().await), 412);
    assert_eq!(status(put().if_match("\"other\"").send().await), 412);
    assert_eq!(status(put().key("none").if_match(&etag).send().await), 404);
    assert_eq!(status(put().if_match(&etag).send().await), 200);
    assert_eq!(status(put().content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await), 400);
    assert_eq!(status(get().range("bytes=10-").send().await), 416);
    let suffix = get().range("bytes=-3").send().await.unwrap();
    assert_eq!(suffix.content_range(), Some("bytes 7-9/10"));
    assert_eq!(suffix.body.collect().await.unwrap().into_bytes(), "789");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_keys_never_leave_the_folder() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::start(&root.path().join("store")).await;
    let client = client(&local);
    client.create_bucket().bucket("bucket").send().await.unwrap();
    let long = "k".repeat(1025);
    let part = format!("{}/x", "k".repeat(300));
    for key in ["../x", "a/../../../x", "..", "/x", "a\0b", "a//b", "a/", long.as_str(), part.as_str()] {
        let put = client.put_object().bucket("bucket").key(key).body(ByteStream::from_static(b"x")).send().await;
        // The SDK itself does not even send some of them.
        if let Err(error) = &put
            && let Some(answer) = error.raw_response()
        {
            assert_eq!(answer.status().as_u16(), 400, "{key:?} {:?}", error.code());
        }
        assert!(put.is_err(), "{key:?}");
    }
    for bucket in ["..", "../x"] {
        assert!(client.create_bucket().bucket(bucket).send().await.is_err());
    }
    let names: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["store"]);
    assert_eq!(files(&root.path().join("store/buckets")), 0);
}

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tools_can_copy_list_folders_and_upload_in_parts() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::start(root.path()).await;
    let client = client(&local);
    client.create_bucket().bucket("bucket").send().await.unwrap();
    assert_eq!(status(client.create_bucket().bucket("bucket").send().await), 409);

    let upload = client.create_multipart_upload().bucket("bucket").key("dir/film.mp4").content_type("video/mp4");
    let upload = upload.metadata("note", "kept").send().await.unwrap();
    let id = upload.upload_id().unwrap();
    let mut parts = CompletedMultipartUpload::builder();
    let bodies = [vec![1; 5 * 1024 * 1024], vec![2; 1000]];
    for (number, body) in (1..).zip(&bodies) {
        let part = client.upload_part().bucket("bucket").key("dir/film.mp4").upload_id(id).part_number(number);
        let part = part.body(ByteStream::from(body.clone())).send().await.unwrap();
        parts = parts.parts(CompletedPart::builder().part_number(number).e_tag(part.e_tag().unwrap()).build());
    }
    let complete = || client.complete_multipart_upload().bucket("bucket").key("dir/film.mp4").upload_id(id);
    let parts = parts.build();
    let done = complete().multipart_upload(parts.clone()).send().await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-2\""));
    assert_eq!(status(complete().multipart_upload(parts).send().await), 404);
    let wrong = client.abort_multipart_upload().bucket("bucket").key("dir/film.mp4").upload_id("../../buckets");
    assert_eq!(status(wrong.send().await), 404);

    let copy = client.copy_object().bucket("bucket").key("dir/copy.mp4").copy_source("bucket/dir/film.mp4");
    copy.send().await.unwrap();
    let copied = client.get_object().bucket("bucket").key("dir/copy.mp4").send().await.unwrap();
    assert_eq!(copied.content_type(), Some("video/mp4"));
    assert_eq!(copied.metadata().unwrap()["note"], "kept");
    assert!(copied.body.collect().await.unwrap().into_bytes() == bodies.concat());

    let list = client.list_objects_v2().bucket("bucket").delimiter("/").send().await.unwrap();
    assert_eq!(list.common_prefixes().len(), 1);
    assert_eq!(list.common_prefixes()[0].prefix(), Some("dir/"));
    let old = client.list_objects().bucket("bucket").prefix("dir/").max_keys(1).send().await.unwrap();
    assert_eq!(old.contents()[0].key(), Some("dir/copy.mp4"));
    assert_eq!(old.next_marker(), Some("dir/copy.mp4"));
    assert_eq!(status(client.delete_bucket().bucket("bucket").send().await), 409);
    for key in ["dir/copy.mp4", "dir/film.mp4"] {
        client.delete_object().bucket("bucket").key(key).send().await.unwrap();
    }
    client.delete_bucket().bucket("bucket").send().await.unwrap();
    assert_eq!(client.list_buckets().send().await.unwrap().buckets().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stderr)]
async fn a_listing_reads_only_what_it_lists() {
    const TITLES: usize = 50;
    const SEGMENTS: usize = 100;
    let root = tempfile::tempdir().unwrap();
    let local = Local::start(root.path()).await;
    let store = Store::connect(&local.config()).await.unwrap();
    let started = Instant::now();
    stream::iter(0..TITLES * SEGMENTS)
        .map(|number| {
            let (store, key) = (&store, format!("vod/{}/720p/{}.m4s", number / SEGMENTS, number % SEGMENTS));
            async move { store.put_new(&key, Bytes::from_static(b"segment"), &Meta::default()).await.unwrap() }
        })
        .buffer_unordered(16)
        .count()
        .await;
    let put_s = started.elapsed().as_secs_f64();
    let started = Instant::now();
    assert_eq!(store.list("vod/7/").await.unwrap().len(), SEGMENTS);
    let one = started.elapsed();
    let started = Instant::now();
    assert_eq!(store.list("vod/").await.unwrap().len(), TITLES * SEGMENTS);
    let all = started.elapsed();
    eprintln!("5000 objects: put in {put_s:.2} s, one title of 100 listed in {one:?}, all in {all:?}");
    assert!(one < all / 2, "{one:?} for a fiftieth of what takes {all:?}");
}
