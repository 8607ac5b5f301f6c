//! Compare-and-set, also when answers are lost.

use std::time::{Duration, Instant};

use framemill_queue::{Change, Queue, RecordError, Records};
use framemill_schemas::{
    job::{JOB_VERSION, JobRecord, JobState},
    lane::Priority,
    subject::{JOBS_BUCKET, KEYS_BUCKET, LEASES_BUCKET},
    wire::{self, WireError},
};
use futures_util::StreamExt;

use crate::{
    proxy::Proxy,
    server::{Server, eventually, soon},
    worker::{Worker, asset, job, key, output, reaches, submit},
};

fn texts(queue: &Queue) -> Records<String> {
    queue.records(KEYS_BUCKET)
}

#[tokio::test]
async fn a_record_changes_only_from_the_revision_that_was_read() {
    let server = Server::start().await;
    let records = texts(&server.connect().await);
    assert!(records.get("k").await.unwrap().is_none());
    let first = records.create("k", &"a".to_owned()).await.unwrap();
    assert!(matches!(records.create("k", &"a".to_owned()).await, Err(RecordError::Exists)));
    let second = records.update("k", &"b".to_owned(), first).await.unwrap();
    assert!(matches!(records.update("k", &"c".to_owned(), first).await, Err(RecordError::Fenced)));
    assert_eq!(records.get("k").await.unwrap(), Some(("b".to_owned(), second)));
    assert!(matches!(records.delete("k", first).await, Err(RecordError::Fenced)));
    records.delete("k", second).await.unwrap();
    assert!(records.get("k").await.unwrap().is_none());
    assert!(matches!(records.update("k", &"d".to_owned(), second).await, Err(RecordError::Fenced)));
    let third = records.create("k", &"e".to_owned()).await.unwrap();
    assert_eq!(records.get("k").await.unwrap(), Some(("e".to_owned(), third)));
}

#[tokio::test]
async fn one_of_many_writers_wins() {
    let server = Server::start().await;
    let records = texts(&server.connect().await);
    let revision = records.create("k", &"start".to_owned()).await.unwrap();
    let writers = (0..20).map(|writer| {
        let records = records.clone();
        async move { records.update("k", &format!("{writer}"), revision).await.is_ok() }
    });
    let won = futures_util::future::join_all(writers).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}

#[tokio::test]
async fn the_largest_record_fits_and_a_larger_one_is_refused() {
    let server = Server::start().await;
    let records = texts(&server.connect().await);
    let largest = "x".repeat(4 * 1024 * 1024 - 8);
    records.create("large", &largest).await.unwrap();
    assert_eq!(records.get("large").await.unwrap().unwrap().0.len(), largest.len());
    let larger = "x".repeat(4 * 1024 * 1024 + 1);
    assert!(matches!(records.create("larger", &larger).await, Err(RecordError::Wire(_))));
}

/// The change was made, its answer was lost, and nobody is told "fenced" or left in doubt.
#[tokio::test]
async fn a_lost_answer_is_read_back() {
    let server = Server::start().await;
    let proxy = Proxy::before(server.port()).await;
    let queue = proxy.connect().await;
    let records = texts(&queue);

    proxy.lose_next_answer();
    let created = soon("created", records.create("k", &"a".to_owned())).await.unwrap();
    assert_eq!(proxy.lost(), 1);
    assert_eq!(records.get("k").await.unwrap(), Some(("a".to_owned(), created)));

    proxy.lose_next_answer();
    let updated = soon("updated", records.update("k", &"b".to_owned(), created)).await.unwrap();
    assert_eq!(proxy.lost(), 2);
    assert_eq!(records.get("k").await.unwrap(), Some(("b".to_owned(), updated)));

    proxy.lose_next_answer();
    let fenced = soon("fenced", records.update("k", &"c".to_owned(), created)).await;
    assert_eq!(proxy.lost(), 3);
    assert!(matches!(fenced, Err(RecordError::Fenced)), "{fenced:?}");

    proxy.lose_next_answer();
    soon("deleted", records.delete("k", updated)).await.unwrap();
    assert_eq!(proxy.lost(), 4);
    assert!(records.get("k").await.unwrap().is_none());
    assert_eq!(queue.reconnects(), 4);
}

#[tokio::test]
async fn a_change_waits_for_a_server_that_comes_back() {
    let mut server = Server::start().await;
    let records = texts(&server.connect().await);
    let revision = records.create("k", &"a".to_owned()).await.unwrap();
    server.kill();
    let writing = tokio::spawn({
        let records = records.clone();
        async move { records.update("k", &"b".to_owned(), revision).await }
    });
    server.restart().await;
    let updated = soon("updated", writing).await.unwrap().unwrap();
    assert_eq!(records.get("k").await.unwrap(), Some(("b".to_owned(), updated)));
}

#[tokio::test]
async fn a_server_that_stays_away_is_reported_as_that() {
    let mut server = Server::start().await;
    let records = texts(&server.connect().await);
    server.kill();
    let result = soon("given up", records.create("k", &"a".to_owned())).await;
    assert!(matches!(result, Err(RecordError::Unavailable(_))), "{result:?}");
}

