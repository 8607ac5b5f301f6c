//! Channels whose replicas vanish, on nodes that are real to the farm: who is placed where, and what is told.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::{Duration, Instant},
};

use framemill_queue::{Outbox, Queue, RecordError};
use framemill_scheduler::{
    ladders::Ladders,
    loops::{channels, notify, sweep, watch},
    on_air::lead_ms,
    view::View,
};
use framemill_schemas::{
    ids::{JobId, NodeId, Tenant},
    job::JobRecord,
    live::{
        Access, CHANNEL_VERSION, COMMIT_VERSION, ChannelRecord, ChannelState, Commit, Committed, Edition, LiveSource,
        Observability, OnAir, SpanDocument, Upkeep, Wanted, commit_key, record_key, rfc3339,
    },
    spec::JobSpec,
    subject::{CHANNELS_BUCKET, COMMITS_BUCKET, job_records_of},
    trace::TraceContext,
};
use futures_util::StreamExt;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    control::Doomed,
    server::{Server, eventually, soon},
    worker::{Begun, Worker, asset},
};

/// One scheduler's loops, as far as channels need them.
struct Scheduler {
    view: View,
    _stopped: DropGuard,
}

impl Scheduler {
    async fn start(queue: &Queue) -> Self {
        let (stop, view) = (CancellationToken::new(), View::default());
        {
            let (queue, view, stop) = (queue.clone(), view.clone(), stop.clone());
            let outbox = Outbox::new(queue.clone());
            tokio::spawn(async move {
                tokio::join!(
                    watch::run(&queue, &view, &stop),
                    channels::run(&queue, &view, &stop),
                    notify::run(&outbox, &view, &stop),
                    sweep::run(&queue, &view, &stop),
                )
            });
        }
        eventually("the view is current", async || view.is_current().then_some(())).await;
        Self { view, _stopped: stop.drop_guard() }
    }
}

