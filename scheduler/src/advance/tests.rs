//! Tables for single decisions, and a property over whole lives: whatever is lost, repeated or
//! reordered, an asset ends in the same published result or the same failure.

use std::path::PathBuf;

use framemill_schemas::{
    finding::Finding,
    ids::{AssetId, Tenant},
    job::JobKind,
    ladder::Ladder,
    lane::Priority,
    object::{Generation, StoredObject},
    probe::{AudioTrack, RateSource, Seek, SeekPoint, VideoTrack},
    rate::{FrameGrid, Ratio},
    source::Source,
    trace::TraceContext,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

mod archive;
mod repair;

const LADDER: &str = "
name: test
gop_s: 2
segment_s: 4
video:
  - { name: 720p, codec: h264, height: 720, quality: 23 }
  - { name: 360p, codec: h264, height: 360, quality: 23 }
  - { name: 360p-av1, codec: av1, height: 360, quality: 30 }
audio:
  - { name: stereo, codec: aac, channels: 2, bitrate_kbps: 128 }
";

fn asset() -> AssetRecord {
    AssetRecord {
        v: 1,
        id: AssetId::new(Uuid::from_u128(1)),
        tenant: Tenant::default_tenant(),
        source: Source::Path(PathBuf::from("/media/a.mp4")),
        ladder: Ladder::from_yaml(LADDER).unwrap(),
        priority: Priority::Standard,
        state: AssetState::Accepted,
        generation: Generation { number: 1, random: "00000001".to_owned() },
        slots: 0,
        hardware: Vec::new(),
        failure: None,
        published: None,
        collected: 0,
        unsent: Vec::new(),
        trace: TraceContext::default(),
        submitted_ms: 0,
        ended_ms: 0,
        repair: None,
        repaired_ms: 0,
        anew: 0,
        shown: None,
        cut: None,
    }
}

fn probe(frames: u64) -> Probe {
    let track = |stream, language: &str| AudioTrack {
        stream,
        codec: "aac".to_owned(),
        channels: 2,
        language: Some(language.to_owned()),
        title: None,
        default: false,
    };
    Probe {
        format: "mov".to_owned(),
        bytes: 1,
        identity: "identity".to_owned(),
        start_us: 0,
        video: VideoTrack {
            stream: 0,
            codec: "h264".to_owned(),
            pixels: "yuv420p".to_owned(),
            turned: false,
            width: 1280,
            height: 720,
            interlaced: false,
            grid: FrameGrid {
                rate: Ratio::new(25, 1).unwrap(),
                frames,
                origin_ticks: 0,
                time_base: Ratio::new(1, 12_800).unwrap(),
            },
            rate_source: RateSource::Base,
            seek: Seek::Points((0..frames).step_by(250).map(|frame| SeekPoint { frame, seek_us: 0 }).collect()),
        },
        audio: vec![track(1, "no"), track(2, "sv"), track(3, "no")],
    }
}

fn object(key: &str) -> StoredObject {
    StoredObject { key: key.to_owned(), bytes: 1, digest: String::new(), etag: String::new() }
}

fn report(findings: Vec<Finding>) -> SummaryOutput {
    let state = ReportState::of(&findings);
    SummaryOutput::Validation(Report { v: 1, state, frames: 0, checks: Vec::new(), findings })
}

/// A farm of one asset whose jobs end as `fate` says, whatever the order.
struct World<F> {
    asset: AssetRecord,
    jobs: Vec<Arc<JobSummary>>,
    fate: F,
    end: Option<Action>,
}

enum Fate {
    Done(SummaryOutput),
    Failed(Box<Failure>),
}

impl<F: Fn(&JobSummary) -> Fate> World<F> {
    fn new(fate: F) -> Self {
        Self { asset: asset(), jobs: Vec::new(), fate, end: None }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Create(job) => {
                if self.jobs.iter().all(|known| known.id != job.id) {
                    self.jobs.push(Arc::new(summary(&self.asset, job)));
                }
            }
            Action::Cancel(id) => self.change(id, |job| job.state = JobState::Cancelled),
            Action::Revive(id) => self.change(id, |job| job.state = JobState::Ready),
            Action::GoOn => self.asset.failure = None,
            Action::Size => self.asset.slots = 2,
            // Of repairs and of spans of channels, which have tests of their own.
            Action::Seed | Action::Fail(_) | Action::Anew(_) | Action::Publish(_) => self.end = Some(action),
        }
    }

    fn change(&mut self, id: JobId, change: impl Fn(&mut JobSummary)) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) {
            change(Arc::make_mut(job));
        }
    }

    /// One step of one job: a claim, a lost holder, or its fate.
    fn step(&mut self, index: usize, lost: bool) {
        let waiting: Vec<_> = self.jobs.iter().filter(|job| !job.state.is_terminal()).cloned().collect();
        let Some(job) = waiting.get(index % waiting.len().max(1)) else { return };
        match (job.state, lost) {
            (JobState::Ready, _) => self.change(job.id, |job| job.state = JobState::Running),
            (_, true) => self.change(job.id, |job| job.state = JobState::Ready),
            _ => match (self.fate)(job) {
                Fate::Done(output) => self.change(job.id, |job| {
                    job.state = JobState::Done;
                    job.output = output.clone();
                }),
                Fate::Failed(failure) => self.change(job.id, |job| {
                    job.state = JobState::Failed;
                    job.failures = vec![failure.as_ref().clone()];
                }),
            },
        }
    }

    fn run(mut self, choices: &[(u8, u8)]) -> Action {
        let mut choices = choices.iter().copied().chain(std::iter::repeat((0, 255)));
        for _ in 0..10_000 {
            let (pick, chance) = choices.next().expect("endless");
            let mut actions = advance(&self.asset, &self.jobs);
            // Some actions are lost, some are carried out twice, in any order.
            if chance & 1 == 0 {
                actions.reverse();
            }
            if chance & 2 == 0 && chance < 128 {
                actions.truncate(actions.len() / 2);
            }
            for action in actions {
                if chance & 4 == 0 {
                    self.act(action.clone());
                }
                self.act(action);
            }
            if let Some(end) = self.end {
                return end;
            }
            self.step(usize::from(pick), chance % 7 == 0);
            let jobs = self.jobs.len();
            self.jobs.rotate_left(usize::from(pick) % jobs.max(1));
        }
        panic!("the asset comes to no end");
    }
}

