//! Stores that fail: each failure ends in bounded time, in the right class, with its mend.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use framemill_schemas::failure::Class;
use framemill_storage::{Meta, Put, S3Config, Store, StoreError};
use hyper::StatusCode;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{
    S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, auth::SimpleAuth, dto::*, service::S3ServiceBuilder,
};
use s3s_fs::FileSystem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    local::{ACCESS, Local, SECRET, config, impatient},
    proxy::{Fault, Proxy},
};

/// More than any failure here may take with the limits of these tests.
const BOUND: Duration = Duration::from_secs(15);

async fn behind_a_proxy(root: &Path) -> (Local, Proxy, Store) {
    let local = Local::start(root).await;
    let proxy = Proxy::to(local.address).await;
    let config = S3Config { limits: impatient(), ..config(proxy.address) };
    let store = Store::connect(&config).await.unwrap();
    (local, proxy, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stands_still_or_breaks_off_is_told_apart_from_a_whole_one() {
    let root = tempfile::tempdir().unwrap();
    let (_local, proxy, store) = behind_a_proxy(root.path()).await;
    let body = Bytes::from(vec![7; 3_000_000]);
    store.put_new("a", body.clone(), &Meta::default()).await.unwrap();
    for fault in [Fault::StallAfter(1_000_000), Fault::CloseAfter(1_000_000)] {
        proxy.set(fault);
        let started = Instant::now();
        let error = store.get("a").await.unwrap_err();
        assert!(matches!(error, StoreError::Interrupted { expected: 3_000_000, .. }), "{fault:?}: {error:?}");
        assert_eq!(error.to_failure().class, Class::Transient);
        assert!(started.elapsed() < BOUND, "{fault:?}");
    }
    proxy.set(Fault::None);
    assert_eq!(store.get("a").await.unwrap().unwrap().body, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_falls_silent_or_drops_connections_is_unreachable() {
    let root = tempfile::tempdir().unwrap();
    let (_local, proxy, store) = behind_a_proxy(root.path()).await;
    for fault in [Fault::StallAfter(0), Fault::CloseAfter(0)] {
        proxy.set(fault);
        let started = Instant::now();
        let put = store.put_new("silent", Bytes::from(vec![7; 100_000]), &Meta::default()).await;
        let listed = store.list("").await;
        for error in [put.unwrap_err(), listed.unwrap_err()] {
            assert!(matches!(error, StoreError::Unreachable { .. }), "{fault:?}: {error:?}");
            assert_eq!(error.to_failure().class, Class::Transient);
            assert!(error.is_outage());
        }
        assert!(started.elapsed() < 2 * BOUND, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_whose_answer_was_lost_knows_its_own_object() {
    let root = tempfile::tempdir().unwrap();
    let (_local, proxy, store) = behind_a_proxy(root.path()).await;
    proxy.set(Fault::Swallow(1));
    let put = store.put_new("lost", Bytes::from("mine"), &Meta::default()).await.unwrap();
    let Put::Created(created) = put else { panic!("took its own object for another's") };
    proxy.set(Fault::Swallow(1));
    let replaced = store.put_match("lost", Bytes::from("mine too"), &Meta::default(), &created.etag).await.unwrap();
    assert_eq!(store.head("lost").await.unwrap().unwrap().0, replaced.expect("its own put"));
    // Another's object with the same bytes is another's.
    let put = store.put_new("lost", Bytes::from("mine too"), &Meta::default()).await.unwrap();
    assert!(matches!(put, Put::Exists { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told_in_bounded_time() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    // It listens and never accepts: connections open, answers never come.
    let silent = S3Config { limits: impatient(), ..config(address) };
    let started = Instant::now();
    let error = Store::connect(&silent).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    drop(listener);
    let error = Store::connect(&silent).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.to_string().to_lowercase().contains("refused"), "{error}");
    assert!(started.elapsed() < 2 * BOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_store_is_told() {
    for answer in [
        "HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let address = answering(answer).await;
        let error = Store::connect(&S3Config { limits: impatient(), ..config(address) }).await.unwrap_err();
        assert!(
            matches!(error, StoreError::NotAStore { .. } | StoreError::Unreachable { .. }),
            "{answer:?}: {error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_speaks_no_tls_where_it_should_is_told() {
    let address = answering("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    let endpoint = Some(format!("https://{address}"));
    let error = Store::connect(&S3Config { endpoint, limits: impatient(), ..config(address) }).await.unwrap_err();
    // The second where the machine has no root certificates at all.
    assert!(matches!(error, StoreError::Unreachable { .. } | StoreError::Config { .. }), "{error:?}");
}

/// A server with one answer to everything.
async fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 8192];
                while let Ok(1..) = client.read(&mut buffer).await {
                    let _ = client.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    address
}

/// A store that lacks something, in front of one that is complete enough.
struct Lacking {
    store: FileSystem,
    what: Lack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// If-None-Match and If-Match are ignored.
    Conditions,
    /// If-Match is ignored.
    Matching,
    /// Conditions are answered with 501.
    Implementation,
    /// There is no room.
    Room,
    /// Objects cannot be deleted in batches.
    Batches,
    /// Objects below `closed/` may not be read.
    Rights,
    /// The keys were withdrawn: nothing may be read or listed.
    Keys,
    /// Racing conditional puts are answered with 409 at first.
    Calm,
}

/// Whether the keys of [`Lack::Keys`] have been withdrawn: they are good at the start.
static WITHDRAWN: AtomicBool = AtomicBool::new(false);

impl Lacking {
    fn may_read(&self, key: &str) -> S3Result<()> {
        match self.what {
            Lack::Rights if key.starts_with("closed/") => Err(S3Error::new(S3ErrorCode::AccessDenied)),
            Lack::Keys if WITHDRAWN.load(Ordering::Relaxed) => Err(S3Error::new(S3ErrorCode::InvalidAccessKeyId)),
            _ => Ok(()),
        }
    }
}

#[async_trait::async_trait]
impl S3 for Lacking {
    async fn put_object(&self, mut req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        // One at a time: what this store is used for is what it lacks, not its own races.
        static ONE: tokio::sync::Mutex<u32> = tokio::sync::Mutex::const_new(0);
        let mut puts = ONE.lock().await;
        *puts += 1;
        let conditional = req.input.if_none_match.is_some() || req.input.if_match.is_some();
        match self.what {
            Lack::Conditions => {
                req.input.if_none_match = None;
                req.input.if_match = None;
            }
            Lack::Matching => req.input.if_match = None,
            Lack::Implementation if conditional => return Err(S3Error::new(S3ErrorCode::NotImplemented)),
            Lack::Room => {
                let mut full = S3Error::with_message(S3ErrorCode::Custom("XMinioStorageFull".into()), "disk full");
                full.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
                return Err(full);
            }
            Lack::Calm if *puts % 2 == 1 => {
                let mut conflict = S3Error::new(S3ErrorCode::Custom("ConditionalRequestConflict".into()));
                conflict.set_status_code(StatusCode::CONFLICT);
                return Err(conflict);
            }
            _ => {}
        }
        self.store.put_object(req).await
    }

    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        self.store.create_bucket(req).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.may_read(&req.input.key)?;
        self.store.head_object(req).await
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.may_read(&req.input.key)?;
        self.store.get_object(req).await
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        if self.what == Lack::Keys && WITHDRAWN.load(Ordering::Relaxed) {
            return Err(S3Error::new(S3ErrorCode::InvalidAccessKeyId));
        }
        self.store.list_objects_v2(req).await
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.store.delete_object(req).await
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        match self.what {
            Lack::Batches => Err(S3Error::new(S3ErrorCode::NotImplemented)),
            _ => self.store.delete_objects(req).await,
        }
    }
}

async fn lacking(root: &Path, what: Lack) -> S3Config {
    let mut builder = S3ServiceBuilder::new(Lacking { store: FileSystem::new(root).unwrap(), what });
    builder.set_auth(SimpleAuth::from_single(ACCESS, SECRET));
    let service = builder.build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let http = auto::Builder::new(TokioExecutor::new());
                let _ = http.serve_connection(TokioIo::new(client), service).await;
            });
        }
    });
    config(address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_conditional_put_is_refused_at_the_start() {
    for what in [Lack::Conditions, Lack::Matching, Lack::Implementation] {
        let root = tempfile::tempdir().unwrap();
        let error = Store::connect(&lacking(root.path(), what).await).await.unwrap_err();
        assert!(matches!(error, StoreError::NoConditionalPut { .. }), "{what:?}: {error:?}");
        assert_eq!(error.to_failure().class, Class::Resource);
        let objects = std::fs::read_dir(root.path().join("framemill-test/framemill-trial"));
        assert_eq!(objects.map_or(0, Iterator::count), 0, "{what:?} leaves the trial's object behind");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_is_told() {
    let root = tempfile::tempdir().unwrap();
    let error = Store::connect(&lacking(root.path(), Lack::Room).await).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert_eq!(error.to_failure().class, Class::Resource);
    assert!(error.is_outage());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_batch_deletion_is_served_one_by_one() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::connect(&lacking(root.path(), Lack::Batches).await).await.unwrap();
    let keys: Vec<String> = (0..20).map(|number| format!("d/{number}")).collect();
    for key in &keys {
        store.put_new(key, Bytes::from("x"), &Meta::default()).await.unwrap();
    }
    store.delete(&keys).await.unwrap();
    assert_eq!(store.list("d/").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_of_conditional_puts_are_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let config = lacking(root.path(), Lack::Calm).await;
    let config = S3Config { limits: framemill_storage::Limits { attempts: 10, ..config.limits }, ..config };
    let store = Store::connect(&config).await.unwrap();
    let put = store.put_new("a", Bytes::from("x"), &Meta::default()).await.unwrap();
    assert!(matches!(put, Put::Created(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_source_is_the_inputs_fault_and_withdrawn_keys_are_not() {
    for (what, class, outage) in [(Lack::Rights, Class::Input, false), (Lack::Keys, Class::Resource, true)] {
        let root = tempfile::tempdir().unwrap();
        let config = lacking(root.path(), what).await;
        let store = Store::connect(&config).await.unwrap();
        store.put_new("closed/a", Bytes::from("x"), &Meta::default()).await.unwrap();
        WITHDRAWN.store(what == Lack::Keys, Ordering::Relaxed);
        for bucket in [config.bucket.as_str(), "another-bucket"] {
            let head = store.head_in(bucket, "closed/a").await.unwrap_err();
            let get = store.get_stream(Some(bucket), "closed/a", None).await.unwrap_err();
            for error in [head, get] {
                assert_eq!((error.to_failure().class, error.is_outage()), (class, outage), "{what:?}: {error}");
            }
        }
        // What no waiting mends is not waited for.
        assert!(store.patient().get("closed/a").await.unwrap_err().is_outage(), "{what:?}");
        // What is not asked for as a source stays the store's trouble.
        assert!(store.get("closed/a").await.unwrap_err().is_outage(), "{what:?}");
    }
}
