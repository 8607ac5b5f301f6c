use framemill_schemas::{
    asset::{Published, Repair, Shown},
    failure::{Class, Failure},
    finding::{Report, ReportState},
    ids::JobId,
    job::JobState,
    object::{StoredObject, asset_folder, place},
};
use proptest::prelude::*;

use super::*;
use crate::ops::sample;

const NOW: i64 = 1_000_000_000;
const RULES: Retention = Retention { every_s: 1, superseded_s: 100, jobs_s: 200, ended_s: 300, orphans_s: 50 };

fn generation(number: u32) -> Generation {
    Generation { number, random: format!("{number:08x}") }
}

fn object(key: &str) -> StoredObject {
    StoredObject { key: key.to_owned(), bytes: 1, digest: String::new(), etag: String::new() }
}

fn published(number: u32) -> AssetRecord {
    let (master, mpd) = (object("m"), object("d"));
    let published = Published { generation: generation(number), master, mpd, index: Some(object("i")) };
    AssetRecord { generation: generation(number), published: Some(published), ..sample::asset(AssetState::Published) }
}

fn failed(class: Class) -> AssetRecord {
    AssetRecord {
        generation: generation(1),
        failure: Some(Failure::new(class, "x", "y")),
        ..sample::asset(AssetState::Failed)
    }
}

fn listed(asset: &AssetRecord, name: &str, age_s: i64) -> (Place, Listed) {
    let key = format!("{}/{name}", asset_folder(&asset.tenant, asset.id));
    let listed = Listed { bytes: 1, etag: String::new(), modified_ms: Some(NOW - age_s * 1000), key: key.clone() };
    (place(&key).unwrap(), listed)
}

#[test]
fn only_what_nobody_will_ever_want_is_garbage() {
    let repairing = |failure| AssetRecord {
        repair: Some(Repair {
            generation: generation(3),
            index: object("i"),
            damaged: Vec::new(),
            anew: false,
            since_ms: 0,
            failure,
        }),
        ..published(2)
    };
    let gave_up = Some(Failure::input("x", "y"));
    let accepted = AssetRecord { generation: generation(2), ..sample::asset(AssetState::Accepted) };
    let collected = AssetRecord { collected: 1, ..published(2) };
    let cancelled = AssetRecord { generation: generation(1), ..sample::asset(AssetState::Cancelled) };
    let removed = AssetRecord { state: AssetState::Doomed, ..published(2) };
    let repaired = |ago_s: i64| AssetRecord { repaired_ms: NOW - ago_s * 1000, ..published(2) };
    // (record, object, its age in seconds, nobody is putting, is garbage)
    for (asset, name, age_s, settled, expected) in [
        (published(2), "g2-00000002/720p/1.m4s", 1_000, true, false),
        (published(2), "g2-00000002.m3u8", 1_000, true, false),
        (published(2), "master.m3u8", 1_000, true, false),
        (published(2), "g1-00000001/720p/1.m4s", 0, true, true),
        (published(2), "g1-00000001/720p/1.m4s", 1_000, false, false),
        // The same number, but not this generation: a record that was restored does not know it.
        (published(2), "g2-000000ff/720p/1.m4s", 49, true, false),
        (published(2), "g2-000000ff/720p/1.m4s", 50, true, true),
        // Put by somebody who was stopped while it was collected.
        (collected, "g1-00000001/720p/1.m4s", 50, true, true),
        (repairing(None), "g3-00000003/720p/1.m4s", 1_000, true, false),
        (repairing(None), "g2-00000002/720p/1.m4s", 1_000, true, false),
        (repairing(gave_up), "g3-00000003/720p/1.m4s", 50, true, true),
        (repaired(99), "g1-00000001/720p/1.m4s", 1_000, true, false),
        (repaired(100), "g1-00000001/720p/1.m4s", 1_000, true, true),
        (accepted.clone(), "g2-00000002/720p/1.m4s", 1_000, true, false),
        (accepted.clone(), "g1-00000001/720p/1.m4s", 0, true, true),
        (accepted, "master.m3u8", 49, true, false),
        (cancelled.clone(), "g1-00000001/720p/1.m4s", 0, true, true),
        (cancelled, "master.m3u8", 50, true, true),
        (failed(Class::Input), "g1-00000001/720p/1.m4s", 0, true, true),
        (failed(Class::Transient), "g1-00000001/720p/1.m4s", 1_000, true, false),
        (removed.clone(), "g2-00000002/720p/1.m4s", 0, true, true),
        (removed.clone(), "manifest.mpd", 0, true, true),
        (removed, "g2-00000002/720p/1.m4s", 1_000, false, false),
    ] {
        let garbage = RULES.objects(Some(&asset), &[listed(&asset, name, age_s)], settled, NOW);
        assert_eq!(!garbage.is_empty(), expected, "{:?} {name} {age_s} {settled} {garbage:?}", asset.state);
    }
}

