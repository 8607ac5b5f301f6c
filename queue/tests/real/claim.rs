//! One job, from claim to commit: exactly one result, whoever else tries.

use framemill_queue::{Queue, transition};
use framemill_schemas::{
    failure::{Class, Failure},
    job::{JobRecord, JobState},
    lane::Priority,
};

use crate::{
    server::{Server, eventually, soon},
    worker::{Worker, hint_goes, key, made, output, reaches, record, submit},
};

/// What the reaper does with a job whose holder it takes for dead.
async fn reap(queue: &Queue, job: &JobRecord) {
    let (found, revision) = record(queue, job).await;
    let lost = transition::lose(found, 2).unwrap();
    let revision = queue.jobs().update(&key(job), &lost, revision).await.unwrap();
    queue.undispatch(&lost).await.unwrap();
    queue.dispatch(&lost, revision).await.unwrap();
}

#[tokio::test]
async fn a_job_is_claimed_run_committed_and_taken_off_the_queue() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut worker = Worker::start(&queue, "a", 1);
    let job = submit(&queue, "job", Priority::Standard).await;
    let begun = worker.next().await;
    assert_eq!((begun.job.id, begun.job.attempt, begun.job.state), (job.id, 1, JobState::Running));
    let (held, _) = record(&queue, &job).await;
    assert_eq!(held, begun.job);
    begun.end(Ok(output()));
    let done = reaches(&queue, &job, JobState::Done).await;
    assert_eq!((done.output, done.spent), (Some(output()), 0));
    let told: Vec<_> = done.unsent.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(told, ["validate.started", "validate.completed"]);
    hint_goes(&queue, &job).await;
    worker.drained().await;
}

#[tokio::test]
async fn of_many_workers_one_gets_the_job() {
    let server = Server::start().await;
    let mut workers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        workers.push(Worker::start(&server.connect().await, name, 2));
    }
    let queue = server.connect().await;
    for round in 0..10 {
        let job = submit(&queue, &format!("job-{round}"), Priority::Standard).await;
        let begun = soon("somebody takes it", async {
            let (first, _, _) =
                futures_util::future::select_all(workers.iter_mut().map(|worker| Box::pin(worker.next()))).await;
            first
        })
        .await;
        begun.end(Ok(output()));
        let done = reaches(&queue, &job, JobState::Done).await;
        assert_eq!(done.attempt, 1);
    }
    for worker in &mut workers {
        assert!(worker.begun.try_recv().is_err(), "an attempt too many");
    }
}

/// A hint that is delivered again while its job is held leads to no second run.
#[tokio::test]
async fn a_second_hint_of_a_held_job_is_removed() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut first = Worker::start(&queue, "a", 1);
    let job = submit(&queue, "job", Priority::Standard).await;
    let begun = first.next().await;
    queue.undispatch(&job).await.unwrap();
    let (_, revision) = record(&queue, &job).await;
    let mut second = Worker::start(&server.connect().await, "b", 1);
    queue.dispatch(&job, revision).await.unwrap();
    hint_goes(&queue, &job).await;
    begun.end(Ok(made(1)));
    let done = reaches(&queue, &job, JobState::Done).await;
    assert_eq!((done.attempt, done.output), (1, Some(made(1))));
    assert!(second.begun.try_recv().is_err());
}

/// The holder hangs; its job is given to another; then it wakes up.
#[tokio::test]
async fn a_late_holder_changes_nothing() {
    let server = Server::start().await;
    let queue = server.connect().await;
    for wakes_before_commit in [true, false] {
        let mut late = Worker::start_as(&server.connect().await, "late", 1, false);
        let job = submit(&queue, &format!("job-{wakes_before_commit}"), Priority::Standard).await;
        let hung = late.next().await;
        let mut other = Worker::start(&server.connect().await, "other", 1);
        reap(&queue, &job).await;
        soon("the late holder is told", hung.cancel.cancelled()).await;
        let begun = other.next().await;
        assert_eq!((begun.job.attempt, begun.job.spent), (2, 1));
        if wakes_before_commit {
            hung.end(Ok(made(1)));
            late.drained().await;
            assert!(queue.waiting(&job).await.unwrap(), "the hint is not the late holder's to take");
            begun.end(Ok(made(2)));
        } else {
            begun.end(Ok(made(2)));
            reaches(&queue, &job, JobState::Done).await;
            hung.end(Ok(made(1)));
            late.drained().await;
        }
        let done = reaches(&queue, &job, JobState::Done).await;
        assert_eq!((done.output, done.attempt), (Some(made(2)), 2));
        assert_eq!(done.holder.unwrap().node.as_str(), "other");
        hint_goes(&queue, &job).await;
        other.drained().await;
    }
}

