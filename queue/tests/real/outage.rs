//! NATS or the store goes away in the middle of a job.

use framemill_queue::transition;
use framemill_schemas::{
    failure::{Class, Failure},
    job::JobState,
    lane::Priority,
};

use crate::{
    proxy::Proxy,
    server::{Server, eventually, soon},
    worker::{Worker, hint_goes, key, made, output, reaches, record, submit},
};

/// The work goes on, and is committed when the server is back: nothing is run twice.
#[tokio::test]
async fn a_job_outlives_a_restart_of_the_server() {
    let mut server = Server::start().await;
    let queue = server.connect().await;
    let mut worker = Worker::start(&queue, "a", 1);
    for ends_while_away in [false, true] {
        let job = submit(&queue, &format!("job-{ends_while_away}"), Priority::Standard).await;
        let begun = worker.next().await;
        server.kill();
        eventually("the loss is noticed", async || (!queue.is_connected()).then_some(())).await;
        assert!(!begun.cancel.is_cancelled());
        if ends_while_away {
            begun.end(Ok(made(1)));
            server.restart().await;
        } else {
            server.restart().await;
            eventually("it is back", async || queue.is_connected().then_some(())).await;
            begun.end(Ok(made(1)));
        }
        let done = reaches(&queue, &job, JobState::Done).await;
        assert_eq!((done.attempt, done.spent, done.output), (1, 0, Some(made(1))));
        hint_goes(&queue, &job).await;
    }
    worker.drained().await;
}

/// An idle runner's pulls die with the server; it serves again once the server is back.
#[tokio::test]
async fn an_idle_runner_serves_again_after_a_restart() {
    let mut server = Server::start().await;
    let queue = server.connect().await;
    let mut worker = Worker::start(&server.connect().await, "a", 1);
    let first = submit(&queue, "first", Priority::Standard).await;
    worker.next().await.end(Ok(output()));
    reaches(&queue, &first, JobState::Done).await;
    server.kill();
    server.restart().await;
    eventually("it is back", async || queue.is_connected().then_some(())).await;
    let second = submit(&queue, "second", Priority::Standard).await;
    worker.next().await.end(Ok(output()));
    reaches(&queue, &second, JobState::Done).await;
    worker.drained().await;
}

/// While the holder was cut off, its job was given to another: it learns so when it is back.
#[tokio::test]
async fn a_holder_that_was_cut_off_checks_its_claim() {
    let server = Server::start().await;
    let proxy = Proxy::before(server.port()).await;
    let queue = server.connect().await;
    let mut cut_off = Worker::start(&proxy.connect().await, "cut-off", 1);
    let job = submit(&queue, "job", Priority::Standard).await;
    let begun = cut_off.next().await;
    proxy.set_broken(true);
    let (held, revision) = record(&queue, &job).await;
    let lost = transition::lose(held, 2).unwrap();
    let revision = queue.jobs().update(&key(&job), &lost, revision).await.unwrap();
    queue.undispatch(&lost).await.unwrap();
    queue.dispatch(&lost, revision).await.unwrap();
    let mut other = Worker::start(&queue, "other", 1);
    let second = other.next().await;
    assert!(!begun.cancel.is_cancelled());
    proxy.set_broken(false);
    soon("the holder is told", begun.cancel.cancelled()).await;
    second.end(Ok(made(2)));
    assert_eq!(reaches(&queue, &job, JobState::Done).await.output, Some(made(2)));
    cut_off.drained().await;
    other.drained().await;
}

/// The answers to a claim and to a commit are lost: the job is still run once, and committed.
#[tokio::test]
async fn lost_answers_to_claim_and_commit_do_no_harm() {
    let server = Server::start().await;
    let proxy = Proxy::before(server.port()).await;
    let queue = server.connect().await;
    let mut worker = Worker::start(&proxy.connect().await, "a", 1);
    proxy.lose_next_answer();
    let job = submit(&queue, "job", Priority::Standard).await;
    let begun = worker.next().await;
    assert_eq!(proxy.lost(), 1);
    assert_eq!(begun.job.attempt, 1);
    proxy.lose_next_answer();
    begun.end(Ok(made(1)));
    let done = reaches(&queue, &job, JobState::Done).await;
    assert_eq!((done.attempt, done.output), (1, Some(made(1))));
    hint_goes(&queue, &job).await;
    assert_eq!(proxy.lost(), 2);
    assert!(worker.begun.try_recv().is_err());
    worker.drained().await;
}

/// An outage of the store is not the job's fault: nothing is spent, and it is run when the
/// runner has rested.
#[tokio::test]
async fn an_outage_of_the_store_spends_no_attempt() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut worker = Worker::start(&queue, "a", 1);
    let job = submit(&queue, "job", Priority::Standard).await;
    worker.next().await.end(Err(Failure::new(Class::Transient, "store-unreachable", "503")));
    let ready = reaches(&queue, &job, JobState::Ready).await;
    assert_eq!((ready.attempt, ready.spent, ready.failures.len()), (1, 0, 0));
    let begun = worker.next().await;
    assert_eq!((begun.job.attempt, begun.job.spent), (2, 0));
    begun.end(Ok(output()));
    reaches(&queue, &job, JobState::Done).await;
    worker.drained().await;
}
