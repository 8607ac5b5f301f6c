//! The bare loop: create a record, publish, fetch, claim by compare-and-set, commit by
//! compare-and-set, ack. No reads, no events, no heartbeats, no care for anything that may go
//! wrong: what no such farm can do without, on the same server, with the same records, on streams
//! of the same shape.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use async_nats::{
    Client,
    jetstream::{
        self,
        consumer::{AckPolicy, pull},
        message::PublishMessage,
        stream::{self, DiscardPolicy, RetentionPolicy, StorageType},
    },
};
use bytes::Bytes;
use framemill_schemas::{
    holder::Holder,
    ids::NodeId,
    job::{Hint, JobRecord, JobState},
    load::Load,
    spec::JobOutput,
    subject, wire,
};
use futures_util::{StreamExt, future::try_join_all};
use uuid::Uuid;

const RECORDS: &str = "BARE_RECORDS";
const HINTS: &str = "BARE_HINTS";
const CONSUMER: &str = "all";
/// How long a pull waits.
const PULL: Duration = Duration::from_secs(1);
/// As for the farm's lanes.
const ACK_WAIT: Duration = Duration::from_secs(30);
const WAITING_MAX: i64 = 16_384;

/// Makes the streams and the consumer.
pub async fn prepare(client: &Client) -> Result<()> {
    let context = jetstream::new(client.clone());
    let stream = |name: &str, subjects: &str| stream::Config {
        name: name.to_owned(),
        subjects: vec![subjects.to_owned()],
        storage: StorageType::File,
        ..Default::default()
    };
    let records = stream::Config {
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        ..stream(RECORDS, "bare.records.>")
    };
    context.create_stream(records).await?;
    let hints = stream::Config { retention: RetentionPolicy::WorkQueue, ..stream(HINTS, "bare.hints.>") };
    let consumer = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        filter_subject: "bare.hints.>".to_owned(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        max_ack_pending: -1,
        max_waiting: WAITING_MAX,
        ..Default::default()
    };
    context.create_stream(hints).await?.create_consumer(consumer).await?;
    Ok(())
}

/// Takes jobs through the six operations, with `parallel` producers and as many consumers, and
/// returns how long all of them took.
pub async fn run(client: &Client, jobs: Vec<JobRecord>, parallel: usize) -> Result<Duration> {
    let bare = Arc::new(Bare {
        context: jetstream::new(client.clone()),
        client: client.clone(),
        keys: jobs.iter().enumerate().map(|(index, job)| (subject::job_record(job.asset, job.id), index)).collect(),
        jobs,
        made: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
    });
    let started = Instant::now();
    let producers = (0..parallel).map(|_| tokio::spawn(bare.clone().produce()));
    let consumers = (0..parallel).map(|_| tokio::spawn(bare.clone().consume()));
    let tasks: Vec<_> = producers.chain(consumers).collect();
    for ended in try_join_all(tasks).await? {
        ended?;
    }
    Ok(started.elapsed())
}

struct Bare {
    client: Client,
    context: jetstream::Context,
    jobs: Vec<JobRecord>,
    keys: HashMap<String, usize>,
    made: AtomicUsize,
    done: AtomicUsize,
}

impl Bare {
    async fn produce(self: Arc<Self>) -> Result<()> {
        while let Some(job) = self.jobs.get(self.made.fetch_add(1, Ordering::Relaxed)) {
            let record = subject::job_record(job.asset, job.id);
            let revision = self.store(&record, job, 0).await?;
            let hint = wire::encode(&Hint { v: 1, record, revision, load: Load::NONE })?;
            self.publish(format!("bare.hints.{}", job.id), hint, 0).await?;
        }
        Ok(())
    }

    async fn consume(self: Arc<Self>) -> Result<()> {
        let inbox = self.client.new_inbox();
        let mut arrivals = self.client.subscribe(inbox.clone()).await?;
        let pull = format!("$JS.API.CONSUMER.MSG.NEXT.{HINTS}.{CONSUMER}");
        let request = Bytes::from(format!(r#"{{"batch":1,"expires":{}}}"#, PULL.as_nanos()));
        while self.done.load(Ordering::Relaxed) < self.jobs.len() {
            self.client.publish_with_reply(pull.clone(), inbox.clone(), request.clone()).await?;
            let arrival = arrivals.next().await.context("the connection was closed")?;
            if arrival.status.is_some() {
                continue;
            }
            let hint: Hint = wire::decode(&arrival.payload)?;
            let index = *self.keys.get(&hint.record).context("a hint of somebody else's job")?;
            let claimed = claim(self.jobs[index].clone())?;
            let revision = self.store(&hint.record, &claimed, hint.revision).await?;
            let done = JobRecord { state: JobState::Done, output: Some(JobOutput::Parts(Vec::new())), ..claimed };
            self.store(&hint.record, &done, revision).await?;
            self.client.publish(arrival.reply.context("a hint without an address to ack")?, "+ACK".into()).await?;
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn store(&self, key: &str, job: &JobRecord, revision: u64) -> Result<u64> {
        self.publish(format!("bare.records.{key}"), wire::encode(job)?, revision).await
    }

    async fn publish(&self, subject: String, bytes: Vec<u8>, expected: u64) -> Result<u64> {
        let message = PublishMessage::build().payload(bytes.into()).expected_last_subject_sequence(expected);
        Ok(self.context.send_publish(subject, message).await?.await?.sequence)
    }
}

fn claim(job: JobRecord) -> Result<JobRecord> {
    ensure!(job.state == JobState::Ready, "a hint came twice");
    let holder = Holder { node: NodeId::try_from("bare".to_owned())?, process: Uuid::nil(), nonce: Uuid::new_v4() };
    Ok(JobRecord { state: JobState::Running, attempt: 1, holder: Some(holder), ..job })
}
