//! Repairs, and generations that are planned anew.

use framemill_schemas::{
    asset::{Published, Repair},
    holder::Holder,
};

use super::*;

const DAMAGED: &str = "transcode/h264/0001";

/// A published asset of which one unit is damaged.
fn repairing() -> AssetRecord {
    let mut asset = AssetRecord { state: AssetState::Published, slots: 2, ..asset() };
    let (master, mpd) = (object("m"), object("d"));
    asset.published = Some(Published { generation: asset.generation.clone(), master, mpd, index: Some(object("i")) });
    asset.repair = Some(Repair {
        generation: Generation { number: 2, random: "00000002".to_owned() },
        index: object("i"),
        damaged: vec![DAMAGED.to_owned()],
        anew: false,
        since_ms: 0,
        failure: None,
    });
    asset
}

/// The record as the stage sees it.
fn made(asset: &AssetRecord) -> AssetRecord {
    AssetRecord { generation: asset.making().unwrap().clone(), ..asset.clone() }
}

fn created(actions: &[Action]) -> Vec<NewJob> {
    let jobs = actions.iter().filter_map(|action| match action {
        Action::Create(job) => Some(job.clone()),
        _ => None,
    });
    jobs.collect()
}

/// Jobs at their end, with what they would have made.
fn ended(asset: &AssetRecord, jobs: Vec<NewJob>) -> Vec<Arc<JobSummary>> {
    let end = |job| {
        let mut job = summary(&made(asset), job);
        job.state = JobState::Done;
        job.output = if job.unit == PROBE {
            SummaryOutput::Probe(Arc::new(probe(1500)))
        } else if job.kind == JobKind::Validate {
            report(Vec::new())
        } else {
            SummaryOutput::Parts
        };
        Arc::new(job)
    };
    jobs.into_iter().map(end).collect()
}

fn seeded(asset: &AssetRecord) -> Vec<Arc<JobSummary>> {
    let source = asset.source.clone();
    let spec = JobSpec::Probe(ProbeSpec { source });
    let id = JobId::derive(asset.id, 2, PROBE, 0);
    let lane = Lane::Plain { kind: JobKind::Probe, priority: asset.priority };
    ended(asset, vec![NewJob { id, unit: PROBE.to_owned(), round: 0, lane, spec, avoid: None }])
}

#[test]
fn a_repair_carries_what_is_whole_and_then_encodes_the_rest() {
    let asset = repairing();
    assert_eq!(advance(&asset, &[]), [Action::Seed]);
    let mut jobs = seeded(&asset);
    let carries = created(&advance(&asset, &jobs));
    assert!(carries.len() > 6 && carries.iter().all(|job| matches!(job.spec, JobSpec::Carry(_))));
    assert!(carries.iter().all(|job| job.unit != DAMAGED));

    // While one of them is under way, nothing is encoded: its init may be missing.
    let mut all = ended(&asset, carries.clone());
    let last = all.pop().unwrap();
    jobs.extend(all);
    jobs.push(Arc::new(JobSummary { state: JobState::Running, ..last.as_ref().clone() }));
    assert!(created(&advance(&asset, &jobs)).iter().all(|job| job.spec.kind() == JobKind::Validate));

    *jobs.last_mut().unwrap() = last.clone();
    let next = created(&advance(&asset, &jobs));
    let encodes: Vec<_> = next.iter().filter(|job| job.spec.kind() != JobKind::Validate).collect();
    assert_eq!(encodes.iter().map(|job| (job.unit.as_str(), job.round)).collect::<Vec<_>>(), [(DAMAGED, 0)]);
    assert!(matches!(encodes[0].spec, JobSpec::Transcode(_)));

    // What could not be carried over is encoded as well.
    *jobs.last_mut().unwrap() = Arc::new(JobSummary { state: JobState::Failed, ..last.as_ref().clone() });
    let next = created(&advance(&asset, &jobs));
    let encodes: Vec<_> = next.iter().filter(|job| job.spec.kind() != JobKind::Validate).collect();
    let mut wanted = [(DAMAGED, 0), (last.unit.as_str(), 1)];
    wanted.sort();
    let mut found: Vec<_> = encodes.iter().map(|job| (job.unit.as_str(), job.round)).collect();
    found.sort();
    assert_eq!(found, wanted);
    assert!(encodes.iter().all(|job| !matches!(job.spec, JobSpec::Carry(_))));
}

