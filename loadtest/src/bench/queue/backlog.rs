//! A long queue: titles of two hours are submitted to a scheduler process and probed by a worker
//! that only pretends, until as many chunks wait as were asked for. What does that cost in
//! memory, does a claim take longer, and how soon is a scheduler ready that starts on it?

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use framemill_queue::{NatsConfig, Queue};
use framemill_schemas::{
    ids::NodeId,
    job::{JobKind, JobRecord},
    ladder::VideoCodec,
    lane::{Lane, Priority},
    presence::Heartbeat,
    probe::{AudioTrack, Probe, RateSource, Seek, SeekPoint, VideoTrack},
    rate::{FrameGrid, Ratio},
    spec::JobOutput,
    subject,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use super::{
    claims::Claims,
    farm::submit,
    latency::Latency,
    process::{Launch, Scheduler},
    sample,
};

/// Jobs that wait of one title: 120 chunks and the sound.
const JOBS_PER_TITLE: u64 = 121;
/// Frames of a title: two hours.
const FRAMES: u64 = 180_000;
/// Frames from keyframe to keyframe.
const KEYFRAMES: u64 = 125;
/// Submissions at once.
const SUBMITS: usize = 8;
/// How often the length of the queue is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The queue has stopped growing when it is as long for this long.
const GROWN: Duration = Duration::from_secs(60);
/// Encoder slots the farm pretends to have: they decide how titles are cut.
const SLOTS: u32 = 4;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// A server of its own, empty.
    pub nats: NatsConfig,
    /// How schedulers are started on it.
    pub framemill: PathBuf,
    /// Where NATS and the store are, for them.
    pub environment: Vec<(String, String)>,
    /// A folder for their logs.
    pub folder: PathBuf,
    /// Jobs that are to wait, at least.
    pub jobs: u64,
    /// Claims that are measured each time.
    pub samples: u64,
}

/// What was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BacklogReport {
    /// Titles.
    pub titles: u64,
    /// Jobs that waited.
    pub jobs: u64,
    /// How long it took to submit and plan them.
    pub filled_s: f64,
    /// Resident memory of a scheduler without titles.
    pub empty_bytes: u64,
    /// The same with all of them, after planning.
    pub full_bytes: u64,
    /// The same of one that was started on them.
    pub restarted_bytes: u64,
    /// Growth for each job: the larger of the two.
    pub bytes_per_job: f64,
    /// Start of a scheduler process until it is ready, without titles.
    pub empty_ready_s: f64,
    /// The same with all of them.
    pub full_ready_s: f64,
    /// Submit to claim of an urgent job, in an empty queue.
    pub empty_claim: Latency,
    /// The same while the others wait.
    pub full_claim: Latency,
    /// From one claim to the next of a worker with one slot, in a lane with few jobs: commit,
    /// ack, pull, read, claim. No scheduler runs.
    pub short_lane: Latency,
    /// The same in the lane in which the others wait.
    pub long_lane: Latency,
}

/// Measures an empty queue, fills it, and measures again. `say` is told what is under way.
pub async fn run(backlog: &Backlog, mut say: impl FnMut(String)) -> Result<BacklogReport> {
    let queue = Queue::connect(&backlog.nats).await?;
    let launch = Launch {
        framemill: backlog.framemill.clone(),
        environment: backlog.environment.clone(),
        folder: backlog.folder.clone(),
    };
    let short_lane = short_lane(&queue, backlog.samples).await?;
    let mut report = BacklogReport { short_lane, ..BacklogReport::default() };
    let scheduler = Scheduler::start(&launch).await?;
    report.empty_ready_s = scheduler.ready.as_secs_f64();
    report.empty_claim = urgent(&queue, backlog.samples).await?;
    report.empty_bytes = scheduler.settled_bytes().await?;
    say(format!("empty: ready after {:.2} s, {} KiB", report.empty_ready_s, report.empty_bytes / 1024));

    let begun = Instant::now();
    report.titles = backlog.jobs.div_ceil(JOBS_PER_TITLE);
    report.jobs = fill(&queue, &scheduler, report.titles, &mut say).await?;
    report.filled_s = begun.elapsed().as_secs_f64();
    report.full_bytes = scheduler.settled_bytes().await?;
    say(format!("{} jobs after {:.0} s, {} KiB", report.jobs, report.filled_s, report.full_bytes / 1024));
    report.full_claim = urgent(&queue, backlog.samples).await?;

    scheduler.stop().await?;
    let scheduler = Scheduler::start(&launch).await?;
    report.full_ready_s = scheduler.ready.as_secs_f64();
    report.restarted_bytes = scheduler.settled_bytes().await?;
    say(format!("restarted: ready after {:.2} s, {} KiB", report.full_ready_s, report.restarted_bytes / 1024));
    let grown = report.full_bytes.max(report.restarted_bytes).saturating_sub(report.empty_bytes);
    report.bytes_per_job = grown as f64 / report.jobs.max(1) as f64;
    scheduler.stop().await?;
    // Last: it makes the queue shorter. Without a scheduler, as for the short lane: this is about
    // the queue, not about what a scheduler does with a finished chunk at the same time.
    report.long_lane = cycles(&queue, sample::LANE, backlog.samples).await?;
    Ok(report)
}

