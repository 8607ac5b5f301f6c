//! A fleet that is not there: a thousand nodes with scripted GPUs in one process, each with the real
//! headroom and the real runner on a real NATS, and thousands of jobs. What it shows is how the claim
//! policy fills devices; nothing is encoded, and a chunk takes as long as its share says.

mod book;
mod cost;
mod node;
mod picture;
mod report;
mod work;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use framemill_queue::{NatsConfig, Queue};
use framemill_schemas::subject;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use book::Book;
use node::Node;
pub use picture::picture;
pub use report::{FleetReport, Sample};

/// Connections that the nodes share: each carries the words of many.
const CONNECTIONS: usize = 16;
/// Jobs that are created at the same time.
const CREATES_AT_ONCE: usize = 128;
/// How often the fleet is looked at: as often as its GPUs are read.
const LOOK: Duration = Duration::from_secs(1);

/// A fleet, and what it is to do.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Where its jobs wait.
    pub nats: NatsConfig,
    /// Nodes of mixed devices.
    pub nodes: usize,
    /// Jobs of mixed size.
    pub jobs: usize,
    /// Large jobs that come once the fleet is full.
    pub large: usize,
    /// Nodes whose GPUs open fewer sessions, for a while, than their drivers are known for.
    pub liars: usize,
    /// Seconds of media of a job, at most.
    pub media_s: u64,
    /// How long it may take.
    pub limit: Duration,
}

/// Which of several kinds, each so many of a hundred, number `at` is. A step that has no factor in common
/// with a hundred visits every part of them.
fn share_of<T>(at: usize, kinds: impl IntoIterator<Item = (usize, T)>) -> T {
    let place = at * 37 % 100;
    let mut upto = 0;
    let found = kinds.into_iter().find(|(percent, _)| {
        upto += percent;
        place < upto
    });
    found.map(|(_, kind)| kind).expect("the kinds are a hundred in all")
}

/// Runs it. `say` tells how far it is.
pub async fn run(fleet: &Fleet, say: impl Fn(String)) -> Result<FleetReport> {
    let queues: Vec<Queue> = stream::iter(0..CONNECTIONS.min(fleet.nodes))
        .then(|_| Queue::connect(&fleet.nats))
        .try_collect()
        .await
        .context("cannot connect to NATS")?;
    let book = Arc::new(Book::new(fleet.jobs + fleet.large));
    say(format!("creating {} jobs", fleet.jobs));
    create(&queues, &book, work::mixed(fleet.jobs, fleet.media_s)).await?;

    let started = Instant::now();
    let drain = CancellationToken::new();
    let nodes: Vec<Node> = (0..fleet.nodes)
        .map(|at| Node::start(at, at < fleet.liars, queues[at % queues.len()].clone(), book.clone(), drain.clone()))
        .collect();
    let watched = watch(fleet, &queues, &book, &nodes, started, &say).await;
    drain.cancel();
    for node in nodes {
        node.end().await;
    }
    let samples = watched?;
    Ok(report::report(fleet, &book, samples).await)
}

/// Looks at the fleet every second until its work is done.
async fn watch(
    fleet: &Fleet,
    queues: &[Queue],
    book: &Arc<Book>,
    nodes: &[Node],
    started: Instant,
    say: &impl Fn(String),
) -> Result<Vec<Sample>> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut timer = tokio::time::interval(LOOK);
    let mut large = fleet.large;
    loop {
        timer.tick().await;
        let now = Instant::now();
        let states: Vec<_> = nodes.iter().flat_map(|node| node.look(now)).collect();
        let sample = book.sample(&states, now.duration_since(started), now);
        if samples.len().is_multiple_of(10) {
            let Sample { seconds, filled_percent, waiting, running, .. } = &sample;
            say(format!("{seconds:.0} s: {waiting} jobs wait, {running} run, devices {filled_percent:.1} % filled"));
        }
        let full = sample.filled_percent >= report::FULL_PERCENT;
        samples.push(sample);
        if large > 0 && (full || samples.len() > 30) {
            // Behind them thousands of small ones go on waiting, and must not wait for them.
            create(queues, book, work::large(std::mem::take(&mut large), fleet.media_s)).await?;
        }
        if large == 0 && book.is_done() {
            return Ok(samples);
        }
        if started.elapsed() > fleet.limit {
            bail!("{} of {} jobs are not done after {} s", book.left(), book.jobs(), fleet.limit.as_secs());
        }
    }
}

async fn create(queues: &[Queue], book: &Book, jobs: Vec<framemill_schemas::job::JobRecord>) -> Result<()> {
    let created = jobs.into_iter().enumerate().map(|(at, job)| {
        let queue = queues[at % queues.len()].clone();
        async move {
            book.submitted(&job, Instant::now());
            let revision = queue.jobs().create(&subject::job_record(job.asset, job.id), &job).await?;
            queue.dispatch(&job, revision).await?;
            Ok::<_, anyhow::Error>(())
        }
    });
    stream::iter(created).buffer_unordered(CREATES_AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(())
}