fn summary(asset: &AssetRecord, job: NewJob) -> JobSummary {
    JobSummary {
        revision: 0,
        id: job.id,
        key: framemill_schemas::key::job_key(&job.spec, job.round),
        kind: job.spec.kind(),
        carries: matches!(job.spec, JobSpec::Carry(_)),
        unit: job.unit,
        round: job.round,
        generation: asset.generation.number,
        asset: asset.id,
        tenant: asset.tenant.clone(),
        lane: job.lane,
        state: JobState::Ready,
        attempt: 0,
        holder: None,
        failures: Vec::new(),
        ready_ms: 0,
        claimed_ms: 0,
        ended_ms: 0,
        made: Vec::new(),
        output: SummaryOutput::None,
    }
}

fn good(job: &JobSummary) -> Fate {
    Fate::Done(match job.kind {
        JobKind::Probe => SummaryOutput::Probe(Arc::new(probe(1500))),
        JobKind::Transcode | JobKind::Audio => SummaryOutput::Parts,
        JobKind::Package => SummaryOutput::Package(Box::new(PackageOutput {
            master: object("master"),
            mpd: object("mpd"),
            entry_master: object("entry-master"),
            entry_mpd: object("entry-mpd"),
            playlists: Vec::new(),
        })),
        JobKind::Validate => report(Vec::new()),
        JobKind::Live => unreachable!("titles have no such job"),
    })
}

/// The first round of one chunk is faulty.
fn faulty_once(job: &JobSummary) -> Fate {
    if job.unit == "validate/transcode/h264/0002" && job.round == 0 {
        return Fate::Done(report(vec![Finding::error("frame-count", "720p", 99, 100)]));
    }
    good(job)
}

/// Every round of one chunk is faulty.
fn faulty_always(job: &JobSummary) -> Fate {
    if job.unit == "validate/transcode/h264/0002" {
        return Fate::Done(report(vec![Finding::error("frame-count", "720p", 99, 100)]));
    }
    good(job)
}

fn bad_source(job: &JobSummary) -> Fate {
    if job.kind == JobKind::Probe {
        return Fate::Failed(Box::new(Failure::input("no-video", "the source holds no pictures")));
    }
    good(job)
}