/// Submits titles, probes them, and waits until every job they need is queued.
async fn fill(queue: &Queue, scheduler: &Scheduler, titles: u64, say: &mut impl FnMut(String)) -> Result<u64> {
    let mut probes = Claims::start(queue.clone(), Lane::all(&[JobKind::Probe]), SUBMITS, probed)?;
    let wanted = titles * JOBS_PER_TITLE;
    let heartbeat = Heartbeat {
        v: 1,
        node: NodeId::try_from("encoders".to_owned())?,
        process: Uuid::new_v4(),
        role: "worker".to_owned(),
        nonces: Vec::new(),
        slots: SLOTS,
        hardware: Vec::new(),
        engines: 0,
        encodes: VideoCodec::ALL.to_vec(),
        zone: None,
        waiting: None,
    };
    queue.beat(&heartbeat).await?;
    let submits = stream::iter(0..titles)
        .map(|number| async move {
            scheduler.submit(&format!("https://media.example.net/library/2026/11/feature-{number:06}.mp4")).await
        })
        .buffer_unordered(SUBMITS)
        .try_collect::<()>();
    let claims = async {
        for _ in 0..titles {
            probes.next().await?;
        }
        Ok(())
    };
    let planned = async {
        let (mut look, mut looks) = (interval(LOOK), 0_u32);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut queued, mut since) = (0, Instant::now());
        while queued < wanted {
            look.tick().await;
            looks += 1;
            // A farm that is not heard for long plans nothing.
            if looks.is_multiple_of(10) {
                queue.beat(&heartbeat).await?;
            }
            let now = hints(queue).await?;
            if now != queued {
                (queued, since) = (now, Instant::now());
            }
            if looks.is_multiple_of(50) {
                say(format!("{queued} of {wanted} jobs are queued"));
            }
            ensure!(since.elapsed() < GROWN, "the queue stopped growing at {queued} of {wanted} jobs");
        }
        anyhow::Ok(queued)
    };
    let ((), (), queued) = tokio::try_join!(submits, claims, planned)?;
    probes.stop().await;
    Ok(queued)
}

/// Hints the server holds.
async fn hints(queue: &Queue) -> Result<u64> {
    let context = async_nats::jetstream::new(queue.client().clone());
    let stream = context.get_stream(subject::JOBS_STREAM).await?;
    Ok(stream.cached_info().state.messages)
}

/// Submits urgent jobs one by one to a worker that serves only their lane, and measures each from
/// before its record was created until after it was claimed.
async fn urgent(queue: &Queue, samples: u64) -> Result<Latency> {
    let lane = urgent_lane();
    let mut claims = Claims::start(queue.clone(), vec![lane], 1, nothing)?;
    let mut times = Vec::new();
    for job in super::jobs(samples) {
        tokio::time::sleep(super::IDLE_PAUSE).await;
        let job = JobRecord { lane, ..job };
        let submitted = Instant::now();
        submit(queue, &job).await?;
        times.push(claims.next().await?.duration_since(submitted));
    }
    claims.stop().await;
    Ok(Latency::of(times))
}

/// Claims of one worker one after the other, from a lane that holds no more than those.
async fn short_lane(queue: &Queue, samples: u64) -> Result<Latency> {
    for job in super::jobs(samples + 1) {
        submit(queue, &JobRecord { lane: urgent_lane(), ..job }).await?;
    }
    cycles(queue, urgent_lane(), samples).await
}

async fn cycles(queue: &Queue, lane: Lane, samples: u64) -> Result<Latency> {
    let mut claims = Claims::start(queue.clone(), vec![lane], 1, nothing)?;
    let mut last = claims.next().await?;
    let mut times = Vec::new();
    for _ in 0..samples {
        let at = claims.next().await?;
        times.push(at.duration_since(last));
        last = at;
    }
    claims.stop().await;
    Ok(Latency::of(times))
}

fn urgent_lane() -> Lane {
    match sample::LANE {
        Lane::Encode { engine, codec, size, .. } => Lane::Encode { engine, codec, size, priority: Priority::Urgent },
        Lane::Plain { kind, .. } => Lane::Plain { kind, priority: Priority::Urgent },
    }
}

fn nothing(_: &JobRecord) -> JobOutput {
    JobOutput::Parts(Vec::new())
}

/// What a probe would find: a film of two hours with stereo sound.
fn probed(_: &JobRecord) -> JobOutput {
    let rate = Ratio { num: 25, den: 1 };
    let point = |frame: u64| SeekPoint { frame, seek_us: i64::try_from(frame * 40_000).unwrap_or(i64::MAX) };
    JobOutput::Probe(Probe {
        format: "mov,mp4,m4a,3gp,3g2,mj2".to_owned(),
        bytes: 5_400_000_000,
        identity: "etag:9b2cf535f27731c974343645a3985328-412".to_owned(),
        start_us: 0,
        video: VideoTrack {
            stream: 0,
            codec: "h264".to_owned(),
            pixels: "yuv420p".to_owned(),
            turned: false,
            width: 1280,
            height: 720,
            interlaced: false,
            grid: FrameGrid { rate, frames: FRAMES, origin_ticks: 0, time_base: Ratio { num: 1, den: 12_800 } },
            rate_source: RateSource::Base,
            seek: Seek::Points((0..FRAMES / KEYFRAMES).map(|index| point(index * KEYFRAMES)).collect()),
        },
        audio: vec![AudioTrack {
            stream: 1,
            codec: "aac".to_owned(),
            channels: 2,
            language: Some("eng".to_owned()),
            title: None,
            default: true,
        }],
    })
}
