//! Every transition from every state, and what no order of transitions can break.

use framemill_schemas::{
    finding::{Report, ReportState},
    ids::{AssetId, JobId, NodeId, Tenant},
    job::{FAILURES_MAX, JobKind},
    lane::{Lane, Priority},
    spec::ValidatePartSpec,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn job() -> JobRecord {
    let asset = AssetId::new(Uuid::from_u128(1));
    let part = JobId::derive(asset, 1, "transcode/h264/0001", 0);
    let spec = JobSpec::ValidatePart(ValidatePartSpec { part, part_key: "p".to_owned() });
    let lane = Lane::Plain { kind: JobKind::Validate, priority: Priority::Standard };
    JobRecord::ready(asset, 1, "validate/0001".to_owned(), Tenant::default_tenant(), lane, spec, 1)
}

fn holder(node: u8, nonce: u128) -> Holder {
    let node: NodeId = format!("node-{node}").parse().unwrap();
    Holder { node, process: Uuid::from_u128(9), nonce: Uuid::from_u128(nonce) }
}

fn output() -> JobOutput {
    let report = Report { v: 1, state: ReportState::Passed, frames: 1, checks: vec![], findings: vec![] };
    JobOutput::Validation(report)
}

fn crash() -> Failure {
    Failure::new(Class::Transient, "ffmpeg-crashed", "signal 11")
}

fn running() -> JobRecord {
    claim(job(), holder(1, 1), 10).unwrap()
}

fn in_state(state: JobState) -> JobRecord {
    match state {
        JobState::Ready => job(),
        JobState::Running => running(),
        JobState::Done => commit(running(), &holder(1, 1), output(), 20).unwrap(),
        JobState::Failed => fail(running(), &holder(1, 1), Failure::input("x", "y"), 20).unwrap(),
        JobState::Dead => {
            let mut job = job();
            for nonce in 0..u128::from(ATTEMPTS_MAX) {
                let me = holder(1, nonce);
                let failure = Failure::new(Class::Transient, "t", "t");
                job = fail(claim(job, me.clone(), 10).unwrap(), &me, failure, 20).unwrap();
            }
            job
        }
        JobState::Cancelled => cancel(job(), 20).unwrap(),
    }
}

const STATES: [JobState; 6] =
    [JobState::Ready, JobState::Running, JobState::Done, JobState::Failed, JobState::Dead, JobState::Cancelled];

/// Applies a transition by name; the ones a holder makes are made by holder 1.
fn apply(name: &str, job: JobRecord) -> Result<JobRecord, Refusal> {
    let me = holder(1, 1);
    match name {
        "claim" => claim(job, holder(2, 2), 30),
        "commit" => commit(job, &me, output(), 30),
        "fail" => fail(job, &me, Failure::new(Class::Bug, "b", "b"), 30),
        "release" => release(job, &me, 30),
        "lose" => lose(job, 30),
        "redrive" => redrive(job, 30),
        "cancel" => cancel(job, 30),
        other => panic!("no transition {other}"),
    }
}

#[test]
fn each_transition_from_each_state() {
    use JobState::{Cancelled, Dead, Done, Failed, Ready, Running};
    let ended = |state| Err(Refusal::Ended(state));
    let not_holder = [Err(Refusal::NotHolder); 6];
    let with = |at: usize, state: JobState, mut row: [Result<JobState, Refusal>; 6]| {
        row[at] = Ok(state);
        row
    };
    // Columns: what becomes of Ready, Running, Done, Failed, Dead, Cancelled.
    let table: [(&str, [Result<JobState, Refusal>; 6]); 7] = [
        ("claim", [Ok(Running), Err(Refusal::Held), ended(Done), ended(Failed), ended(Dead), ended(Cancelled)]),
        ("commit", with(1, Done, not_holder)),
        ("fail", with(1, Failed, not_holder)),
        ("release", with(1, Ready, not_holder)),
        ("lose", with(1, Ready, [Err(Refusal::NotRunning); 6])),
        (
            "redrive",
            [
                Err(Refusal::NotFailed(Ready)),
                Err(Refusal::NotFailed(Running)),
                Err(Refusal::NotFailed(Done)),
                Ok(Ready),
                Ok(Ready),
                Err(Refusal::NotFailed(Cancelled)),
            ],
        ),
        ("cancel", [Ok(Cancelled), Ok(Cancelled), ended(Done), ended(Failed), ended(Dead), ended(Cancelled)]),
    ];
    for (name, row) in table {
        for (state, expected) in STATES.into_iter().zip(row) {
            let before = in_state(state);
            assert_eq!(before.state, state);
            let after = apply(name, before.clone());
            assert_eq!(after.as_ref().map(|job| job.state).map_err(|refusal| *refusal), expected, "{name} {state:?}");
            if let Ok(after) = after {
                assert_eq!(after.unsent.len(), before.unsent.len() + 1, "{name} {state:?} says one thing");
                assert_eq!(after.state.is_terminal(), after.ended_ms == 30, "{name} {state:?}");
                assert_eq!(after.holder.is_some(), matches!(after.state, Running | Done), "{name} {state:?}");
            }
        }
    }
}

#[test]
fn each_transition_says_what_happened() {
    let me = holder(1, 1);
    let told = |job: JobRecord| {
        let event = job.unsent.last().unwrap().clone();
        (event.kind, event.data.status.unwrap(), event.data.attempt, event.data.class)
    };
    let row = |kind: &str, status: &str, attempt, class| (kind.to_owned(), status.to_owned(), Some(attempt), class);
    let transient = || Failure::new(Class::Transient, "t", "t");
    for (job, expected) in [
        (running(), row("validate.started", "running", 1, None)),
        (commit(running(), &me, output(), 2).unwrap(), row("validate.completed", "done", 1, None)),
        (fail(running(), &me, transient(), 2).unwrap(), row("validate.retried", "ready", 1, Some(Class::Transient))),
        (
            fail(running(), &me, Failure::input("i", "i"), 2).unwrap(),
            row("validate.failed", "failed", 1, Some(Class::Input)),
        ),
        (release(running(), &me, 2).unwrap(), row("validate.retried", "ready", 1, None)),
        (lose(running(), 2).unwrap(), row("validate.retried", "ready", 1, Some(Class::Transient))),
        (in_state(JobState::Dead), row("validate.dead", "dead", 3, Some(Class::Transient))),
        (redrive(in_state(JobState::Dead), 2).unwrap(), row("validate.retried", "ready", 3, None)),
        (cancel(running(), 2).unwrap(), row("validate.cancelled", "cancelled", 1, None)),
    ] {
        assert_eq!(told(job), expected);
    }
}

#[test]
fn lost_holders_have_a_bound_of_their_own() {
    let lost = |job: JobRecord, nonce| lose(claim(job, holder(nonce as u8, nonce), 10).unwrap(), 20).unwrap();
    let mut killed = job();
    for loss in 1..=LOSSES_MAX {
        assert_eq!(killed.state, JobState::Ready, "after {} losses", loss - 1);
        killed = lost(killed, u128::from(loss));
    }
    assert_eq!((killed.state, killed.spent), (JobState::Dead, LOSSES_MAX));

    // What was lost is not what failed: neither takes from the other's bound.
    let mut mixed = job();
    for nonce in 0..u128::from(LOSSES_MAX - 1) {
        mixed = lost(mixed, nonce);
    }
    for nonce in 100..100 + u128::from(ATTEMPTS_MAX) {
        assert_eq!(mixed.state, JobState::Ready, "{nonce}");
        let me = holder(1, nonce);
        let failure = Failure::new(Class::Transient, "t", "t");
        mixed = fail(claim(mixed, me.clone(), 10).unwrap(), &me, failure, 20).unwrap();
    }
    assert_eq!(mixed.state, JobState::Dead);
    let again = redrive(mixed, 30).unwrap();
    assert_eq!(lost(again, 200).state, JobState::Ready, "a redriven job starts with none");
}

#[test]
fn a_failure_is_signed() {
    let job = fail(running(), &holder(1, 1), crash(), 2).unwrap();
    let failure = &job.failures[0];
    assert_eq!((failure.attempt, failure.node.as_ref().unwrap().as_str()), (1, "node-1"));
}

#[test]
fn classes_decide() {
    for (class, after_one, after_three) in [
        (Class::Input, JobState::Failed, None),
        (Class::Bug, JobState::Failed, None),
        (Class::Transient, JobState::Ready, Some(JobState::Dead)),
        (Class::Resource, JobState::Ready, Some(JobState::Dead)),
    ] {
        let mut job = job();
        for attempt in 1..=ATTEMPTS_MAX {
            let me = holder(1, u128::from(attempt));
            job = fail(claim(job, me.clone(), 2).unwrap(), &me, Failure::new(class, "c", "c"), 3).unwrap();
            if attempt == 1 {
                assert_eq!(job.state, after_one, "{class:?}");
            }
            if job.state.is_terminal() {
                break;
            }
        }
        assert_eq!(Some(job.state).filter(|_| after_three.is_some()), after_three, "{class:?}");
    }
}

#[test]
fn an_encoder_that_breaks_the_same_way_blames_the_source() {
    // (nodes of the attempts, symptoms, state at the end)
    for (nodes, codes, expected) in [
        (&[1, 2][..], &["ffmpeg-crashed", "ffmpeg-crashed"][..], JobState::Failed),
        (&[1, 1], &["ffmpeg-crashed", "ffmpeg-crashed"], JobState::Ready),
        (&[1, 1, 1], &["ffmpeg-crashed", "ffmpeg-crashed", "ffmpeg-crashed"], JobState::Failed),
        (&[1, 2], &["ffmpeg-crashed", "ffmpeg-stalled"], JobState::Ready),
        (&[1, 2, 3], &["ffmpeg-crashed", "ffmpeg-stalled", "ffmpeg-failed"], JobState::Dead),
        (&[1, 2], &["ffmpeg-failed", "ffmpeg-failed"], JobState::Failed),
        (&[1, 2], &["ffmpeg-stalled", "ffmpeg-stalled"], JobState::Ready),
        (&[1, 2, 3], &["ffmpeg-stalled", "ffmpeg-stalled", "ffmpeg-stalled"], JobState::Dead),
        (&[1, 1, 1], &["ffmpeg-stalled", "ffmpeg-stalled", "ffmpeg-stalled"], JobState::Dead),
        (&[1, 2, 3], &["ffmpeg-lost", "ffmpeg-lost", "ffmpeg-lost"], JobState::Dead),
        (&[1, 2, 3], &["ffmpeg-not-started", "ffmpeg-not-started", "ffmpeg-not-started"], JobState::Dead),
        (&[1, 2], &["put-timed-out", "put-timed-out"], JobState::Ready),
    ] {
        let mut job = job();
        for (nonce, (node, code)) in nodes.iter().zip(codes).enumerate() {
            let me = holder(*node, nonce as u128);
            let failure = Failure::new(Class::Transient, code, "c");
            job = fail(claim(job, me.clone(), 2).unwrap(), &me, failure, 3).unwrap();
        }
        assert_eq!(job.state, expected, "{nodes:?} {codes:?}");
        let blamed = job.failures.iter().any(|failure| failure.class == Class::Input);
        assert_eq!(blamed, expected == JobState::Failed);
    }
}

#[test]
fn where_no_other_node_is_the_second_time_blames_the_source() {
    // (symptoms on the only node, state at the end)
    for (codes, expected) in [
        (&["ffmpeg-crashed"][..], JobState::Ready),
        (&["ffmpeg-crashed", "ffmpeg-crashed"], JobState::Failed),
        (&["ffmpeg-crashed", "ffmpeg-failed"], JobState::Ready),
        (&["ffmpeg-crashed", "ffmpeg-failed", "ffmpeg-crashed"], JobState::Failed),
        (&["ffmpeg-stalled", "ffmpeg-stalled", "ffmpeg-stalled"], JobState::Dead),
        (&["put-timed-out", "put-timed-out"], JobState::Ready),
    ] {
        let mut job = job();
        for (nonce, code) in (0..).zip(codes) {
            let me = holder(1, nonce);
            let failure = Failure::new(Class::Transient, code, "c");
            job = fail_alone(claim(job, me.clone(), 2).unwrap(), &me, failure, 3).unwrap();
        }
        assert_eq!(job.state, expected, "{codes:?}");
        assert_eq!(job.attempt as usize, codes.len());
        let blamed = job.failures.iter().filter(|failure| failure.class == Class::Input).count();
        assert_eq!(blamed, usize::from(expected == JobState::Failed), "{codes:?}");
        assert!(job.failures.iter().all(|failure| failure.at_ms == 3), "each failure says when");
    }
    // The first was elsewhere: two nodes agree, as ever.
    let (there, here) = (holder(1, 1), holder(2, 2));
    let once = fail(claim(job(), there.clone(), 2).unwrap(), &there, crash(), 3).unwrap();
    let twice = fail_alone(claim(once, here.clone(), 4).unwrap(), &here, crash(), 5).unwrap();
    assert_eq!((twice.state, twice.attempt), (JobState::Failed, 2));
}

#[test]
fn what_went_wrong_before_a_redrive_blames_nobody_after_it() {
    let mut job = job();
    for nonce in 0..3 {
        let me = holder(1, nonce);
        job = fail(claim(job, me.clone(), 2).unwrap(), &me, crash(), 3).unwrap();
    }
    job = redrive(job, 4).unwrap();
    let me = holder(2, 7);
    job = fail(claim(job, me.clone(), 5).unwrap(), &me, crash(), 6).unwrap();
    assert_eq!(job.state, JobState::Ready);
}

/// One thing that happens to a job. Small numbers, so that holders meet again.
#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(u8),
    Commit(u8),
    Fail(u8, Class),
    Release(u8),
    Lose,
    Redrive,
    Cancel,
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![Just(Class::Input), Just(Class::Transient), Just(Class::Resource), Just(Class::Bug)];
    prop_oneof![
        4 => any::<u8>().prop_map(Step::Claim),
        1 => any::<u8>().prop_map(Step::Commit),
        3 => (any::<u8>(), class).prop_map(|(who, class)| Step::Fail(who, class)),
        1 => any::<u8>().prop_map(Step::Release),
        2 => Just(Step::Lose),
        1 => Just(Step::Redrive),
        1 => Just(Step::Cancel),
    ]
}

