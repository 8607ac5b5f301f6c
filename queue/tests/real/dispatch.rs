//! Hints: one per job, with the trace in lower case.

use framemill_schemas::{lane::Priority, subject};

use crate::{
    server::Server,
    worker::{asset, hint_goes, job, key, submit},
};

async fn queued(server: &Server) -> u64 {
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream(subject::JOBS_STREAM).await.unwrap();
    stream.cached_info().state.messages
}

#[tokio::test]
async fn dispatched_twice_is_queued_once() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let job = job(asset(), "a", Priority::Standard);
    let revision = queue.jobs().create(&key(&job), &job).await.unwrap();
    assert!(!queue.waiting(&job).await.unwrap());
    queue.dispatch(&job, revision).await.unwrap();
    queue.dispatch(&job, revision).await.unwrap();
    assert!(queue.waiting(&job).await.unwrap());
    assert_eq!(queued(&server).await, 1);
    queue.undispatch(&job).await.unwrap();
    queue.undispatch(&job).await.unwrap();
    assert!(!queue.waiting(&job).await.unwrap());
    queue.dispatch(&job, revision).await.unwrap();
    assert_eq!(queued(&server).await, 1, "a job that was taken off the queue can be queued again");
}

#[tokio::test]
async fn the_trace_travels_in_lower_case() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let job = submit(&queue, "a", Priority::Urgent).await;
    let stream = async_nats::jetstream::new(client).get_stream(subject::JOBS_STREAM).await.unwrap();
    let hint = stream.get_last_raw_message_by_subject(&subject::job_hint(job.lane, job.id)).await.unwrap();
    assert_eq!(hint.headers.get("traceparent").unwrap().as_str(), job.trace.traceparent);
    assert!(hint.headers.get("tracestate").is_none(), "an empty state is left out");
    queue.undispatch(&job).await.unwrap();
    hint_goes(&queue, &job).await;
}