proptest! {
    #[test]
    fn every_order_ends_the_same(choices in prop::collection::vec(any::<(u8, u8)>(), 0..400)) {
        for fate in [good, faulty_once, faulty_always, bad_source] {
            let expected = World::new(fate).run(&[]);
            let found = World::new(fate).run(&choices);
            prop_assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_good_title_is_published_with_all_its_parts() {
    let Action::Publish(candidate) = World::new(good).run(&[]) else { panic!("not published") };
    let names: Vec<_> = candidate.spec.video.iter().map(|rendition| rendition.name.as_str()).collect();
    assert_eq!(names, ["720p", "360p", "360p-av1"]);
    assert!(candidate.spec.video.iter().all(|rendition| rendition.parts.len() == 4));
    let names: Vec<_> = candidate.spec.audio.iter().map(|rendition| rendition.name.as_str()).collect();
    assert_eq!(names, ["stereo-no", "stereo-sv", "stereo-3"]);
}

#[test]
fn a_faulty_chunk_is_replaced_by_its_second_round() {
    let Action::Publish(candidate) = World::new(faulty_once).run(&[]) else { panic!("not published") };
    let second = JobId::derive(asset().id, 1, "transcode/h264/0002", 1);
    assert_eq!(candidate.spec.video[0].parts[2], second);
    assert_eq!(candidate.spec.video[1].parts[2], second);
    assert_ne!(candidate.spec.video[2].parts[2], second);
}

#[test]
fn what_ends_badly_says_why() {
    for (fate, code) in [(faulty_always as fn(&JobSummary) -> Fate, "validation"), (bad_source, "no-video")] {
        let Action::Fail(failure) = World::new(fate).run(&[]) else { panic!("not failed: {code}") };
        assert_eq!(failure.code, code);
    }
}

#[test]
fn a_redrive_brings_every_job_back_and_then_goes_on() {
    let mut world = World::new(good);
    for _ in 0..30 {
        for action in advance(&world.asset, &world.jobs) {
            world.act(action);
        }
        world.step(0, false);
    }
    // One job was given up, and what ran was cancelled with the asset.
    let unfinished: Vec<_> = world.jobs.iter().filter(|job| !job.state.is_terminal()).map(|job| job.id).collect();
    for (index, id) in unfinished.iter().enumerate() {
        world.change(*id, |job| job.state = if index == 0 { JobState::Dead } else { JobState::Cancelled });
    }
    world.asset.failure = Some(Failure::new(Class::Transient, "holder-lost", "three workers died"));
    let revived: Vec<_> = unfinished.iter().map(|id| Action::Revive(*id)).collect();
    let mut actions = advance(&world.asset, &world.jobs);
    actions.sort_by_key(|action| revived.iter().position(|revived| revived == action));
    assert_eq!(actions, revived);
    // Interrupted and looked at again, it goes on with the rest.
    for action in actions.into_iter().skip(1) {
        world.act(action);
    }
    assert_eq!(advance(&world.asset, &world.jobs), [revived[0].clone()]);
    world.act(revived[0].clone());
    assert_eq!(advance(&world.asset, &world.jobs), [Action::GoOn]);
    world.act(Action::GoOn);
    assert!(matches!(world.run(&[]), Action::Publish(_)));
}

#[test]
fn a_cancelled_asset_cancels_what_runs_and_nothing_else() {
    let mut world = World::new(good);
    for _ in 0..30 {
        for action in advance(&world.asset, &world.jobs) {
            world.act(action);
        }
        world.step(0, false);
    }
    world.asset.state = AssetState::Cancelled;
    let running = world.jobs.iter().filter(|job| !job.state.is_terminal()).count();
    assert!(running > 0);
    let actions = advance(&world.asset, &world.jobs);
    assert_eq!(actions.len(), running);
    assert!(actions.iter().all(|action| matches!(action, Action::Cancel(_))));
}

#[test]
fn jobs_of_an_older_generation_are_cancelled() {
    let mut world = World::new(good);
    for action in advance(&world.asset, &world.jobs) {
        world.act(action);
    }
    let old = world.jobs[0].id;
    world.asset.generation = Generation { number: 2, random: "00000002".to_owned() };
    let actions = advance(&world.asset, &world.jobs);
    assert_eq!(actions[0], Action::Cancel(old));
    assert!(matches!(&actions[1], Action::Create(job) if job.unit == "probe" && job.id != old));
}