#[test]
fn objects_without_a_record_wait_and_those_without_an_age_stay() {
    let asset = published(1);
    for (age_s, rules, expected) in
        [(49, RULES, 0), (50, RULES, 1), (10_000_000, Retention { orphans_s: 0, ..RULES }, 0)]
    {
        let found = rules.objects(None, &[listed(&asset, "g1-00000001/720p/1.m4s", age_s)], false, NOW);
        assert_eq!(found.len(), expected, "{age_s}");
    }
    let (place, mut object) = listed(&asset, "master.m3u8", 1_000);
    object.modified_ms = None;
    assert_eq!(RULES.objects(None, &[(place, object)], true, NOW), []);
}

#[test]
fn jobs_go_once_nothing_depends_on_them() {
    let shown = Shown {
        input: framemill_schemas::api::InputView {
            format: String::new(),
            codec: String::new(),
            width: 1,
            height: 1,
            rate: framemill_schemas::rate::Ratio::new(1, 1).unwrap(),
            frames: 1,
            duration_ms: 1,
        },
        renditions: Vec::new(),
        audio: Vec::new(),
        dropped: Vec::new(),
        stages: Vec::new(),
        jobs: Default::default(),
        last_segment_ms: None,
        report: Report { v: 1, state: ReportState::Passed, frames: 1, checks: Vec::new(), findings: Vec::new() },
    };
    let folded = AssetRecord { shown: Some(Box::new(shown)), ..published(2) };
    let unfolded = AssetRecord { shown: None, ..published(2) };
    let cancelled = AssetRecord { generation: generation(1), ..sample::asset(AssetState::Cancelled) };
    let accepted = AssetRecord { generation: generation(2), ..sample::asset(AssetState::Accepted) };
    // (record, the job's generation, its state, how long ago it ended in seconds, may go)
    for (asset, number, state, ago_s, expected) in [
        (&folded, 2, JobState::Done, 200, true),
        (&folded, 2, JobState::Done, 199, false),
        (&folded, 2, JobState::Running, 1_000, false),
        (&folded, 1, JobState::Cancelled, 200, true),
        (&unfolded, 2, JobState::Done, 1_000, false),
        (&cancelled, 1, JobState::Cancelled, 200, true),
        (&accepted, 2, JobState::Done, 1_000, false),
        (&accepted, 1, JobState::Dead, 200, true),
        (&failed(Class::Transient), 1, JobState::Dead, 1_000, false),
        (&failed(Class::Input), 1, JobState::Failed, 1_000, false),
    ] {
        let mut job = sample::job(state);
        (job.generation, job.ended_ms) = (number, NOW - ago_s * 1000);
        job.id = JobId::derive(asset.id, number, "probe", 0);
        let job = Arc::new(JobSummary::of(1, job));
        let may_go = !RULES.jobs(asset, std::slice::from_ref(&job), NOW).is_empty();
        assert_eq!(may_go, expected, "{:?} {number} {state:?} {ago_s}", asset.state);
        assert_eq!(Retention { jobs_s: 0, ..RULES }.jobs(asset, &[job], NOW).len(), 0);
    }
}

#[test]
fn an_asset_that_came_to_nothing_is_over_in_time() {
    for (asset, ago_s, expected) in [
        (failed(Class::Bug), 300, true),
        (failed(Class::Bug), 299, false),
        (sample::asset(AssetState::Cancelled), 300, true),
        (published(1), 1_000_000, false),
        (sample::asset(AssetState::Accepted), 1_000_000, false),
    ] {
        let asset = AssetRecord { ended_ms: NOW - ago_s * 1000, ..asset };
        assert_eq!(RULES.is_over(&asset, NOW), expected, "{:?} {ago_s}", asset.state);
        assert!(!Retention { ended_s: 0, ..RULES }.is_over(&asset, NOW));
    }
}

proptest! {
    /// The decision and the guard, each written by itself, agree on what viewers get.
    #[test]
    fn what_is_published_is_never_garbage(
        number in 1_u32..5, found in 1_u32..8, random in 0_u32..8, age_s in 0_i64..10_000, settled: bool,
        repaired_s in 0_i64..10_000, collected in 0_u32..5, repair in proptest::option::of(1_u32..8), entry: bool,
    ) {
        let mut asset = AssetRecord { repaired_ms: NOW - repaired_s * 1000, collected, ..published(number) };
        asset.repair = repair.map(|number| Repair {
            generation: generation(number),
            index: object("i"),
            damaged: Vec::new(),
            anew: false,
            since_ms: 0,
            failure: None,
        });
        let name = if entry { "master.m3u8".to_owned() } else { format!("g{found}-{random:08x}/720p/1.m4s") };
        let garbage = RULES.objects(Some(&asset), &[listed(&asset, &name, age_s)], settled, NOW);
        let in_use = entry || (found == random && (found == number || repair == Some(found)));
        if in_use {
            prop_assert!(garbage.is_empty(), "{garbage:?}");
        }
    }
}
