//! `loadtest bench queue`: jobs that do nothing, through the whole path of the queue (accept,
//! record, dispatch, claim, commit, event, ack), and, in turns on the same server, a bare loop of
//! the operations that no such farm can do without.

pub mod backlog;

mod bare;
mod claims;
mod farm;
mod latency;
mod process;
mod sample;
mod traffic;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use framemill_queue::{NatsConfig, Queue};
use framemill_schemas::{ids::AssetId, job::JobRecord};
use serde::Serialize;
use uuid::Uuid;

use crate::figures::median;

use self::farm::Farm;
pub use self::{latency::Latency, traffic::Traffic};

/// Pause between two jobs of an idle farm: everything of the last one is over by then.
const IDLE_PAUSE: Duration = Duration::from_millis(20);
/// Chunks of an asset.
const CHUNKS: u64 = 120;
/// Events of a job that is claimed and done.
const EVENTS_PER_JOB: u64 = 2;

/// What to measure.
#[derive(Clone, Debug)]
pub struct QueueBench {
    /// A server of its own, empty.
    pub nats: NatsConfig,
    /// Jobs of each round on each side.
    pub jobs: u64,
    /// Rounds.
    pub rounds: usize,
    /// Submitters, and slots of the worker.
    pub parallel: usize,
    /// Jobs whose latency is measured, idle and under load.
    pub samples: u64,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct QueueReport {
    /// The server's version.
    pub server: String,
    /// Jobs of each round on each side.
    pub jobs: u64,
    /// Submitters, and slots of the worker.
    pub parallel: usize,
    /// Jobs per second of the bare loop, round by round.
    pub bare_jobs_per_s: Vec<f64>,
    /// Jobs per second of the farm, round by round.
    pub farm_jobs_per_s: Vec<f64>,
    /// Median of the bare rounds.
    pub bare_median_jobs_per_s: f64,
    /// Median of the farm's rounds.
    pub farm_median_jobs_per_s: f64,
    /// Median over rounds of farm divided by bare.
    pub ratio: f64,
    /// From before the record was created until after the claim, with nothing else to do.
    pub idle_claim: Latency,
    /// The same at `load_jobs_per_s`.
    pub load_claim: Latency,
    /// Half of what the farm managed.
    pub load_jobs_per_s: f64,
    /// Traffic of one job in the bare loop.
    pub bare_traffic: Traffic,
    /// Traffic of one job in the farm.
    pub farm_traffic: Traffic,
}

/// Runs both sides in turns. `say` is told one line after each round.
pub async fn run(bench: &QueueBench, mut say: impl FnMut(String)) -> Result<QueueReport> {
    ensure!(bench.jobs > 0 && bench.rounds > 0 && bench.parallel > 0, "nothing to measure");
    let bare = Queue::connect(&bench.nats).await?;
    bare::prepare(bare.client()).await?;
    let mut farm = Farm::start(&bench.nats, bench.parallel).await?;
    let mut report = QueueReport {
        server: bare.client().server_info().version,
        jobs: bench.jobs,
        parallel: bench.parallel,
        bare_jobs_per_s: Vec::new(),
        farm_jobs_per_s: Vec::new(),
        bare_median_jobs_per_s: 0.0,
        farm_median_jobs_per_s: 0.0,
        ratio: 0.0,
        idle_claim: Latency::default(),
        load_claim: Latency::default(),
        load_jobs_per_s: 0.0,
        bare_traffic: Traffic::default(),
        farm_traffic: Traffic::default(),
    };
    report.idle_claim = Latency::of(farm.idle(jobs(bench.samples), IDLE_PAUSE).await?);
    say(format!(
        "idle: submit to claim p50 {:.2} ms, p99 {:.2} ms",
        report.idle_claim.p50_ms, report.idle_claim.p99_ms
    ));
    for round in 1..=bench.rounds {
        let rate = |wall: Duration| bench.jobs as f64 / wall.as_secs_f64();
        let before = Traffic::of(&[bare.client()]);
        let bare_rate = rate(bare::run(bare.client(), jobs(bench.jobs), bench.parallel).await?);
        report.bare_traffic = Traffic::of(&[bare.client()]).per_job(before, bench.jobs);

        let events = events(&farm.scheduler).await?;
        let (scheduler, worker) = (farm.scheduler.client().clone(), farm.worker.client().clone());
        let before = Traffic::of(&[&scheduler, &worker]);
        let farm_rate = rate(farm.run(jobs(bench.jobs), bench.parallel).await?);
        report.farm_traffic = Traffic::of(&[&scheduler, &worker]).per_job(before, bench.jobs);
        let events = self::events(&farm.scheduler).await? - events;
        ensure!(events == bench.jobs * EVENTS_PER_JOB, "{events} events of {} jobs were stored", bench.jobs);

        say(format!("round {round}: bare {bare_rate:.0} jobs/s, farm {farm_rate:.0} jobs/s"));
        report.bare_jobs_per_s.push(bare_rate);
        report.farm_jobs_per_s.push(farm_rate);
    }
    let pairs = report.farm_jobs_per_s.iter().zip(&report.bare_jobs_per_s);
    report.ratio = median(pairs.map(|(farm, bare)| farm / bare).collect());
    report.bare_median_jobs_per_s = median(report.bare_jobs_per_s.clone());
    report.farm_median_jobs_per_s = median(report.farm_jobs_per_s.clone());
    report.load_jobs_per_s = report.farm_median_jobs_per_s / 2.0;
    let every = Duration::from_secs_f64(1.0 / report.load_jobs_per_s);
    report.load_claim = Latency::of(farm.paced(jobs(bench.samples), every).await?);
    say(format!(
        "half load: submit to claim p50 {:.2} ms, p99 {:.2} ms",
        report.load_claim.p50_ms, report.load_claim.p99_ms
    ));
    farm.stop().await;
    Ok(report)
}

/// Jobs that nobody has seen yet.
fn jobs(count: u64) -> Vec<JobRecord> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let assets: Vec<AssetId> = (0..count.div_ceil(CHUNKS)).map(|_| AssetId::new(Uuid::now_v7())).collect();
    let asset = |index: u64| assets[usize::try_from(index / CHUNKS).expect("as many as there are assets")];
    (0..count).map(|index| sample::job(asset(index), index % CHUNKS, now_ms)).collect()
}

/// Events the server holds.
async fn events(queue: &Queue) -> Result<u64> {
    let context = async_nats::jetstream::new(queue.client().clone());
    let stream = context.get_stream(framemill_schemas::subject::EVENTS_STREAM).await?;
    Ok(stream.cached_info().state.messages)
}