#[tokio::test]
async fn a_watch_tells_what_is_there_then_every_change() {
    let mut server = Server::start().await;
    let queue = server.connect().await;
    let records = texts(&queue);
    let first = records.create("a.1", &"x".to_owned()).await.unwrap();
    records.create("b.1", &"y".to_owned()).await.unwrap();
    let gone = records.create("a.2", &"z".to_owned()).await.unwrap();
    records.delete("a.2", gone).await.unwrap();

    let mut changes = records.watch("a.*").await.unwrap();
    let put = |key: &str, value: &str, revision| Change::Put {
        key: key.to_owned(),
        value: Box::new(value.to_owned()),
        revision,
    };
    assert_eq!(soon("first", changes.next()).await.unwrap().unwrap(), put("a.1", "x", first));
    assert!(matches!(soon("marker", changes.next()).await.unwrap().unwrap(), Change::Deleted { .. }));
    assert_eq!(soon("current", changes.next()).await.unwrap().unwrap(), Change::Current);

    let second = records.update("a.1", &"w".to_owned(), first).await.unwrap();
    assert_eq!(soon("update", changes.next()).await.unwrap().unwrap(), put("a.1", "w", second));

    server.kill();
    server.restart().await;
    let third = eventually("written", async || records.update("a.1", &"v".to_owned(), second).await.ok()).await;
    let written = Instant::now();
    assert_eq!(soon("after a restart", changes.next()).await.unwrap().unwrap(), put("a.1", "v", third));
    assert!(written.elapsed() < Duration::from_secs(5), "a watch lagged behind a server that is back");

    let listed = records.list(">").await.unwrap();
    let keys: Vec<_> = listed.iter().map(|(key, value, _)| (key.as_str(), value.as_str())).collect();
    assert_eq!(keys, [("a.1", "v"), ("b.1", "y")]);
}

/// A record in a format of tomorrow is unreadable and stays as it is, byte for byte, whoever meets
/// it: a reader, a watch, a worker that is told to look at it.
#[tokio::test]
async fn a_newer_record_is_left_alone() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let older = job(asset(), "job", Priority::Standard);
    let revision = queue.jobs().create(&key(&older), &older).await.unwrap();
    let newer = JobRecord { v: JOB_VERSION + 1, unit: "of tomorrow".to_owned(), ..older.clone() };
    let bytes = wire::encode(&newer).unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let subject = format!("$KV.{JOBS_BUCKET}.{}", key(&older));
    let context = async_nats::jetstream::new(client);
    let stored = context.publish(subject.clone(), bytes.clone().into()).await.unwrap().await.unwrap();
    assert!(stored.sequence > revision);

    let unreadable =
        |error: &RecordError| matches!(error, RecordError::Wire(WireError::Newer { v, .. }) if *v == newer.v);
    assert!(queue.jobs().get(&key(&older)).await.is_err_and(|error| unreadable(&error)));
    let mut changes = queue.jobs().watch(">").await.unwrap();
    assert!(soon("the record", changes.next()).await.unwrap().is_err_and(|error| unreadable(&error)));
    assert_eq!(soon("current", changes.next()).await.unwrap().unwrap(), Change::Current);
    assert!(queue.jobs().list(">").await.is_err_and(|error| unreadable(&error)), "a list is whole or an error");

    queue.dispatch(&older, revision).await.unwrap();
    let mut worker = Worker::start(&queue, "a", 1);
    let next = submit(&queue, "readable", Priority::Standard).await;
    let begun = worker.next().await;
    assert_eq!(begun.job.id, next.id, "the newer one is for newer workers");
    begun.end(Ok(output()));
    reaches(&queue, &next, JobState::Done).await;
    worker.drained().await;
    let stream = context.get_stream(format!("KV_{JOBS_BUCKET}")).await.unwrap();
    let found = stream.get_last_raw_message_by_subject(&subject).await.unwrap();
    assert_eq!((found.sequence, found.payload.to_vec()), (stored.sequence, bytes));
    assert!(queue.waiting(&older).await.unwrap());
}

#[tokio::test]
async fn a_watch_of_nothing_is_current_at_once() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let records: Records<String> = queue.records(LEASES_BUCKET);
    let mut changes = records.watch(">").await.unwrap();
    assert_eq!(soon("current", changes.next()).await.unwrap().unwrap(), Change::Current);
    assert!(records.list(">").await.unwrap().is_empty());
}

/// Silence alone does not mean that all was said: the server may be busy.
#[tokio::test]
async fn a_watch_that_hears_nothing_is_not_current() {
    const RECORDS: usize = 40;
    let server = Server::start().await;
    let proxy = Proxy::before(server.port()).await;
    let records = texts(&proxy.connect().await);
    // More than the buffers on the way take.
    let large = "x".repeat(1024 * 1024);
    for number in 0..RECORDS {
        records.create(&format!("k.{number}"), &large).await.unwrap();
    }
    let mut changes = records.watch("k.*").await.unwrap();
    proxy.set_held(true);
    let mut seen = 0;
    let silent = async {
        while let Some(change) = changes.next().await {
            assert_ne!(change.unwrap(), Change::Current, "after {seen} of {RECORDS}");
            seen += 1;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3), silent).await.is_err());
    assert!(seen < RECORDS, "nothing was held back");
    proxy.set_held(false);
    while soon("the rest", changes.next()).await.unwrap().unwrap() != Change::Current {
        seen += 1;
    }
    assert_eq!(seen, RECORDS);
    assert_eq!(records.list("k.*").await.unwrap().len(), RECORDS);
}
