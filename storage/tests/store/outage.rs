//! Outages: whoever is patient goes on when the store is back, everybody else hears of it at once,
//! and nobody waits for ever.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use framemill_storage::{Meta, Put, S3Config, Store, StoreError};

use crate::{
    local::{Local, config, impatient},
    proxy::{Fault, Proxy},
};

/// Longest wait for anything here.
const BOUND: Duration = Duration::from_secs(30);

async fn behind_a_proxy(root: &Path, outage_ms: u64) -> (Local, Proxy, Store) {
    let local = Local::start(root).await;
    let proxy = Proxy::to(local.address).await;
    let limits = framemill_storage::Limits { outage_ms, ..impatient() };
    let store = Store::connect(&S3Config { limits, ..config(proxy.address) }).await.unwrap();
    (local, proxy, store)
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, work).await.unwrap_or_else(|_| panic!("{what}: not within {BOUND:?}"))
}

/// Waits until the store is known to be away, or back.
async fn until_away(store: &Store, away: bool) {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while store.outage().is_some() != away {
            tick.tick().await;
        }
    };
    within("the outage is noticed", waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_and_reads_go_on_when_the_store_is_back() {
    for fault in [Fault::CloseAfter(0), Fault::StallAfter(0)] {
        let root = tempfile::tempdir().unwrap();
        let (_local, proxy, store) = behind_a_proxy(root.path(), 600_000).await;
        store.put_new("old", Bytes::from("old"), &Meta::default()).await.unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let following = tokio::spawn({
            let (store, told) = (store.clone(), Arc::clone(&told));
            async move { store.follow_outages(|away| told.lock().unwrap().push(away)).await }
        });
        proxy.set(fault);
        let patient = store.patient();
        let waiting = tokio::spawn(async move {
            let meta = Meta::default();
            tokio::join!(
                patient.put_new("new", Bytes::from("new"), &meta),
                patient.get("old"),
                patient.head("old"),
                patient.get_stream(Some("framemill-test"), "old", None),
            )
        });
        until_away(&store, true).await;
        let error = within("an impatient caller hears of it", store.get("old")).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
        assert!(!waiting.is_finished(), "{fault:?}");

        proxy.set(Fault::None);
        let (put, got, head, stream) = within("the patient ones go on", waiting).await.unwrap();
        // The requests of the outage arrived, only their answers did not: the object is its own.
        assert!(matches!(put.unwrap(), Put::Created(_)), "{fault:?}");
        assert_eq!(got.unwrap().unwrap().body, "old");
        assert_eq!(head.unwrap().unwrap().0.bytes, 3);
        assert_eq!(stream.unwrap().unwrap().size, 3);
        until_away(&store, false).await;
        within("its end is told", async {
            while told.lock().unwrap().last() != Some(&false) || told.lock().unwrap().len() < 3 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(told.lock().unwrap()[..2], [false, true], "{fault:?}");
        following.abort();
        assert_eq!(store.list("framemill-trial/").await.unwrap(), [], "what the watcher put is left behind");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_read_again() {
    let root = tempfile::tempdir().unwrap();
    let (_local, proxy, store) = behind_a_proxy(root.path(), 600_000).await;
    let body = Bytes::from(vec![7; 3_000_000]);
    store.put_new("a", body.clone(), &Meta::default()).await.unwrap();
    proxy.set(Fault::CloseAfter(1_000_000));
    let patient = store.patient();
    let reading = tokio::spawn(async move { patient.get("a").await });
    // It has broken off once when the next request has come.
    within("a first answer was cut", async {
        while proxy.cut() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    proxy.set(Fault::None);
    assert_eq!(within("the body", reading).await.unwrap().unwrap().unwrap().body, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_that_lasts_too_long_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let (_local, proxy, store) = behind_a_proxy(root.path(), 300).await;
    proxy.set(Fault::CloseAfter(0));
    let began = Instant::now();
    let (patient, meta) = (store.patient(), Meta::default());
    let put = patient.put_new("a", Bytes::from("a"), &meta);
    let error = within("patience ends", put).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(began.elapsed() >= Duration::from_millis(300));
    // What it waited for is still away, for all who ask.
    assert!(store.outage().is_some());
}
