//! The farm's side: a scheduler's and a worker's connection, the real runner with a handler that
//! does nothing, the real outbox fed by a watch as a scheduler feeds it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use framemill_queue::{
    Change, NatsConfig, Outbox, Queue,
    runner::{self, Attempt, Gate, Handler, RunnerConfig},
};
use framemill_schemas::{
    failure::Failure,
    ids::{JobId, NodeId},
    job::{JobKind, JobRecord, JobState},
    ladder::VideoCodec,
    lane::Lane,
    spec::JobOutput,
    subject,
};
use futures_util::{StreamExt, future::try_join_all, stream};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longest wait for the next job to come to its end.
const STUCK: Duration = Duration::from_secs(60);
/// Records whose events are under way at the same time, as in a scheduler.
const RECORDS_AT_ONCE: usize = 16;
const LEASE: Duration = Duration::from_secs(15);

/// A scheduler and a worker, as far as the queue goes.
pub struct Farm {
    /// The scheduler's connection.
    pub scheduler: Queue,
    /// The worker's connection.
    pub worker: Queue,
    claimed: mpsc::UnboundedReceiver<(JobId, Instant)>,
    settled: mpsc::UnboundedReceiver<JobId>,
    drain: CancellationToken,
    served: JoinHandle<()>,
    told: JoinHandle<()>,
}

impl Farm {
    /// Starts both; the worker has `slots` and serves every lane that workers serve.
    pub async fn start(config: &NatsConfig, slots: usize) -> Result<Self> {
        let scheduler = Queue::connect(config).await?;
        let worker = Queue::connect(config).await?;
        let (settled, settled_jobs) = mpsc::unbounded_channel();
        let told = tokio::spawn(tell(scheduler.clone(), settled));
        let (claimed, claimed_jobs) = mpsc::unbounded_channel();
        let drain = CancellationToken::new();
        let runner = RunnerConfig {
            node: NodeId::try_from("bench".to_owned())?,
            process: Uuid::new_v4(),
            role: "worker",
            lanes: Lane::all(&[JobKind::Probe, JobKind::Audio, JobKind::Transcode]),
            slots,
            encodes: VideoCodec::ALL.to_vec(),
            zone: None,
            lease: LEASE,
            gate: Gate::default(),
        };
        let serve = runner::serve(
            worker.clone(),
            runner,
            Arc::new(NoWork { claimed }),
            drain.clone(),
            CancellationToken::new(),
        );
        let served = tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "the runner ended");
            }
        });
        Ok(Self { scheduler, worker, claimed: claimed_jobs, settled: settled_jobs, drain, served, told })
    }

    /// Ends both.
    pub async fn stop(self) {
        self.drain.cancel();
        self.told.abort();
        // A runner that broke off has said so.
        let _ = self.served.await;
    }

    /// Submits jobs from `parallel` tasks, and returns how long it took until the last was done
    /// and its events sent.
    pub async fn run(&mut self, jobs: Vec<JobRecord>, parallel: usize) -> Result<Duration> {
        let count = jobs.len();
        let started = Instant::now();
        let jobs = Arc::new(Mutex::new(jobs));
        let submitters = (0..parallel).map(|_| {
            let (queue, jobs) = (self.scheduler.clone(), jobs.clone());
            tokio::spawn(async move {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(job) = job else { return Ok(()) };
                    submit(&queue, &job).await?;
                }
            })
        });
        let submitted = async {
            let ended: Vec<Result<()>> = try_join_all(submitters).await?;
            ended.into_iter().collect::<Result<()>>()
        };
        let settled = async {
            for _ in 0..count {
                next(&mut self.settled).await?;
            }
            Ok(())
        };
        tokio::try_join!(submitted, settled)?;
        let wall = started.elapsed();
        while self.claimed.try_recv().is_ok() {}
        Ok(wall)
    }

    /// Submits one job after another to a farm that has nothing else to do, and measures each
    /// from before its record was created until after it was claimed.
    pub async fn idle(&mut self, jobs: Vec<JobRecord>, pause: Duration) -> Result<Vec<Duration>> {
        let mut samples = Vec::with_capacity(jobs.len());
        for job in jobs {
            tokio::time::sleep(pause).await;
            let submitted = Instant::now();
            submit(&self.scheduler, &job).await?;
            let (id, claimed) = next(&mut self.claimed).await?;
            if id != job.id {
                bail!("job {id} was claimed, not {}, the only one there is", job.id);
            }
            samples.push(claimed.duration_since(submitted));
            next(&mut self.settled).await?;
        }
        Ok(samples)
    }

    /// Submits jobs at a steady pace, whatever becomes of them, and measures each the same way.
    pub async fn paced(&mut self, jobs: Vec<JobRecord>, every: Duration) -> Result<Vec<Duration>> {
        let count = jobs.len();
        let queue = self.scheduler.clone();
        let submitter = tokio::spawn(async move {
            let mut pace = tokio::time::interval(every);
            let mut submits = Vec::with_capacity(jobs.len());
            for job in jobs {
                pace.tick().await;
                let (queue, submitted) = (queue.clone(), Instant::now());
                submits.push(tokio::spawn(async move { submit(&queue, &job).await.map(|()| (job.id, submitted)) }));
            }
            let ended: Vec<Result<(JobId, Instant)>> = try_join_all(submits).await?;
            ended.into_iter().collect::<Result<HashMap<_, _>>>()
        });
        let mut claims = Vec::with_capacity(count);
        for _ in 0..count {
            claims.push(next(&mut self.claimed).await?);
        }
        for _ in 0..count {
            next(&mut self.settled).await?;
        }
        let submitted = submitter.await??;
        let since =
            |id: &JobId, claimed: Instant| submitted.get(id).map(|submitted| claimed.duration_since(*submitted));
        claims.iter().map(|(id, claimed)| since(id, *claimed).context("a job of nobody's was claimed")).collect()
    }
}