fn channel(name: &str) -> ChannelRecord {
    let ladder = Ladders::load(None).unwrap().get("fast-h264").unwrap();
    ChannelRecord {
        v: CHANNEL_VERSION,
        tenant: Tenant::default_tenant(),
        id: name.parse().unwrap(),
        asset: asset(),
        edition: Edition {
            number: 1,
            sources: vec![LiveSource::parse("udp://239.0.0.1:5000", false).unwrap()],
            segment_ms: ladder.segment_s,
            ladder,
            redundancy: 2,
            window_s: 60,
            timeshift_s: 0,
            return_after_s: 30,
            access: Access::default(),
            observability: Observability { alert_after_segment_gap_s: 60 },
        },
        wanted: Wanted::Running,
        on_air: OnAir::default(),
        state: ChannelState::Starting,
        why: None,
        replicas: Vec::new(),
        placed: 0,
        shunned: Vec::new(),
        upkeep: Upkeep::default(),
        unsent: Vec::new(),
        trace: TraceContext::default(),
        made_ms: 1,
        since_ms: now_ms(),
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

async fn create(queue: &Queue, channel: &ChannelRecord) {
    let key = record_key(&channel.tenant, &channel.id);
    queue.records(CHANNELS_BUCKET).create(&key, channel).await.unwrap();
}

async fn now(queue: &Queue, channel: &ChannelRecord) -> ChannelRecord {
    let key = record_key(&channel.tenant, &channel.id);
    queue.records(CHANNELS_BUCKET).get(&key).await.unwrap().unwrap().0
}

async fn reaches(queue: &Queue, channel: &ChannelRecord, state: ChannelState) -> ChannelRecord {
    eventually(&format!("the channel is {}", state.as_str()), async || {
        let found = now(queue, channel).await;
        (found.state == state).then_some(found)
    })
    .await
}

/// What a replica does that publishes: it commits the next number, and is the one who did.
async fn commit(queue: &Queue, channel: &ChannelRecord, by: JobId, node: &str) {
    let node: NodeId = node.parse().unwrap();
    let what = Committed::Segment { by, node, tracks: Vec::new(), flaws: Vec::new() };
    let records = queue.records::<Commit>(COMMITS_BUCKET);
    for number in 1.. {
        let commit = Commit { v: COMMIT_VERSION, timeline: 1, number, what: what.clone(), at_ms: now_ms() };
        match records.create(&commit_key(&channel.tenant, &channel.id, number), &commit).await {
            Ok(_) => return,
            Err(RecordError::Exists) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn jobs(queue: &Queue, channel: &ChannelRecord) -> Vec<JobRecord> {
    let found = queue.jobs().list(&job_records_of(channel.asset)).await.unwrap();
    found.into_iter().map(|(_, job, _)| job).collect()
}

/// Who runs the channel's replicas, by the jobs.
async fn runs_on(queue: &Queue, channel: &ChannelRecord) -> BTreeSet<String> {
    let jobs = jobs(queue, channel).await;
    let open = jobs.iter().filter(|job| !job.state.is_terminal());
    open.filter_map(|job| Some(job.holder.as_ref()?.node.to_string())).collect()
}

/// Kinds of the channel's own events so far, each id once.
async fn told(queue: &Queue) -> Vec<String> {
    let mut events = std::pin::pin!(queue.events("events.default.channel.*".to_owned(), Some(0)).await.unwrap());
    let (mut kinds, mut seen) = (Vec::new(), HashSet::new());
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(500), events.next()).await {
        let (_, event) = event.unwrap();
        if seen.insert(event.id) {
            kinds.push(event.kind);
        }
    }
    kinds
}

async fn next(worker: &mut Worker) -> Begun {
    let begun = worker.next().await;
    assert!(matches!(begun.job.spec, JobSpec::Live(_)));
    begun
}

#[tokio::test]
async fn a_killed_replica_is_replaced_on_another_node_and_each_event_comes_once() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let _scheduler = Scheduler::start(&queue).await;
    let channel = channel("news");
    let mut a = Worker::start(&server.connect().await, "a", 4);
    create(&queue, &channel).await;
    let first = next(&mut a).await;
    commit(&queue, &channel, first.job.id, "a").await;
    let alone = reaches(&queue, &channel, ChannelState::Degraded).await;
    assert_eq!(alone.why.unwrap().code, "no-second-node");
    assert_eq!(jobs(&queue, &channel).await.len(), 1);

    let doomed = Doomed::that_began_one(server.config(), "b").await;
    let second = now(&queue, &channel).await.replicas[1].job;
    commit(&queue, &channel, second, "b").await;
    reaches(&queue, &channel, ChannelState::Live).await;
    assert_eq!(runs_on(&queue, &channel).await, BTreeSet::from(["a".to_owned(), "b".to_owned()]));

    let mut c = Worker::start(&server.connect().await, "c", 4);
    doomed.kill();
    let third = next(&mut c).await;
    let degraded = reaches(&queue, &channel, ChannelState::Degraded).await;
    assert_eq!(degraded.why.unwrap().code, "replica-lost");
    commit(&queue, &channel, third.job.id, "c").await;
    reaches(&queue, &channel, ChannelState::Live).await;
    assert!(!first.cancel.is_cancelled(), "the one that publishes goes on");
    let expected = ["channel.live", "channel.recovered", "channel.degraded", "channel.failover", "channel.recovered"];
    eventually("all is told", async || (told(&queue).await == expected).then_some(())).await;

    // Off air again: whoever runs is told so.
    let key = record_key(&channel.tenant, &channel.id);
    eventually("it is not wanted any more", async || {
        let records = queue.records::<ChannelRecord>(CHANNELS_BUCKET);
        let (mut record, revision) = records.get(&key).await.unwrap().unwrap();
        record.wanted = Wanted::Stopped;
        records.update(&key, &record, revision).await.ok()
    })
    .await;
    soon("the first is let go of", first.cancel.cancelled()).await;
    soon("the third is let go of", third.cancel.cancelled()).await;
    let stopped = reaches(&queue, &channel, ChannelState::Stopped).await;
    assert!(stopped.replicas.is_empty());
    eventually("that is told", async || (told(&queue).await.last()? == "channel.stopped").then_some(())).await;
}

#[tokio::test]
async fn a_replica_that_a_draining_node_gives_back_goes_to_a_third() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let _scheduler = Scheduler::start(&queue).await;
    let channel = channel("news");
    let mut a = Worker::start(&server.connect().await, "a", 4);
    create(&queue, &channel).await;
    let first = next(&mut a).await;
    let mut b = Worker::start(&server.connect().await, "b", 4);
    let second = next(&mut b).await;
    for (begun, node) in [(&first, "a"), (&second, "b")] {
        commit(&queue, &channel, begun.job.id, node).await;
    }
    reaches(&queue, &channel, ChannelState::Live).await;
    let mut c = Worker::start(&server.connect().await, "c", 4);
    a.stop.cancel();
    let third = next(&mut c).await;
    assert_ne!(third.job.id, first.job.id, "a replica is run once");
    assert!(b.begun.try_recv().is_err(), "its peer's node did not take it");
    commit(&queue, &channel, third.job.id, "c").await;
    let live = reaches(&queue, &channel, ChannelState::Live).await;
    assert!(live.shunned.is_empty(), "{:?}", live.shunned);
    assert_eq!(runs_on(&queue, &channel).await, BTreeSet::from(["b".to_owned(), "c".to_owned()]));
}

#[tokio::test]
async fn two_schedulers_at_once_place_the_same_replicas() {
    const CHANNELS: usize = 12;
    let server = Server::start().await;
    let queue = server.connect().await;
    let schedulers = [Scheduler::start(&server.connect().await).await, Scheduler::start(&server.connect().await).await];
    let channels: Vec<_> = (0..CHANNELS).map(|number| channel(&format!("c{number}"))).collect();
    let mut workers = Vec::new();
    for name in ["a", "b", "c"] {
        workers.push(Worker::start(&server.connect().await, name, CHANNELS));
    }
    for channel in &channels {
        create(&queue, channel).await;
    }
    for channel in &channels {
        eventually("two replicas run apart", async || (runs_on(&queue, channel).await.len() == 2).then_some(())).await;
    }
    let mut on: BTreeMap<String, usize> = BTreeMap::new();
    for channel in &channels {
        let record = now(&queue, channel).await;
        let jobs = jobs(&queue, channel).await;
        let placed: BTreeSet<JobId> = record.replicas.iter().map(|replica| replica.job).collect();
        assert_eq!(jobs.iter().map(|job| job.id).collect::<BTreeSet<_>>(), placed, "none was made for nothing");
        assert_eq!((record.placed, placed.len()), (2, 2));
        jobs.iter().for_each(|job| *on.entry(job.holder.as_ref().unwrap().node.to_string()).or_default() += 1);
    }
    assert_eq!(on.values().sum::<usize>(), 2 * CHANNELS);
    assert!(schedulers.iter().all(|scheduler| scheduler.view.is_current()));
}

/// Spans as an operator gives them, each from and until so many milliseconds from now.
fn on_air(spans: &[(i64, Option<i64>)]) -> OnAir {
    let at = |ms: i64| rfc3339(now_ms() + ms);
    let span = |(from, until): &(i64, Option<i64>)| SpanDocument { from: Some(at(*from)), until: until.map(at) };
    let mut errors = Vec::new();
    let checked = OnAir::check(&spans.iter().map(span).collect::<Vec<_>>(), 0, &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    checked
}

async fn reschedule(queue: &Queue, channel: &ChannelRecord, spans: &[(i64, Option<i64>)]) {
    let key = record_key(&channel.tenant, &channel.id);
    let on_air = on_air(spans);
    eventually("it has another schedule", async || {
        let records = queue.records::<ChannelRecord>(CHANNELS_BUCKET);
        let (record, revision) = records.get(&key).await.unwrap().unwrap();
        records.update(&key, &ChannelRecord { on_air: on_air.clone(), ..record }, revision).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_channel_goes_on_air_ahead_of_its_span_and_off_at_its_end() {
    const SOON_MS: i64 = 2_000;
    let server = Server::start().await;
    let queue = server.connect().await;
    let _scheduler = Scheduler::start(&queue).await;
    let mut a = Worker::start(&server.connect().await, "a", 4);
    let mut channel = channel("news");
    channel.edition.redundancy = 1;
    let lead_ms = lead_ms(&channel.edition);
    // Its replica is to be placed in a moment, and its span begins when that has had time to get on air.
    let begun_ms = now_ms();
    channel.on_air = on_air(&[(lead_ms + SOON_MS, None)]);
    create(&queue, &channel).await;
    let off = reaches(&queue, &channel, ChannelState::Scheduled).await;
    assert!(off.why.unwrap().reason.starts_with("off air until 20"));
    assert!(jobs(&queue, &channel).await.is_empty());
    let first = next(&mut a).await;
    let placed_ms = now(&queue, &channel).await.replicas[0].placed_ms;
    assert!((SOON_MS..SOON_MS + 3_000).contains(&(placed_ms - begun_ms)), "placed {} ms on", placed_ms - begun_ms);
    commit(&queue, &channel, first.job.id, "a").await;
    reaches(&queue, &channel, ChannelState::Live).await;

    reschedule(&queue, &channel, &[(-600_000, Some(SOON_MS)), (600_000, None)]).await;
    let ends = Instant::now() + Duration::from_millis(SOON_MS.unsigned_abs());
    soon("its replica is let go of", first.cancel.cancelled()).await;
    assert!(Instant::now() + Duration::from_millis(500) > ends, "not before its span is over");
    let off = reaches(&queue, &channel, ChannelState::Scheduled).await;
    assert!(off.replicas.is_empty() && off.edition == channel.edition);
    let expected = ["channel.starting", "channel.live", "channel.stopped"];
    // It was made as one that runs: that it was taken off air at first is told as well.
    eventually("all is told", async || told(&queue).await.ends_with(&expected.map(str::to_owned)).then_some(())).await;

    // Once there is no schedule any more, it is on air.
    let key = record_key(&channel.tenant, &channel.id);
    let records = queue.records::<ChannelRecord>(CHANNELS_BUCKET);
    eventually("it has no schedule", async || {
        let (record, revision) = records.get(&key).await.unwrap().unwrap();
        records.update(&key, &ChannelRecord { on_air: OnAir::default(), ..record }, revision).await.ok()
    })
    .await;
    next(&mut a).await;
}

#[tokio::test]
async fn a_pair_stands_in_two_zones_although_the_peers_zone_has_more_room() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let scheduler = Scheduler::start(&queue).await;
    let mut workers = Vec::new();
    for (node, zone) in [("a", "north"), ("b", "north"), ("c", "north"), ("d", "south")] {
        workers.push(Worker::start_in(&server.connect().await, node, 8, zone));
    }
    eventually("all are heard with their zones", async || (scheduler.view.zones().len() == 4).then_some(())).await;
    let channels: Vec<_> = (0..8).map(|number| channel(&format!("c{number}"))).collect();
    for channel in &channels {
        create(&queue, channel).await;
    }
    for channel in &channels {
        // Out of its record: every list of jobs is a consumer of the server's, for a while.
        let on = eventually("two replicas run", async || {
            let replicas = now(&queue, channel).await.replicas;
            let on: BTreeSet<String> =
                replicas.into_iter().filter_map(|replica| Some(replica.node?.to_string())).collect();
            Some(on).filter(|on| on.len() == 2)
        })
        .await;
        assert!(on.contains("d"), "{on:?}");
    }
}