/// Somebody sends the record's events and says so in it: its holder still holds it.
#[tokio::test]
async fn a_change_that_is_no_loss_of_the_claim_does_not_hinder_the_commit() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut worker = Worker::start(&queue, "a", 1);
    let job = submit(&queue, "job", Priority::Standard).await;
    let begun = worker.next().await;
    for _ in 0..3 {
        let (mut held, revision) = record(&queue, &job).await;
        held.unsent.clear();
        queue.jobs().update(&key(&job), &held, revision).await.unwrap();
    }
    assert!(!begun.cancel.is_cancelled());
    begun.end(Ok(output()));
    let done = reaches(&queue, &job, JobState::Done).await;
    let told: Vec<_> = done.unsent.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(told, ["validate.completed"], "what was sent does not come back");
    hint_goes(&queue, &job).await;
}

#[tokio::test]
async fn a_cancelled_job_stops_its_holder() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut worker = Worker::start(&queue, "a", 1);
    let job = submit(&queue, "job", Priority::Standard).await;
    let begun = worker.next().await;
    let (held, revision) = record(&queue, &job).await;
    queue.jobs().update(&key(&job), &transition::cancel(held, 3).unwrap(), revision).await.unwrap();
    soon("the holder is told", begun.cancel.cancelled()).await;
    worker.drained().await;
    assert_eq!(record(&queue, &job).await.0.state, JobState::Cancelled);
}

#[tokio::test]
async fn failures_end_as_their_class_says() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut worker = Worker::start(&queue, "a", 1);

    let job = submit(&queue, "input", Priority::Standard).await;
    worker.next().await.end(Err(Failure::input("source-truncated", "ends early")));
    let failed = reaches(&queue, &job, JobState::Failed).await;
    assert_eq!(failed.failures[0].code, "source-truncated");
    hint_goes(&queue, &job).await;

    let job = submit(&queue, "panic", Priority::Standard).await;
    drop(worker.next().await);
    let failed = reaches(&queue, &job, JobState::Failed).await;
    assert_eq!((failed.failures[0].class, failed.failures[0].code.as_str()), (Class::Bug, "handler-panicked"));
    hint_goes(&queue, &job).await;

    let job = submit(&queue, "transient", Priority::Standard).await;
    for attempt in 1..=transition::ATTEMPTS_MAX {
        let begun = worker.next().await;
        assert_eq!(begun.job.attempt, attempt);
        begun.end(Err(Failure::new(Class::Transient, "t", "again")));
    }
    let dead = reaches(&queue, &job, JobState::Dead).await;
    assert_eq!(dead.failures.len(), transition::ATTEMPTS_MAX as usize);
    hint_goes(&queue, &job).await;

    let (dead, revision) = record(&queue, &job).await;
    let again = transition::redrive(dead, 9).unwrap();
    let revision = queue.jobs().update(&key(&job), &again, revision).await.unwrap();
    queue.dispatch(&again, revision).await.unwrap();
    worker.next().await.end(Ok(output()));
    reaches(&queue, &job, JobState::Done).await;
    worker.drained().await;
}

#[tokio::test]
async fn what_one_node_lacks_another_is_asked_for() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut a = Worker::start(&server.connect().await, "a", 1);
    let mut b = Worker::start(&server.connect().await, "b", 1);
    for round in 0..4 {
        let job = submit(&queue, &format!("job-{round}"), Priority::Standard).await;
        let mut nodes = Vec::new();
        for result in [Err(Failure::new(Class::Resource, "no-encoder", "no session")), Ok(output())] {
            let begun = soon("somebody takes it", async {
                tokio::select! {
                    begun = a.next() => begun,
                    begun = b.next() => begun,
                }
            })
            .await;
            nodes.push(begun.job.holder.clone().unwrap().node);
            begun.end(result);
        }
        assert_ne!(nodes[0], nodes[1]);
        let done = reaches(&queue, &job, JobState::Done).await;
        assert_eq!((done.spent, done.attempt), (1, 2));
    }
}

/// The holder's process is gone without a word, its connection with it.
#[tokio::test]
async fn a_holder_that_vanished_is_replaced_at_the_reapers_word() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let gone = {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = server.config();
        let (sender, claimed) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let queue = Queue::connect(&url).await.unwrap();
            let mut worker = Worker::start(&queue, "gone", 1);
            let begun = worker.next().await;
            let _ = sender.send(());
            std::future::pending::<()>().await;
            drop(begun);
        });
        let job = submit(&queue, "job", Priority::Standard).await;
        soon("it is claimed", claimed).await.unwrap();
        runtime.shutdown_background();
        job
    };
    assert_eq!(record(&queue, &gone).await.0.state, JobState::Running);
    let mut other = Worker::start(&queue, "other", 1);
    reap(&queue, &gone).await;
    let begun = other.next().await;
    assert_eq!(begun.job.attempt, 2);
    begun.end(Ok(output()));
    let done = eventually("done", async || {
        let (found, _) = record(&queue, &gone).await;
        (found.state == JobState::Done).then_some(found)
    })
    .await;
    assert_eq!(done.failures[0].code, transition::HOLDER_LOST);
}