async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> Result<T> {
    let received = timeout(STUCK, receiver.recv()).await.context("no job came any further for a minute")?;
    received.context("the farm ended")
}

/// As a scheduler creates a job: the record, then its hint.
pub async fn submit(queue: &Queue, job: &JobRecord) -> Result<()> {
    let revision = queue.jobs().create(&subject::job_record(job.asset, job.id), job).await?;
    Ok(queue.dispatch(job, revision).await?)
}

/// Watches the records, and sends the events they hold.
async fn tell(queue: Queue, settled: mpsc::UnboundedSender<JobId>) {
    let outbox = Outbox::new(queue.clone());
    let (unsent, more) = (Mutex::new(BTreeSet::new()), Notify::new());
    let take = || std::mem::take(&mut *unsent.lock().unwrap_or_else(PoisonError::into_inner));
    let watch = async {
        let mut changes = match queue.jobs().watch(">").await {
            Ok(changes) => changes,
            Err(error) => return tracing::error!(%error, "no watch"),
        };
        while let Some(change) = changes.next().await {
            let Ok(Change::Put { key, value, .. }) = change else { continue };
            if !value.unsent.is_empty() {
                unsent.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
                more.notify_one();
            } else if value.state == JobState::Done {
                // Nobody listens any more when the benchmark is over.
                let _ = settled.send(value.id);
            }
        }
    };
    let send = async {
        loop {
            let keys = take();
            if keys.is_empty() {
                more.notified().await;
                continue;
            }
            let sends = stream::iter(keys).for_each_concurrent(RECORDS_AT_ONCE, |key| {
                let outbox = &outbox;
                async move {
                    if let Err(error) = outbox.send_job(&key).await {
                        tracing::error!(%error, "events were not sent");
                    }
                }
            });
            sends.await;
        }
    };
    tokio::join!(watch, send);
}

struct NoWork {
    claimed: mpsc::UnboundedSender<(JobId, Instant)>,
}

impl Handler for NoWork {
    async fn run(&self, attempt: &Attempt) -> Result<JobOutput, Failure> {
        // Nobody listens any more when the benchmark is over.
        let _ = self.claimed.send((attempt.job.id, Instant::now()));
        Ok(JobOutput::Parts(Vec::new()))
    }
}
