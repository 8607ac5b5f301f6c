//! The runner among many jobs: order, room, drain, stop, presence.

use std::{
    pin::pin,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use framemill_schemas::{job::JobState, lane::Priority};
use futures_util::StreamExt;

use crate::{
    server::{Server, soon},
    worker::{Worker, hint_goes, output, reaches, record, submit},
};

#[tokio::test]
async fn the_most_urgent_job_comes_first() {
    let server = Server::start().await;
    let queue = server.connect().await;
    for (unit, priority) in [
        ("bulk-1", Priority::Bulk),
        ("standard-1", Priority::Standard),
        ("bulk-2", Priority::Bulk),
        ("urgent-1", Priority::Urgent),
        ("standard-2", Priority::Standard),
        ("urgent-2", Priority::Urgent),
    ] {
        submit(&queue, unit, priority).await;
    }
    let mut worker = Worker::start(&queue, "a", 1);
    let mut order = Vec::new();
    for round in 0..7 {
        let begun = worker.next().await;
        if round == 2 {
            // Comes while others wait and the only slot is taken.
            submit(&queue, "urgent-3", Priority::Urgent).await;
        }
        order.push(begun.job.priority());
        begun.end(Ok(output()));
    }
    use Priority::{Bulk, Standard, Urgent};
    assert_eq!(order, [Urgent, Urgent, Standard, Urgent, Standard, Bulk, Bulk]);
    worker.drained().await;
}

/// Pulls that wait cannot be called back: what they bring to a full runner goes to others now,
/// not when its time runs out.
#[tokio::test]
async fn what_a_full_runner_gets_goes_to_others_at_once() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut full = Worker::start(&server.connect().await, "full", 1);
    // Once it has run one job, all of its lanes have been swept and have pulls that wait.
    let job = submit(&queue, "first", Priority::Standard).await;
    full.next().await.end(Ok(output()));
    reaches(&queue, &job, JobState::Done).await;
    for priority in Priority::ALL {
        submit(&queue, priority.as_str(), priority).await;
    }
    let held = full.next().await;
    let begun = Instant::now();
    let mut other = Worker::start(&server.connect().await, "other", 2);
    let (second, third) = (other.next().await, other.next().await);
    assert!(begun.elapsed() < Duration::from_secs(10), "waited for a redelivery");
    let mut units = [&held, &second, &third].map(|begun| begun.job.unit.clone());
    units.sort();
    assert_eq!(units, ["bulk", "standard", "urgent"]);
    assert_eq!(full.most.load(Ordering::SeqCst), 1);
    for begun in [held, second, third] {
        begun.end(Ok(output()));
    }
    full.drained().await;
    other.drained().await;
}

#[tokio::test]
async fn every_slot_is_used_and_no_more() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut worker = Worker::start(&queue, "a", 3);
    let mut jobs = Vec::new();
    for number in 0..9 {
        jobs.push(submit(&queue, &format!("job-{number}"), Priority::Standard).await);
    }
    for _ in 0..3 {
        let begun = [worker.next().await, worker.next().await, worker.next().await];
        for begun in begun {
            begun.end(Ok(output()));
        }
    }
    for job in &jobs {
        assert_eq!(reaches(&queue, job, JobState::Done).await.attempt, 1);
        hint_goes(&queue, job).await;
    }
    assert_eq!(worker.most.load(Ordering::SeqCst), 3);
    worker.drained().await;
}

#[tokio::test]
async fn a_draining_runner_finishes_and_claims_nothing() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut draining = Worker::start(&server.connect().await, "a", 2);
    let first = submit(&queue, "first", Priority::Standard).await;
    let begun = draining.next().await;
    draining.drain.cancel();
    let second = submit(&queue, "second", Priority::Standard).await;
    let mut other = Worker::start(&server.connect().await, "b", 1);
    other.next().await.end(Ok(output()));
    reaches(&queue, &second, JobState::Done).await;
    assert!(!begun.cancel.is_cancelled());
    begun.end(Ok(output()));
    draining.returns().await;
    assert_eq!(record(&queue, &first).await.0.state, JobState::Done);
    other.drained().await;
}

#[tokio::test]
async fn a_stopped_runner_gives_its_job_back_and_spends_no_attempt() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut stopping = Worker::start(&server.connect().await, "a", 1);
    let job = submit(&queue, "job", Priority::Standard).await;
    let begun = stopping.next().await;
    let mut other = Worker::start(&server.connect().await, "b", 1);
    stopping.stop.cancel();
    soon("the handler is told", begun.cancel.cancelled()).await;
    stopping.returns().await;
    let again = other.next().await;
    assert_eq!((again.job.attempt, again.job.spent, again.job.failures.len()), (2, 0, 0));
    again.end(Ok(output()));
    reaches(&queue, &job, JobState::Done).await;
    hint_goes(&queue, &job).await;
    other.drained().await;
}

#[tokio::test]
async fn heartbeats_name_the_claims_and_progress_is_said() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut beats = pin!(queue.heartbeats().await.unwrap());
    let mut worker = Worker::start(&server.connect().await, "a", 2);
    let job = submit(&queue, "job", Priority::Standard).await;
    let mut progress = pin!(queue.progress(job.asset).await.unwrap());
    let begun = worker.next().await;
    let nonce = begun.job.holder.clone().unwrap().nonce;
    soon("a heartbeat with the nonce", async {
        while let Some(beat) = beats.next().await {
            assert_eq!((beat.role.as_str(), beat.slots), ("worker", 2));
            assert!(!beat.encodes.is_empty());
            if beat.nonces == [nonce] {
                return;
            }
        }
    })
    .await;
    begun.progress.send_replace((3, 10));
    let said = soon("progress", progress.next()).await.unwrap();
    assert_eq!((said.job_id, said.done, said.total), (job.id, 3, 10));
    worker.drain.cancel();
    soon("a heartbeat without room", async {
        while let Some(beat) = beats.next().await {
            if beat.slots == 0 && beat.nonces == [nonce] {
                return;
            }
        }
    })
    .await;
    begun.end(Ok(output()));
    worker.returns().await;
}
