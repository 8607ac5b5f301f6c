use framemill_schemas::{
    failure::Failure,
    ids::{AssetId, JobId, Tenant},
    inventory::Engine,
    job::JobKind,
    lane::{Lane, Priority},
    load::Load,
    spec::{JobSpec, LiveSpec, ValidatePartSpec},
};
use uuid::Uuid;

use super::*;

fn job(state: JobState) -> JobRecord {
    let asset = AssetId::new(Uuid::from_u128(1));
    let part = JobId::derive(asset, 1, "u", 0);
    let spec = JobSpec::ValidatePart(ValidatePartSpec { part, part_key: String::new() });
    let lane = Lane::Plain { kind: JobKind::Validate, priority: Priority::Standard };
    JobRecord { state, ..JobRecord::ready(asset, 1, "u".to_owned(), Tenant::default_tenant(), lane, spec, 0) }
}

fn hint(revision: u64) -> Hint {
    Hint { v: 1, record: "r".to_owned(), revision, load: Load::NONE }
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Claim => "claim",
        Verdict::Terminate(_) => "terminate",
        Verdict::Later(..) => "later",
    }
}

#[test]
fn a_hint_is_worth_what_its_record_says() {
    let here: NodeId = "here".parse().unwrap();
    for (state, hint_revision, expected) in [
        (Some(JobState::Ready), 7, "claim"),
        (Some(JobState::Ready), 6, "claim"),
        (Some(JobState::Ready), 8, "later"),
        (Some(JobState::Done), 8, "later"),
        (Some(JobState::Running), 7, "terminate"),
        (Some(JobState::Done), 7, "terminate"),
        (Some(JobState::Failed), 7, "terminate"),
        (Some(JobState::Dead), 7, "terminate"),
        (Some(JobState::Cancelled), 7, "terminate"),
        (None, 7, "later"),
    ] {
        let record = state.map(job);
        let verdict = judge(&hint(hint_revision), record.as_ref().map(|job| (job, 7)), 1, &here, 0);
        assert_eq!(name(verdict), expected, "{state:?} {hint_revision}");
    }
    assert_eq!(name(judge(&hint(7), None, MISSING_DELIVERIES_MAX, &here, 0)), "terminate");
}

#[test]
fn a_node_that_lacked_something_lets_others_go_first() {
    let here: NodeId = "here".parse().unwrap();
    let there: NodeId = "there".parse().unwrap();
    // (where and how it failed, oldest first; milliseconds since; expected)
    let cases = [
        (&[(&here, Class::Resource)][..], 0, "later"),
        (&[(&here, Class::Resource)], 5_000, "claim"),
        (&[(&here, Class::Resource), (&here, Class::Resource)], 5_000, "later"),
        (&[(&here, Class::Resource), (&here, Class::Resource)], 30_000, "claim"),
        (&[(&there, Class::Resource)], 0, "claim"),
        (&[(&here, Class::Resource), (&there, Class::Resource)], 0, "claim"),
        (&[(&here, Class::Transient)], 0, "claim"),
    ];
    for (failures, waited, expected) in cases {
        let mut job = job(JobState::Ready);
        for (node, class) in failures {
            job.push_failure(Failure { node: Some((*node).clone()), ..Failure::new(*class, "c", "c") });
            job.spent += 1;
        }
        job.ready_ms = 1_000;
        assert_eq!(name(judge(&hint(1), Some((&job, 1)), 1, &here, 1_000 + waited)), expected, "{failures:?} {waited}");
    }
}

#[test]
fn a_rejected_unit_is_left_to_another_node_for_a_while() {
    let here: NodeId = "here".parse().unwrap();
    let there: NodeId = "there".parse().unwrap();
    // (who made what was rejected, claims so far, milliseconds since, expected)
    for (avoid, attempt, waited, expected) in [
        (Some(&here), 0, 0, "later"),
        (Some(&here), 0, AVOID_MS, "claim"),
        (Some(&here), 1, 0, "claim"),
        (Some(&there), 0, 0, "claim"),
        (None, 0, 0, "claim"),
    ] {
        let job = JobRecord { avoid: avoid.cloned(), attempt, ready_ms: 1_000, ..job(JobState::Ready) };
        assert_eq!(name(judge(&hint(1), Some((&job, 1)), 1, &here, 1_000 + waited)), expected, "{avoid:?} {waited}");
    }
}

#[test]
fn a_replica_is_run_once_and_away_from_its_peer() {
    let here: NodeId = "here".parse().unwrap();
    let there: NodeId = "there".parse().unwrap();
    // (nodes it must not run on, claims so far, expected)
    for (apart, attempt, expected) in [
        (vec![], 0, "claim"),
        (vec![&there], 0, "claim"),
        (vec![&here], 0, "later"),
        (vec![&there, &here], 0, "later"),
        (vec![], 1, "terminate"),
        (vec![&here], 1, "terminate"),
    ] {
        let spec = LiveSpec {
            channel: "news".parse().unwrap(),
            apart: apart.iter().map(|node| (*node).clone()).collect(),
            engine: Engine::Software,
            load: Load::NONE,
        };
        let job = JobRecord { spec: JobSpec::Live(spec), attempt, ..job(JobState::Ready) };
        assert_eq!(name(judge(&hint(1), Some((&job, 1)), 1, &here, 0)), expected, "{apart:?} {attempt}");
    }
}

#[test]
fn a_job_on_which_an_encoder_broke_here_is_left_to_others_for_a_while() {
    let here: NodeId = "here".parse().unwrap();
    let there: NodeId = "there".parse().unwrap();
    // (where and how it failed, oldest first; milliseconds since; expected)
    for (failures, waited, expected) in [
        (&[][..], 0, false),
        (&[(&here, Class::Transient, "ffmpeg-crashed")][..], 0, true),
        (&[(&here, Class::Transient, "ffmpeg-crashed")], ELSEWHERE_MS - 1, true),
        (&[(&here, Class::Transient, "ffmpeg-crashed")], ELSEWHERE_MS, false),
        (&[(&there, Class::Transient, "ffmpeg-crashed")], 0, false),
        (&[(&here, Class::Transient, "ffmpeg-crashed"), (&there, Class::Transient, "ffmpeg-failed")], 0, false),
        (&[(&here, Class::Transient, "ffmpeg-stalled")], 0, false),
        (&[(&here, Class::Transient, "source-unreachable")], 0, false),
    ] {
        let mut job = job(JobState::Ready);
        for (node, class, code) in failures {
            job.push_failure(Failure { node: Some((*node).clone()), ..Failure::new(*class, code, "c") });
            job.spent += 1;
        }
        job.ready_ms = 1_000;
        assert_eq!(broke_here(&job, &here, 1_000 + waited), expected, "{failures:?} {waited}");
    }
    // What was before a redrive says nothing any more.
    let mut job = job(JobState::Ready);
    job.push_failure(Failure { node: Some(here.clone()), ..Failure::new(Class::Transient, "ffmpeg-crashed", "c") });
    assert!(!broke_here(&job, &here, job.ready_ms));
}
