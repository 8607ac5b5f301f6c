//! The loops of a scheduler that bring jobs back, and workers that vanish.

use std::time::Duration;

use framemill_queue::{NatsConfig, Queue};
use framemill_scheduler::{
    loops::{reap, sweep, watch},
    view::View,
};
use framemill_schemas::{job::JobRecord, lane::Priority};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    server::{eventually, soon},
    worker::{Worker, asset, job, key},
};

/// What the tests' workers are given, and so what these loops go by.
pub const LEASE: Duration = Duration::from_secs(2);

pub struct Control {
    _stopped: DropGuard,
}

impl Control {
    pub async fn start(queue: &Queue) -> Self {
        Self::start_with(queue, LEASE).await
    }

    pub async fn start_with(queue: &Queue, lease: Duration) -> Self {
        let (stop, view) = (CancellationToken::new(), View::default());
        {
            let (queue, view, stop) = (queue.clone(), view.clone(), stop.clone());
            tokio::spawn(async move {
                tokio::join!(
                    watch::run(&queue, &view, &stop),
                    reap::run(&queue, &view, lease, &stop),
                    sweep::run(&queue, &view, &stop),
                )
            });
        }
        eventually("the view is current", async || view.is_current().then_some(())).await;
        Self { _stopped: stop.drop_guard() }
    }
}

/// Creates a job without its hint, as whoever dies between the two leaves it.
pub async fn create(queue: &Queue, unit: &str) -> JobRecord {
    let job = job(asset(), unit, Priority::Standard);
    queue.jobs().create(&key(&job), &job).await.unwrap();
    job
}

/// A worker in a runtime of its own, that has begun a job, and can go without a word: its
/// connection breaks, its heartbeats end, its handlers never return.
pub struct Doomed(tokio::runtime::Runtime);

impl Doomed {
    pub async fn that_began_one(config: NatsConfig, node: &'static str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, began) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let queue = Queue::connect(&config).await.unwrap();
            let mut worker = Worker::start(&queue, node, 1);
            let begun = worker.next().await;
            let _ = sender.send(());
            std::future::pending::<()>().await;
            drop(begun);
        });
        soon("it begins", began).await.unwrap();
        Self(runtime)
    }

    pub fn kill(self) {
        self.0.shutdown_background();
    }
}
