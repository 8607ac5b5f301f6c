//! Events out of records: in their order, once, and never in the way of who holds the job.

use std::{pin::pin, sync::atomic::Ordering};

use framemill_queue::{Outbox, Queue, transition};
use framemill_schemas::{
    holder::Holder,
    ids::NodeId,
    job::{JobRecord, JobState},
    lane::Priority,
};
use futures_util::StreamExt;
use uuid::Uuid;

use crate::{
    server::{Server, soon},
    worker::{asset, job, key, output},
};

async fn claimed(queue: &Queue) -> (JobRecord, Holder, u64) {
    let ready = job(asset(), "a", Priority::Standard);
    let revision = queue.jobs().create(&key(&ready), &ready).await.unwrap();
    let node = NodeId::try_from("node-1".to_owned()).unwrap();
    let holder = Holder { node, process: Uuid::new_v4(), nonce: Uuid::new_v4() };
    let running = transition::claim(ready, holder.clone(), 2).unwrap();
    let revision = queue.jobs().update(&key(&running), &running, revision).await.unwrap();
    (running, holder, revision)
}

fn messages_sent(queue: &Queue) -> u64 {
    queue.client().statistics().out_messages.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_running_record_is_left_to_its_holder() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut events = pin!(queue.events("events.>".to_owned(), None).await.unwrap());
    let outbox = Outbox::new(queue.clone());
    let (running, holder, revision) = claimed(&queue).await;
    let key = key(&running);

    outbox.send_job(&key).await.unwrap();
    assert_eq!(soon("the start", events.next()).await.unwrap().unwrap().1, running.unsent[0]);
    assert_eq!(queue.jobs().get(&key).await.unwrap().unwrap().1, revision, "the fencing token still stands");
    let before = messages_sent(&queue);
    outbox.send_job(&key).await.unwrap();
    assert_eq!(messages_sent(&queue) - before, 1, "it reads, and sends nothing again");

    let done = transition::commit(running, &holder, output(), 3).unwrap();
    queue.jobs().update(&key, &done, revision).await.unwrap();
    outbox.send_job(&key).await.unwrap();
    let completed = done.unsent.last().unwrap();
    assert_eq!(&soon("the end", events.next()).await.unwrap().unwrap().1, completed, "the start came before");
    let (record, _) = queue.jobs().get(&key).await.unwrap().unwrap();
    assert_eq!((record.state, record.unsent.len()), (JobState::Done, 0));
}

#[tokio::test]
async fn whoever_forgot_sends_it_again_and_it_is_stored_once() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut events = pin!(queue.events("events.>".to_owned(), None).await.unwrap());
    let (running, holder, revision) = claimed(&queue).await;
    let key = key(&running);
    Outbox::new(queue.clone()).send_job(&key).await.unwrap();
    let done = transition::commit(running, &holder, output(), 3).unwrap();
    queue.jobs().update(&key, &done, revision).await.unwrap();
    // Another process, and a record that is gone since.
    Outbox::new(queue.clone()).send_job(&key).await.unwrap();
    Outbox::new(queue.clone()).send_job("no.such").await.unwrap();
    for sent in &done.unsent {
        assert_eq!(&soon("an event", events.next()).await.unwrap().unwrap().1, sent);
    }
    assert!(queue.jobs().get(&key).await.unwrap().unwrap().0.unsent.is_empty());
}
