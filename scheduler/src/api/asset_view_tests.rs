//! What is shown of an asset at each point of its life.

use framemill_schemas::{
    failure::{Class, Failure},
    finding::Finding,
    index::{RenditionPart, SegmentIndex},
    job::JobRecord,
    key::job_key,
    object::StoredObject,
    probe::{AudioTrack, RateSource, Seek, SeekPoint, VideoTrack},
    rate::{FrameGrid, Ratio},
    spec::{JobOutput, JobSpec, ValidatePartSpec},
};

use super::*;
use crate::ops::sample;

fn probe() -> Probe {
    let second = |frame| SeekPoint { frame, seek_us: 0 };
    Probe {
        format: "mov,mp4".to_owned(),
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
                frames: 250,
                origin_ticks: 0,
                time_base: Ratio::new(1, 12_800).unwrap(),
            },
            rate_source: RateSource::Base,
            seek: Seek::Points((0..250).step_by(25).map(second).collect()),
        },
        audio: vec![AudioTrack {
            stream: 1,
            codec: "aac".to_owned(),
            channels: 2,
            language: Some("no".to_owned()),
            title: None,
            default: true,
        }],
    }
}

fn object(bytes: u64) -> StoredObject {
    StoredObject { key: "k".to_owned(), bytes, digest: String::new(), etag: String::new() }
}

fn part(rendition: &str, sizes: &[u64]) -> RenditionPart {
    let segment = |(index, bytes): (usize, &u64)| SegmentIndex {
        number: index as u64 + 1,
        start_ticks: 0,
        duration_ticks: 1,
        samples: 1,
        keyframes: Vec::new(),
        object: object(*bytes),
    };
    RenditionPart {
        rendition: rendition.to_owned(),
        init: object(1),
        segments: sizes.iter().enumerate().map(segment).collect(),
    }
}

fn verdict(findings: Vec<Finding>) -> JobOutput {
    let state = ReportState::of(&findings);
    JobOutput::Validation(Report { v: 1, state, frames: 250, checks: Vec::new(), findings })
}

/// A job of the asset; `spec` decides its kind.
fn job(unit: &str, round: u32, spec: JobSpec, output: Option<JobOutput>) -> Arc<JobSummary> {
    let state = if output.is_some() { JobState::Done } else { JobState::Running };
    let record = JobRecord {
        key: job_key(&spec, round),
        unit: unit.to_owned(),
        round,
        spec,
        output,
        attempt: 1,
        ended_ms: if state == JobState::Done { 100 + i64::from(round) } else { 0 },
        avoid: None,
        ..sample::job(state)
    };
    Arc::new(JobSummary::of(1, record))
}

/// The probe and every encode job of the plan, all done.
fn encoded(asset: &AssetRecord) -> Vec<Arc<JobSummary>> {
    let plan = plan(asset, &probe()).unwrap();
    let mut jobs = vec![job("probe", 0, sample::job(JobState::Done).spec, Some(JobOutput::Probe(probe())))];
    for (unit, planned) in &plan.parts {
        let parts = match &planned.spec {
            JobSpec::Transcode(spec) => spec.rungs.iter().map(|rung| part(&rung.name, &[10, 20])).collect(),
            JobSpec::Audio(spec) => vec![part(&spec.rendition, &[3])],
            _ => Vec::new(),
        };
        jobs.push(job(unit, 0, planned.spec.clone(), Some(JobOutput::Parts(parts))));
    }
    jobs
}

fn check(unit: &str, round: u32, findings: Vec<Finding>) -> Arc<JobSummary> {
    let spec = ValidatePartSpec { part: sample::job(JobState::Done).id, part_key: String::new() };
    job(unit, round, JobSpec::ValidatePart(spec), Some(verdict(findings)))
}

#[test]
fn before_the_probe_there_is_only_what_was_submitted() {
    let asset = sample::asset(AssetState::Accepted);
    let view = asset_view(&asset, &[]);
    assert_eq!((view.input, view.validation, view.ended_ms, view.last_segment_ms), (None, None, None, None));
    assert!(view.renditions.is_empty() && view.audio.is_empty() && view.dropped.is_empty());
    assert_eq!(view.stages.iter().map(|stage| stage.total).sum::<u32>(), 0);
    assert_eq!((view.hls, view.dash), (None, None));
}

