//! What a server that will not do is told, and what one that will gets.

use framemill_queue::{NatsConfig, Queue, QueueError};

use crate::server::Server;

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
