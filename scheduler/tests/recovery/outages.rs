//! NATS is away, or stands still, for longer than a lease: nobody who works is to blame.

use std::time::{Duration, Instant};

use framemill_schemas::{job::JobState, lane::Priority};

use crate::{
    control::{Control, LEASE},
    server::{Server, eventually},
    worker::{Begun, Worker, hint_goes, made, reaches, record, submit},
};

/// Longer than anybody may be silent.
const AWAY: Duration = LEASE.saturating_mul(2);

/// Waits until `AWAY` has passed, and sees on the way that no handler is told to end.
async fn outlast(running: &[Begun]) {
    let since = Instant::now();
    eventually("the outage has lasted", async || {
        assert!(running.iter().all(|begun| !begun.cancel.is_cancelled()), "a handler was told to end");
        (since.elapsed() > AWAY).then_some(())
    })
    .await;
}

/// Jobs on two workers, of which every second ends during the outage.
async fn outlive(down: impl AsyncFnOnce(&mut Server), up: impl AsyncFnOnce(&mut Server)) {
    let mut server = Server::start().await;
    let queue = server.connect().await;
    let _control = Control::start(&queue).await;
    let mut workers = [Worker::start(&server.connect().await, "a", 2), Worker::start(&server.connect().await, "b", 2)];
    let mut jobs = Vec::new();
    for number in 0..4 {
        jobs.push(submit(&queue, &format!("job-{number}"), Priority::Standard).await);
    }
    let mut running = Vec::new();
    for worker in &mut workers {
        running.extend([worker.next().await, worker.next().await]);
    }
    down(&mut server).await;
    outlast(&running).await;
    let later = running.split_off(2);
    running.into_iter().for_each(|begun| begun.end(Ok(made(1))));
    up(&mut server).await;
    // What runs on is kept for as long as a reaper could be wrong about it.
    outlast(&later).await;
    later.into_iter().for_each(|begun| begun.end(Ok(made(1))));
    for job in &jobs {
        let done = reaches(&queue, job, JobState::Done).await;
        assert_eq!((done.attempt, done.spent, done.output), (1, 0, Some(made(1))), "{}", job.unit);
        hint_goes(&queue, job).await;
    }
    for mut worker in workers {
        assert!(worker.begun.try_recv().is_err(), "a job was run twice");
        worker.drained().await;
    }
    for job in &jobs {
        assert_eq!(record(&queue, job).await.0.attempt, 1);
    }
}

#[tokio::test]
async fn jobs_outlive_a_server_that_was_killed() {
    outlive(async |server| server.kill(), async |server| server.restart().await).await;
}

/// Connections stay open, and nothing comes through them.
#[tokio::test]
async fn jobs_outlive_a_server_that_stood_still() {
    outlive(async |server| server.pause(), async |server| server.resume()).await;
}
