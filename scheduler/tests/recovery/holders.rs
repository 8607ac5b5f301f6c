//! Holders that vanish, come back, or were only cut off.

use framemill_queue::transition::HOLDER_LOST;
use framemill_schemas::{job::JobState, lane::Priority};

use crate::{
    control::{Control, Doomed, create},
    proxy::Proxy,
    server::{Server, eventually, soon},
    worker::{Worker, hint_goes, made, output, reaches, record, submit},
};

#[tokio::test]
async fn a_job_whose_hint_was_never_sent_is_run() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let _control = Control::start(&queue).await;
    let mut worker = Worker::start(&queue, "a", 1);
    let job = create(&queue, "job").await;
    worker.next().await.end(Ok(output()));
    assert_eq!(reaches(&queue, &job, JobState::Done).await.attempt, 1);
    hint_goes(&queue, &job).await;
    worker.drained().await;
}

#[tokio::test]
async fn a_killed_workers_job_is_run_elsewhere_and_a_living_ones_is_not() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let _control = Control::start(&queue).await;
    let mut living = Worker::start(&server.connect().await, "living", 1);
    let kept = submit(&queue, "kept", Priority::Standard).await;
    let held = living.next().await;
    let lost = submit(&queue, "lost", Priority::Standard).await;
    let doomed = Doomed::that_began_one(server.config(), "doomed").await;
    doomed.kill();
    let mut other = Worker::start(&server.connect().await, "other", 1);
    let begun = other.next().await;
    assert_eq!((begun.job.id, begun.job.attempt, begun.job.spent), (lost.id, 2, 1));
    begun.end(Ok(output()));
    let done = reaches(&queue, &lost, JobState::Done).await;
    let failure = &done.failures[0];
    assert_eq!((failure.code.as_str(), failure.node.as_ref().unwrap().as_str()), (HOLDER_LOST, "doomed"));
    assert!(!held.cancel.is_cancelled());
    held.end(Ok(output()));
    let done = reaches(&queue, &kept, JobState::Done).await;
    assert_eq!((done.attempt, done.spent), (1, 0));
    living.drained().await;
    other.drained().await;
}

/// The process is back before anybody missed it, on the same machine, and knows nothing of its
/// old claim: that is taken back after a lease and run again, once.
#[tokio::test]
async fn a_worker_restarted_inside_its_lease_runs_its_job_again_once() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let _control = Control::start(&queue).await;
    let job = submit(&queue, "job", Priority::Standard).await;
    let doomed = Doomed::that_began_one(server.config(), "a").await;
    let before = record(&queue, &job).await.0.holder.unwrap();
    doomed.kill();
    let mut again = Worker::start(&server.connect().await, "a", 2);
    let begun = again.next().await;
    let after = begun.job.holder.clone().unwrap();
    assert_eq!((begun.job.id, begun.job.attempt), (job.id, 2));
    assert_eq!(after.node, before.node);
    assert!(after.process != before.process && after.nonce != before.nonce);
    begun.end(Ok(output()));
    let done = reaches(&queue, &job, JobState::Done).await;
    assert_eq!((done.attempt, done.spent, done.holder.unwrap()), (2, 1, after));
    hint_goes(&queue, &job).await;
    assert!(again.begun.try_recv().is_err(), "it was run a third time");
    again.drained().await;
}

/// Cut off for longer than its lease, the holder works on; when it is back, another has its job.
#[tokio::test]
async fn a_holder_back_after_its_lease_is_fenced_and_publishes_nothing() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let _control = Control::start(&queue).await;
    for ends_while_cut_off in [false, true] {
        let proxy = Proxy::before(server.port()).await;
        let mut cut_off = Worker::start_as(&proxy.connect().await, "cut-off", 1, false);
        let job = submit(&queue, &format!("job-{ends_while_cut_off}"), Priority::Standard).await;
        let old = cut_off.next().await;
        proxy.set_broken(true);
        let mut other = Worker::start(&server.connect().await, "other", 1);
        let new = other.next().await;
        assert_eq!((new.job.id, new.job.attempt), (job.id, 2));
        assert!(!old.cancel.is_cancelled(), "nobody could tell it yet");
        if ends_while_cut_off {
            old.end(Ok(made(1)));
            proxy.set_broken(false);
        } else {
            proxy.set_broken(false);
            soon("it is told", old.cancel.cancelled()).await;
            old.end(Ok(made(1)));
        }
        cut_off.drained().await;
        let (held, _) = record(&queue, &job).await;
        assert_eq!((held.state, held.holder), (JobState::Running, new.job.holder.clone()));
        assert!(queue.waiting(&job).await.unwrap(), "the hint is not the old holder's to take");
        new.end(Ok(made(2)));
        let done = reaches(&queue, &job, JobState::Done).await;
        assert_eq!((done.output, done.attempt, done.spent), (Some(made(2)), 2, 1));
        hint_goes(&queue, &job).await;
        let told: Vec<_> = done.unsent.iter().filter(|event| event.kind.ends_with(".completed")).collect();
        assert_eq!(told.len(), 1);
        other.drained().await;
    }
}

/// Kills that have nothing to do with a job must not use it up.
#[tokio::test]
async fn unrelated_kills_do_not_kill_a_job() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let _control = Control::start(&queue).await;
    let job = submit(&queue, "job", Priority::Standard).await;
    for attempt in 1..=4 {
        let doomed = Doomed::that_began_one(server.config(), "a").await;
        assert_eq!(record(&queue, &job).await.0.attempt, attempt);
        doomed.kill();
        eventually("it is taken back", async || (record(&queue, &job).await.0.state == JobState::Ready).then_some(()))
            .await;
    }
    let mut worker = Worker::start(&queue, "b", 1);
    worker.next().await.end(Ok(output()));
    let done = reaches(&queue, &job, JobState::Done).await;
    assert_eq!((done.attempt, done.spent), (5, 4));
    worker.drained().await;
}
