//! What a server that will not do is told, and what one that will gets.

use async_nats::jetstream::consumer::pull;
use framemill_queue::{NatsConfig, Queue, QueueError};
use framemill_schemas::{
    job::{JobKind, JobState},
    lane::{Lane, Priority},
    subject,
};

use crate::{
    server::Server,
    worker::{Worker, output, reaches, submit},
};

async fn refused(config: &NatsConfig) -> QueueError {
    Queue::connect(config).await.err().expect("refused")
}

#[tokio::test]
async fn nobody_there() {
    let config = NatsConfig { url: "nats://me:secret@127.0.0.1:1".to_owned(), ..NatsConfig::default() };
    let error = refused(&config).await;
    assert!(matches!(error, QueueError::Unreachable { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn no_credentials_file() {
    let config = NatsConfig { credentials: Some("/nonexistent.creds".into()), ..NatsConfig::default() };
    assert!(matches!(refused(&config).await, QueueError::Credentials { .. }));
}

#[tokio::test]
async fn no_jetstream() {
    let server = Server::start_with("max_payload: 8MB", false).await;
    let error = refused(&server.config()).await;
    assert!(matches!(error, QueueError::NoJetStream { .. }), "{error}");
}

#[tokio::test]
async fn messages_too_small_for_records() {
    let server = Server::start_with("", true).await;
    let error = refused(&server.config()).await;
    assert!(error.to_string().contains("max_payload"), "{error}");
}

#[tokio::test]
async fn many_at_once_set_up_the_same_farm() {
    let server = Server::start().await;
    let config = server.config();
    let all = futures_util::future::join_all((0..8).map(|_| Queue::connect(&config))).await;
    for queue in all {
        queue.unwrap();
    }
}

#[tokio::test]
async fn a_stream_of_another_shape_is_named() {
    let server = Server::start().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    let config = async_nats::jetstream::stream::Config {
        name: "KV_jobs".to_owned(),
        subjects: vec!["$KV.jobs.>".to_owned()],
        allow_direct: true,
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    let error = refused(&server.config()).await.to_string();
    assert!(error.contains("KV_jobs") && error.contains("nats stream rm"), "{error}");
}

/// A farm that was set up by an earlier version, with another pace of redelivery, goes on.
#[tokio::test]
async fn a_lane_of_another_pace_is_changed_in_place() {
    let server = Server::start().await;
    let before = server.connect().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let hints = async_nats::jetstream::new(client).get_stream(subject::JOBS_STREAM).await.unwrap();
    let lane = Lane::all(&JobKind::ALL)[0].consumer();
    let pace = async || hints.get_consumer::<pull::Config>(&lane).await.unwrap().cached_info().config.clone();
    let ours = pace().await;
    let older = pull::Config {
        durable_name: Some(lane.clone()),
        filter_subject: ours.filter_subject.clone(),
        ack_policy: ours.ack_policy,
        ack_wait: ours.ack_wait * 3,
        max_deliver: ours.max_deliver,
        max_ack_pending: ours.max_ack_pending,
        max_waiting: ours.max_waiting,
        ..Default::default()
    };
    hints.create_consumer(older).await.unwrap();
    assert_eq!(pace().await.ack_wait, ours.ack_wait * 3);
    let queue = server.connect().await;
    assert_eq!(pace().await.ack_wait, ours.ack_wait);
    // What an older process had of it still serves.
    let mut worker = Worker::start(&before, "a", 1);
    let job = submit(&queue, "job", Priority::Standard).await;
    worker.next().await.end(Ok(output()));
    reaches(&queue, &job, JobState::Done).await;
    worker.drained().await;
}
