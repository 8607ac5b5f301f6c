//! Jobs, and a runner whose handler does what the test says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use framemill_queue::{
    Queue, QueueError, Standing,
    runner::{Attempt, Gate, Handler, RunnerConfig, serve_as},
};
use framemill_schemas::{
    failure::{Class, Failure},
    finding::{Report, ReportState},
    ids::{AssetId, JobId, NodeId, Tenant},
    job::{JobKind, JobRecord, JobState},
    ladder::VideoCodec,
    lane::{Lane, Priority},
    spec::{JobOutput, JobSpec, ValidatePartSpec},
    subject,
    trace::TraceContext,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::server::{BOUND, eventually, soon};

pub fn job(asset: AssetId, unit: &str, priority: Priority) -> JobRecord {
    let part = JobId::derive(asset, 1, unit, 0);
    let spec = JobSpec::ValidatePart(ValidatePartSpec { part, part_key: "p".to_owned() });
    let lane = Lane::Plain { kind: JobKind::Validate, priority };
    let trace = TraceContext {
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        tracestate: String::new(),
    };
    JobRecord { trace, ..JobRecord::ready(asset, 1, unit.to_owned(), Tenant::default_tenant(), lane, spec, 1) }
}

pub fn asset() -> AssetId {
    AssetId::new(Uuid::new_v4())
}

pub fn key(job: &JobRecord) -> String {
    subject::job_record(job.asset, job.id)
}

/// Creates and queues a job. While leaders move, a hint may be refused; whoever dispatches tries
/// again.
pub async fn submit(queue: &Queue, unit: &str, priority: Priority) -> JobRecord {
    let job = job(asset(), unit, priority);
    let revision = queue.jobs().create(&key(&job), &job).await.unwrap();
    eventually("the job is queued", async || queue.dispatch(&job, revision).await.ok()).await;
    job
}

pub async fn record(queue: &Queue, job: &JobRecord) -> (JobRecord, u64) {
    queue.jobs().get(&key(job)).await.unwrap().unwrap()
}

/// Waits until the job is in `state`.
pub async fn reaches(queue: &Queue, job: &JobRecord, state: JobState) -> JobRecord {
    eventually(&format!("{} is {}", job.unit, state.as_str()), async || {
        let (found, _) = queue.jobs().get(&key(job)).await.ok()??;
        (found.state == state).then_some(found)
    })
    .await
}

/// Waits until no hint of the job is left.
pub async fn hint_goes(queue: &Queue, job: &JobRecord) {
    eventually("the hint is gone", async || (!queue.waiting(job).await.ok()?).then_some(())).await;
}

pub fn output() -> JobOutput {
    made(1)
}

pub fn made(frames: u64) -> JobOutput {
    JobOutput::Validation(Report { v: 1, state: ReportState::Passed, frames, checks: vec![], findings: vec![] })
}

/// An attempt that waits for the test's word.
pub struct Begun {
    pub job: JobRecord,
    pub cancel: CancellationToken,
    pub progress: tokio::sync::watch::Sender<(u64, u64)>,
    pub end: oneshot::Sender<Result<JobOutput, Failure>>,
}

impl Begun {
    pub fn end(self, result: Result<JobOutput, Failure>) {
        let _ = self.end.send(result);
    }
}

struct Scripted {
    begun: mpsc::UnboundedSender<Begun>,
    obeys: bool,
    running: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
}

impl Handler for Scripted {
    async fn run(&self, attempt: &Attempt) -> Result<JobOutput, Failure> {
        let (end, ended) = oneshot::channel();
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let begun =
            Begun { job: attempt.job.clone(), cancel: attempt.cancel.clone(), progress: attempt.progress.clone(), end };
        self.begun.send(begun).unwrap();
        let result = tokio::select! {
            result = ended => result.expect("a test that ends an attempt says how"),
            () = attempt.cancel.cancelled(), if self.obeys => {
                Err(Failure::new(Class::Transient, "cancelled", "told to"))
            }
        };
        self.running.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

pub struct Worker {
    pub begun: mpsc::UnboundedReceiver<Begun>,
    pub drain: CancellationToken,
    pub stop: CancellationToken,
    /// Most attempts at once so far.
    pub most: Arc<AtomicU32>,
    served: JoinHandle<Result<(), QueueError>>,
}

impl Worker {
    pub fn start(queue: &Queue, node: &str, slots: usize) -> Self {
        Self::begin(queue, node, slots, true, Duration::from_secs(2))
    }

    pub fn start_with_lease(queue: &Queue, node: &str, lease: Duration) -> Self {
        Self::begin(queue, node, 1, true, lease)
    }

    #[allow(dead_code, reason = "for the recovery tests, which share this file")]
    pub fn start_with_slots(queue: &Queue, node: &str, slots: usize, lease: Duration) -> Self {
        Self::begin(queue, node, slots, true, lease)
    }

    /// `obeys`: whether its handler ends when it is cancelled.
    pub fn start_as(queue: &Queue, node: &str, slots: usize, obeys: bool) -> Self {
        Self::begin(queue, node, slots, obeys, Duration::from_secs(2))
    }

    /// One that obeys what the farm says of its node.
    pub fn start_standing(queue: &Queue, node: &str, standing: watch::Receiver<Standing>) -> Self {
        Self::begin_as(queue, node, 1, true, Duration::from_secs(2), standing)
    }

    fn begin(queue: &Queue, node: &str, slots: usize, obeys: bool, lease: Duration) -> Self {
        Self::begin_as(queue, node, slots, obeys, lease, watch::channel(Standing::FREE).1)
    }

    fn begin_as(
        queue: &Queue,
        node: &str,
        slots: usize,
        obeys: bool,
        lease: Duration,
        standing: watch::Receiver<Standing>,
    ) -> Self {
        Self::serve(queue, Self::config(node, slots, lease), obeys, standing)
    }

    /// One in a zone.
    #[allow(dead_code, reason = "for the recovery tests, which share this file")]
    pub fn start_in(queue: &Queue, node: &str, slots: usize, zone: &str) -> Self {
        let zone = Some(zone.parse().unwrap());
        let config = RunnerConfig { zone, ..Self::config(node, slots, Duration::from_secs(2)) };
        Self::serve(queue, config, true, watch::channel(Standing::FREE).1)
    }

    fn config(node: &str, slots: usize, lease: Duration) -> RunnerConfig {
        RunnerConfig {
            node: node.parse::<NodeId>().unwrap(),
            process: Uuid::new_v4(),
            role: "worker",
            lanes: Lane::all(&JobKind::ALL),
            slots,
            encodes: VideoCodec::ALL.to_vec(),
            zone: None,
            lease,
            gate: Gate::default(),
        }
    }

    fn serve(queue: &Queue, config: RunnerConfig, obeys: bool, standing: watch::Receiver<Standing>) -> Self {
        let (sender, begun) = mpsc::unbounded_channel();
        let (drain, stop, most) = (CancellationToken::new(), CancellationToken::new(), Arc::new(AtomicU32::new(0)));
        let handler = Arc::new(Scripted { begun: sender, obeys, running: Arc::default(), most: most.clone() });
        let served = tokio::spawn(serve_as(queue.clone(), config, standing, handler, drain.clone(), stop.clone()));
        Self { begun, drain, stop, most, served }
    }

    /// The next attempt.
    pub async fn next(&mut self) -> Begun {
        soon("an attempt begins", self.begun.recv()).await.expect("the runner serves")
    }

    pub async fn drained(self) {
        self.drain.cancel();
        self.returns().await;
    }

    pub async fn returns(self) {
        tokio::time::timeout(BOUND, self.served).await.expect("the runner returns").unwrap().unwrap();
    }
}