proptest! {
    /// Whatever happens, in whatever order: only the present holder changes a running job's
    /// fate, attempts are bounded, what ended stays ended unless redriven, lists are bounded.
    #[test]
    fn no_order_of_things_breaks_a_record(steps in prop::collection::vec(step(), 1..120)) {
        let mut job = job();
        let mut holders: Vec<Holder> = Vec::new();
        for step in steps {
            let before = job.clone();
            let past = |who: u8| holders.get(usize::from(who) % holders.len().max(1)).cloned();
            let asked = match step {
                Step::Claim(node) => {
                    let me = holder(node % 3, holders.len() as u128);
                    holders.push(me.clone());
                    Some((claim(job.clone(), me, 5), None))
                }
                Step::Commit(who) => past(who).map(|me| (commit(job.clone(), &me, output(), 5), Some(me))),
                Step::Fail(who, class) => past(who).map(|me| {
                    (fail(job.clone(), &me, Failure::new(class, "ffmpeg-crashed", "c"), 5), Some(me))
                }),
                Step::Release(who) => past(who).map(|me| (release(job.clone(), &me, 5), Some(me))),
                Step::Lose => Some((lose(job.clone(), 5), None)),
                Step::Redrive => Some((redrive(job.clone(), 5), None)),
                Step::Cancel => Some((cancel(job.clone(), 5), None)),
            };
            let Some((result, asker)) = asked else { continue };
            let Ok(after) = result else { continue };
            if let Some(asker) = asker {
                prop_assert!(is_held_by(&before, &asker), "a late holder changed the record");
            }
            if before.state.is_terminal() {
                prop_assert!(matches!(step, Step::Redrive), "{step:?} left {:?}", before.state);
            }
            prop_assert!(after.spent < ATTEMPTS_MAX + LOSSES_MAX);
            prop_assert!((after.spent as usize) < FAILURES_MAX, "every spent attempt can be counted");
            prop_assert!(after.failures.len() <= FAILURES_MAX && after.unsent.len() <= UNSENT_MAX);
            prop_assert!(after.attempt >= before.attempt);
            prop_assert_eq!(after.holder.is_some(), matches!(after.state, JobState::Running | JobState::Done));
            prop_assert_eq!(after.output.is_some(), after.state == JobState::Done);
            prop_assert_eq!(after.ended_ms > 0, after.state.is_terminal());
            let mut ids: Vec<_> = after.unsent.iter().map(|event| event.id).collect();
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len(), after.unsent.len(), "two events share an id");
            job = after;
        }
    }
}
