//! Two of everything at the same moment.

use framemill_scheduler::view::SummaryOutput;
use framemill_schemas::{
    asset::AssetState,
    job::{JobKind, JobState},
    probe::Seek,
    subject,
};

use crate::{
    repair::AT_ONCE,
    world::{Scheduler, World},
};

/// Makes a title until it could be published.
async fn ready_to_publish(scheduler: &Scheduler, id: framemill_schemas::ids::AssetId) {
    let whole = |scheduler: &Scheduler| {
        let jobs = scheduler.view.jobs_of(id);
        jobs.into_iter().find(|job| job.unit == "validate/whole" && job.state == JobState::Ready)
    };
    scheduler.work_until(id, |scheduler, _| whole(scheduler).is_some()).await;
    scheduler.hands.work(id).await;
    scheduler.see(id).await;
}

#[tokio::test]
async fn two_schedulers_make_one_title() {
    let world = World::new().await;
    let (one, two) = (world.scheduler().await, world.scheduler().await);
    let id = one.submit().await;
    one.change(id, |asset| asset.slots = 2).await;
    let asset = loop {
        // Both look at the same records, and act on them at the same time.
        tokio::join!(one.see(id), two.see(id));
        tokio::join!(
            framemill_scheduler::loops::drive::tick(&one.actor, id),
            framemill_scheduler::loops::drive::tick(&two.actor, id)
        );
        let asset = one.asset(id).await;
        if asset.state != AssetState::Accepted {
            break asset;
        }
        for (_, job, _) in one.queue.jobs().list(&subject::job_records_of(id)).await.unwrap() {
            assert!(job.state != JobState::Ready || one.queue.waiting(&job).await.unwrap(), "{}", job.unit);
        }
        one.hands.work(id).await;
    };
    assert_eq!(asset.state, AssetState::Published, "{:?}", asset.failure);
    let jobs = one.queue.jobs().list(&subject::job_records_of(id)).await.unwrap();
    let mut units: Vec<_> = jobs.iter().map(|(_, job, _)| (&job.unit, job.round)).collect();
    let planned = units.len();
    units.dedup();
    assert_eq!(units.len(), planned);
    assert!(jobs.iter().all(|(_, job, _)| job.state == JobState::Done && job.attempt == 1));
    assert_eq!(one.events(id).await, ["asset.accepted", "asset.published"]);
    one.fold(id).await;
    assert_eq!(one.findings(id, true).await, []);
}

#[tokio::test]
async fn cancelling_and_publishing_exclude_each_other() {
    let world = World::new().await;
    let (one, two) = (world.scheduler().await, world.scheduler().await);
    let mut ends = Vec::new();
    for turn in 0..8 {
        let id = one.submit().await;
        ready_to_publish(&one, id).await;
        two.see(id).await;
        let path = format!("/v1/assets/{id}/cancel");
        let cancel = async {
            // Each turn a little later.
            tokio::time::sleep(std::time::Duration::from_millis(turn * 3)).await;
            one.post(&path).await.0
        };
        let (status, (), ()) = tokio::join!(
            cancel,
            framemill_scheduler::loops::drive::tick(&one.actor, id),
            framemill_scheduler::loops::drive::tick(&two.actor, id)
        );
        let asset = one.asset(id).await;
        let events = one.events(id).await;
        match asset.state {
            AssetState::Published => {
                assert_eq!((status, asset.published.is_some()), (409, true));
                assert_eq!(events, ["asset.accepted", "asset.published"]);
                one.fold(id).await;
                assert_eq!(one.findings(id, false).await, []);
            }
            AssetState::Cancelled => {
                assert_eq!((status, asset.published), (200, None));
                assert_eq!(events, ["asset.accepted", "asset.cancelled"]);
            }
            other => panic!("{other:?}"),
        }
        ends.push(asset.state);
    }
    assert!(ends.contains(&AssetState::Published) || ends.contains(&AssetState::Cancelled), "{ends:?}");
}

#[tokio::test]
async fn a_commit_that_races_a_cancel_changes_nothing_that_is_shown() {
    let world = World::new().await;
    let scheduler = world.scheduler_with(AT_ONCE).await;
    for _ in 0..4 {
        let id = scheduler.submit().await;
        let ready = |scheduler: &Scheduler| {
            let jobs = scheduler.view.jobs_of(id);
            jobs.into_iter().find(|job| job.kind == JobKind::Transcode && job.state == JobState::Ready)
        };
        scheduler.work_until(id, |scheduler, _| ready(scheduler).is_some()).await;
        let job = ready(&scheduler).unwrap();
        let key = subject::job_record(id, job.id);
        let (record, revision) = scheduler.queue.jobs().get(&key).await.unwrap().unwrap();
        let (record, revision) = scheduler.hands.claim(&key, record, revision).await.unwrap();
        let output = scheduler.hands.output(&record).await;
        let path = format!("/v1/assets/{id}/cancel");
        let cancel = async {
            assert_eq!(scheduler.post(&path).await.0, 200);
            scheduler.tick(id).await;
        };
        tokio::join!(cancel, scheduler.hands.end(&key, record, revision, output));
        let (record, _) = scheduler.queue.jobs().get(&key).await.unwrap().unwrap();
        assert!(matches!(record.state, JobState::Done | JobState::Cancelled), "{:?}", record.state);
        assert_eq!(record.state == JobState::Done, record.output.is_some());
        let asset = scheduler.asset(id).await;
        assert_eq!((asset.state, asset.published), (AssetState::Cancelled, None));
        // Nothing of it stays, whoever was faster.
        scheduler.tick(id).await;
        scheduler.age_jobs(id).await;
        let entry = scheduler.view.asset(id).unwrap();
        framemill_scheduler::loops::collect::tick(&scheduler.collector(AT_ONCE), &entry).await.unwrap();
        assert_eq!(scheduler.objects(id).await, []);
    }
}

#[tokio::test]
async fn a_view_forgets_seek_points_once_nothing_is_planned_with_them() {
    let world = World::new().await;
    let scheduler = world.scheduler().await;
    let id = scheduler.submit().await;
    let points = |scheduler: &Scheduler| {
        let jobs = scheduler.view.jobs_of(id);
        jobs.iter().find_map(|job| match &job.output {
            SummaryOutput::Probe(probe) => match &probe.video.seek {
                Seek::Points(points) => Some(points.len()),
                Seek::FromStart => panic!("it has points"),
            },
            _ => None,
        })
    };
    scheduler.work_until(id, |scheduler, _| scheduler.encoded(id, 1).len() > 2).await;
    assert!(points(&scheduler).is_some_and(|points| points > 0));
    let renditions = scheduler.get(&format!("/v1/assets/{id}")).await["renditions"].as_array().unwrap().len();
    scheduler.make(id).await;
    assert_eq!(points(&scheduler), Some(0));
    // One that hears of the jobs before the asset, or after it.
    assert_eq!(points(&world.scheduler().await), Some(0));
    let shown = scheduler.get(&format!("/v1/assets/{id}")).await;
    assert_eq!(shown["renditions"].as_array().unwrap().len(), renditions);
}