#[test]
fn after_the_plan_renditions_grow_as_they_are_stored() {
    let asset = sample::asset(AssetState::Accepted);
    let all = encoded(&asset);
    let planned = asset_view(&asset, &all[..1]);
    let input = planned.input.unwrap();
    assert_eq!((input.frames, input.duration_ms, input.height), (250, 10_000, 720));
    assert!(planned.renditions.iter().all(|rendition| (rendition.segments, rendition.bytes) == (0, 0)));
    assert_eq!(planned.dropped.iter().map(|dropped| dropped.name.as_str()).collect::<Vec<_>>(), ["1080p"]);
    let transcode = &planned.stages[1];
    assert!((transcode.kind, transcode.done) == (JobKind::Transcode, 0) && transcode.total > 0);
    assert_eq!(planned.last_segment_ms, None);

    let view = asset_view(&asset, &all);
    let chunks = u64::from(view.stages[1].total);
    for rendition in &view.renditions {
        assert_eq!((rendition.segments, rendition.bytes), (2 * chunks, 30 * chunks), "{}", rendition.name);
    }
    assert_eq!((view.audio[0].segments, view.audio[0].bytes, view.audio[0].language.as_deref()), (1, 3, Some("no")));
    assert_eq!((view.last_segment_ms, view.validation), (Some(100), None));
}

#[test]
fn only_the_latest_round_counts() {
    let asset = sample::asset(AssetState::Accepted);
    let mut jobs = encoded(&asset);
    let before = asset_view(&asset, &jobs);
    let plan = plan(&asset, &probe()).unwrap();
    let (unit, planned) = plan.parts.iter().find(|(_, part)| part.spec.kind() == JobKind::Transcode).unwrap();
    // Asked for anew, and still running: its segments are being replaced.
    jobs.push(job(unit, 1, planned.spec.clone(), None));
    let running = asset_view(&asset, &jobs);
    assert_eq!(running.renditions[0].segments, before.renditions[0].segments - 2);
    assert_eq!((running.last_segment_ms, running.stages[1].running), (None, 1));
    jobs.pop();
    let parts = vec![part(&before.renditions[0].name, &[7])];
    jobs.push(job(unit, 1, planned.spec.clone(), Some(JobOutput::Parts(parts))));
    let done = asset_view(&asset, &jobs);
    assert_eq!(done.renditions[0].segments, before.renditions[0].segments - 1);
    assert_eq!(done.last_segment_ms, Some(101));
}

#[test]
fn another_generations_jobs_are_not_shown() {
    let mut asset = sample::asset(AssetState::Accepted);
    let jobs = encoded(&asset);
    asset.generation.number = 2;
    let view = asset_view(&asset, &jobs);
    assert_eq!((view.jobs.total, view.input), (0, None));
    assert_eq!(stage_sums(&jobs, 1), (jobs.len(), jobs.len()));
}

#[test]
fn the_verdict_is_that_of_the_whole_or_of_the_part_it_failed_for() {
    let mut asset = sample::asset(AssetState::Accepted);
    let mut jobs = encoded(&asset);
    jobs.push(check("validate/audio/stereo", 0, vec![]));
    assert_eq!(report_state(&asset, &jobs), None);
    jobs.push(check("validate/transcode/h264/0000", 0, vec![Finding::error("decode", "720p/1.m4s", 1, 0)]));
    // It is being encoded anew: no verdict yet.
    assert_eq!(report_state(&asset, &jobs), None);
    asset.state = AssetState::Failed;
    asset.failure = Some(Failure::new(Class::Bug, "validation", "x"));
    assert_eq!(report_state(&asset, &jobs), Some(ReportState::Failed));
    asset.state = AssetState::Published;
    jobs.push(check(VALIDATE_WHOLE, 0, vec![Finding::warning("bitrate", "720p", 2, 1)]));
    let view = asset_view(&asset, &jobs);
    let validation = view.validation.unwrap();
    assert_eq!((validation.state, validation.findings.len()), (ReportState::Passed, 1));
    assert_eq!(view.hls, Some(format!("vod/default/{}/master.m3u8", asset.id)));
    assert_eq!(view.dash, Some(format!("vod/default/{}/manifest.mpd", asset.id)));
}

fn report_state(asset: &AssetRecord, jobs: &[Arc<JobSummary>]) -> Option<ReportState> {
    report(asset, jobs).map(|report| report.state)
}

#[test]
fn a_job_that_nobody_could_run_says_so() {
    let ready = |ready_ms| {
        let mut record = sample::job(JobState::Ready);
        record.ready_ms = ready_ms;
        Arc::new(JobSummary::of(1, record))
    };
    let running = Arc::new(JobSummary::of(1, sample::job(JobState::Running)));
    let nobody = |_: Lane| Some("no worker is heard".to_owned());
    for (jobs, waiting) in [
        (vec![ready(0)], Some("no worker is heard")),
        (vec![running.clone(), ready(0)], Some("no worker is heard")),
        (vec![running], None),
        // Somebody may be about to start.
        (vec![ready(99_000)], None),
        (vec![], None),
    ] {
        assert_eq!(waits(&jobs, 100_000, nobody).as_deref(), waiting);
    }
    assert_eq!(waits(&[ready(0)], 100_000, |_| None), None);
}
