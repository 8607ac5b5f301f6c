//! How soon a killed worker's job runs elsewhere, where there is room. `--nocapture` shows it.
#![allow(clippy::print_stderr)]

use std::time::{Duration, Instant};

use framemill_queue::LEASE;
use framemill_schemas::lane::Priority;

use crate::{
    control::{Control, Doomed},
    server::{Server, soon},
    worker::{Worker, output, submit},
};

const KILLS: usize = 12;
/// Longest wait between two kills: not a multiple of anybody's pace.
const APART: Duration = Duration::from_millis(370);

#[tokio::test]
async fn a_killed_workers_job_runs_elsewhere_within_seconds() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let _control = Control::start_with(&queue, LEASE).await;
    let mut doomed = Vec::new();
    for number in 0..KILLS {
        let job = submit(&queue, &format!("job-{number}"), Priority::Standard).await;
        doomed.push((job, Doomed::that_began_one(server.config(), "doomed").await));
    }
    let mut rescue = Worker::start_with_slots(&server.connect().await, "rescue", KILLS, LEASE);
    let mut killed = Vec::new();
    for (job, doomed) in doomed {
        doomed.kill();
        killed.push((job.id, Instant::now()));
        tokio::time::sleep(APART).await;
    }
    let mut waits = Vec::new();
    for _ in 0..KILLS {
        let begun = soon("it is run elsewhere", rescue.begun.recv()).await.unwrap();
        let (_, at) = killed.iter().find(|(job, _)| *job == begun.job.id).unwrap();
        waits.push(at.elapsed());
        begun.end(Ok(output()));
    }
    waits.sort();
    eprintln!("from kill to claim elsewhere: p50 {:?}, longest {:?}", waits[KILLS / 2], waits[KILLS - 1]);
    rescue.drained().await;
}
