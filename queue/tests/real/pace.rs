//! How fast jobs begin, and what idle runners cost. `--nocapture` shows the figures.
#![allow(clippy::print_stderr)]

use std::time::{Duration, Instant};

use framemill_schemas::{job::JobState, lane::Priority};

use crate::{
    server::Server,
    worker::{Worker, hint_goes, output, reaches, submit},
};

/// From the queue to a handler, and from one commit to the next claim. The bounds leave room for
/// a busy machine; what is usual is far below.
#[tokio::test]
async fn an_idle_runner_begins_within_milliseconds() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let mut worker = Worker::start(&server.connect().await, "a", 1);
    let mut waits = Vec::new();
    for round in 0..30 {
        let job = submit(&queue, &format!("job-{round}"), Priority::Standard).await;
        let queued = Instant::now();
        let begun = worker.next().await;
        waits.push(queued.elapsed());
        begun.end(Ok(output()));
        reaches(&queue, &job, JobState::Done).await;
        hint_goes(&queue, &job).await;
    }
    let dispatched = median(waits);
    for round in 0..30 {
        submit(&queue, &format!("more-{round}"), Priority::Standard).await;
    }
    let mut waits = Vec::new();
    let mut begun = worker.next().await;
    for _ in 1..30 {
        let ended = Instant::now();
        begun.end(Ok(output()));
        begun = worker.next().await;
        waits.push(ended.elapsed());
    }
    begun.end(Ok(output()));
    let followed = median(waits);
    assert!(
        dispatched < Duration::from_millis(100) && followed < Duration::from_millis(100),
        "dispatch to begin {dispatched:?}, end to next begin {followed:?}"
    );
    worker.drained().await;
    eprintln!("dispatch to begin {dispatched:?}, end to next begin {followed:?}");
}

fn median(mut waits: Vec<Duration>) -> Duration {
    waits.sort();
    waits[waits.len() / 2]
}

/// A measurement: what a fleet of idle runners costs the server, in thousandths of one core.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement that takes half a minute"]
async fn an_idle_fleet_costs_the_server_next_to_nothing() {
    const RUNNERS: usize = 250;
    const WATCHED: Duration = Duration::from_secs(20);
    let server = Server::start().await;
    let mut fleet = Vec::new();
    for number in 0..RUNNERS {
        fleet.push(Worker::start_with_lease(
            &server.connect().await,
            &format!("node-{number}"),
            Duration::from_secs(10),
        ));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = server.cpu_ms();
    tokio::time::sleep(WATCHED).await;
    let spent = server.cpu_ms() - before;
    eprintln!("{RUNNERS} idle runners: {} thousandths of a core", u128::from(spent) * 1000 / WATCHED.as_millis());
    let queue = server.connect().await;
    let queued = Instant::now();
    let job = submit(&queue, "job", Priority::Standard).await;
    reaches(&queue, &job, JobState::Running).await;
    eprintln!("a job among them runs after {:?}", queued.elapsed());
}
