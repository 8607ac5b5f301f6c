//! Titles that are kept of a channel: nothing is probed or encoded.

use framemill_schemas::{
    ladder::VideoCodec,
    live::{Cut, Stretch},
    rate::timescale_for,
    spec::{RateControl, RungSpec},
};

use super::*;

fn archived() -> AssetRecord {
    let rate = Ratio::new(25, 1).unwrap();
    let rate_control = RateControl::Average { bitrate_kbps: 400, maxrate_kbps: 600 };
    let rung = RungSpec {
        name: "360p".to_owned(),
        width: 640,
        height: 360,
        rate_control,
        preset: "veryfast".to_owned(),
        nvenc: None,
    };
    let folder = "live/demo/news/t1-00000001".to_owned();
    let cut = Cut {
        rate,
        gop_frames: 50,
        segment_frames: 100,
        timescale: timescale_for(rate),
        codec: VideoCodec::H264,
        rungs: vec![rung],
        audio: asset().ladder.audio,
        inits: vec!["a".repeat(16), "b".repeat(16)],
        stretches: vec![Stretch { timeline: 1, folder, first: 10, last: 79, first_frame: 1000 }],
        left_out: Vec::new(),
        bytes: 1,
        from_ms: 0,
        to_ms: 280_000,
    };
    let source =
        Source::Channel { tenant: Tenant::default_tenant(), channel: "news".parse().unwrap(), first: 10, last: 79 };
    AssetRecord { source, cut: Some(Box::new(cut)), ..asset() }
}

/// The jobs of a world whose probe was seeded.
fn world<F: Fn(&JobSummary) -> Fate>(fate: F) -> World<F> {
    let asset = archived();
    assert_eq!(advance(&asset, &[]), [Action::Seed]);
    let found = crate::archive::probe(&asset, asset.cut.as_ref().unwrap());
    let spec = JobSpec::Probe(ProbeSpec { source: asset.source.clone() });
    let lane = Lane::Plain { kind: JobKind::Probe, priority: Priority::Standard };
    let id = JobId::derive(asset.id, 1, PROBE, 0);
    let probe = JobSummary {
        state: JobState::Done,
        output: SummaryOutput::Probe(Arc::new(found)),
        ..summary(&asset, NewJob { id, unit: PROBE.to_owned(), round: 0, lane, spec, avoid: None })
    };
    World { asset, jobs: vec![Arc::new(probe)], fate, end: None }
}

fn copied(job: &JobSummary) -> Fate {
    if job.unit.starts_with("archive/") { Fate::Done(SummaryOutput::Parts) } else { good(job) }
}

#[test]
fn a_span_is_copied_checked_and_published_without_an_encoder() {
    let Action::Publish(candidate) = world(copied).run(&[]) else { panic!("not published") };
    assert_eq!(candidate.spec.grid.frames, 7000);
    assert_eq!((candidate.spec.video[0].parts.len(), candidate.spec.audio.len()), (3, 1));
    let mut begun = world(copied);
    for action in advance(&begun.asset, &begun.jobs) {
        let Action::Create(job) = &action else { panic!("{action:?}") };
        assert!(matches!(job.spec, JobSpec::Archive(_)), "{}", job.unit);
        begun.act(action);
    }
    assert_eq!(begun.jobs.len(), 1 + 3 + 1);
}

#[test]
fn segments_that_are_gone_fail_the_title_and_are_not_encoded() {
    let fate = |job: &JobSummary| match job.unit.as_str() {
        "archive/h264/0001" => Fate::Failed(Box::new(Failure::input("span-not-kept", "gone"))),
        _ => copied(job),
    };
    let Action::Fail(failure) = world(fate).run(&[]) else { panic!("not failed") };
    assert_eq!((failure.class, failure.code.as_str()), (Class::Input, "span-not-kept"));
}