#[test]
fn a_repair_leaves_the_jobs_of_what_is_published_alone_and_ends_with_its_asset() {
    let asset = repairing();
    let running = |generation: u32, job: &Arc<JobSummary>| {
        Arc::new(JobSummary { generation, state: JobState::Running, ..job.as_ref().clone() })
    };
    let job = &seeded(&asset)[0];
    assert_eq!(advance(&asset, &[running(2, job)]), []);
    assert_eq!(advance(&asset, &[running(1, job)]), [Action::Cancel(job.id), Action::Seed]);
    let removed = AssetRecord { state: AssetState::Doomed, ..asset };
    assert_eq!(advance(&removed, &[running(2, job)]), [Action::Cancel(job.id)]);
}

#[test]
fn an_init_that_no_node_left_makes_is_planned_anew_once() {
    let differs = |asset: &AssetRecord, mut jobs: Vec<Arc<JobSummary>>, encodes: Vec<NewJob>| {
        let mut dead = summary(&made(asset), encodes.into_iter().find(|job| job.unit == DAMAGED).unwrap());
        dead.state = JobState::Dead;
        dead.failures = vec![Failure::new(Class::Resource, "init-differs", "another build")];
        jobs.push(Arc::new(dead));
        advance(asset, &jobs)
    };
    let accepted = AssetRecord { slots: 2, ..asset() };
    let probed =
        seeded(&accepted).into_iter().map(|job| Arc::new(JobSummary { generation: 1, ..job.as_ref().clone() }));
    let probed: Vec<_> = probed.collect();
    let encodes = created(&advance(&accepted, &probed));
    assert!(matches!(differs(&accepted, probed.clone(), encodes.clone())[..], [Action::Anew(_)]));
    let again = AssetRecord { anew: 1, ..accepted };
    assert!(matches!(differs(&again, probed, encodes)[..], [Action::Fail(_)]));

    let asset = repairing();
    let mut jobs = seeded(&asset);
    jobs.extend(ended(&asset, created(&advance(&asset, &jobs))));
    let encodes = created(&advance(&asset, &jobs));
    let Some(Action::Anew(units)) = differs(&asset, jobs.clone(), encodes.clone()).pop() else { panic!("no new plan") };
    // All of its codec, and nothing of the other.
    assert!(units.len() > 1 && units.iter().all(|unit| unit.starts_with("transcode/h264/")), "{units:?}");
    let mut again = asset;
    again.repair.as_mut().unwrap().anew = true;
    assert!(matches!(differs(&again, jobs, encodes)[..], [Action::Fail(_)]));
}

#[test]
fn the_second_round_of_a_part_avoids_who_made_the_first() {
    let asset = AssetRecord { slots: 2, ..asset() };
    let probed = seeded(&asset).into_iter().map(|job| Arc::new(JobSummary { generation: 1, ..job.as_ref().clone() }));
    let mut jobs: Vec<_> = probed.collect();
    let node: NodeId = "one".parse().unwrap();
    let holder = Holder { node: node.clone(), process: Uuid::nil(), nonce: Uuid::nil() };
    for job in ended(&asset, created(&advance(&asset, &jobs))) {
        jobs.push(Arc::new(JobSummary { holder: Some(holder.clone()), ..job.as_ref().clone() }));
    }
    let bad = report(vec![Finding::error("decode", "x", "y", "z")]);
    for job in ended(&asset, created(&advance(&asset, &jobs))) {
        let output = if job.unit.ends_with(DAMAGED) { bad.clone() } else { job.output.clone() };
        jobs.push(Arc::new(JobSummary { output, ..job.as_ref().clone() }));
    }
    let again = created(&advance(&asset, &jobs));
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!((again[0].unit.as_str(), again[0].round, &again[0].avoid), (DAMAGED, 1, &Some(node)));
}
