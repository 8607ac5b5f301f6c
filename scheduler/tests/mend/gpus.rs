//! A title that was planned for GPUs which nobody has any more.

use framemill_schemas::{
    asset::AssetState,
    job::{JobKind, JobState},
    ladder::VideoCodec,
    lane::Demand,
    subject,
};

use crate::world::World;

#[tokio::test]
async fn a_title_that_only_prefers_gpus_is_planned_anew_when_they_are_gone() {
    let world = World::new().await;
    let mut scheduler = world.scheduler().await;
    let id = scheduler.submit().await;
    scheduler.change(id, |asset| (asset.slots, asset.hardware) = (2, vec![VideoCodec::H264])).await;
    let planned = |generation: u32| {
        move |scheduler: &crate::world::Scheduler, _: &_| {
            let jobs = scheduler.view.jobs_of(id);
            jobs.iter().any(|job| job.kind == JobKind::Transcode && job.generation == generation)
        }
    };
    scheduler.work_until(id, planned(1)).await;
    let lanes = |generation| {
        let jobs = scheduler.view.jobs_of(id);
        let chunks = jobs.iter().filter(|job| job.kind == JobKind::Transcode && job.generation == generation);
        chunks.map(|job| job.lane.demand()).collect::<Vec<_>>()
    };
    assert!(lanes(1).iter().all(|demand| *demand == Some(Demand::Nvenc)), "{:?}", lanes(1));

    // One that has just been made ready waits on.
    scheduler.tick(id).await;
    assert_eq!(scheduler.asset(id).await.generation.number, 1);
    let records = scheduler.queue.jobs().list(&subject::job_records_of(id)).await.unwrap();
    for (key, mut job, revision) in records.into_iter().filter(|(_, job, _)| job.state == JobState::Ready) {
        job.ready_ms = 1;
        scheduler.queue.jobs().update(&key, &job, revision).await.unwrap();
    }
    // A scheduler that has only just begun to listen does not judge.
    scheduler.tick(id).await;
    assert_eq!(scheduler.asset(id).await.generation.number, 1);
    scheduler.actor.hardware_wait_ms = 0;
    scheduler.tick(id).await;
    let anew = scheduler.asset(id).await;
    assert_eq!((anew.generation.number, anew.slots, anew.hardware.len(), anew.anew), (2, 0, 0, 1));
    let made = scheduler.make(id).await;
    assert_eq!((made.state, made.generation.number), (AssetState::Published, 2), "{:?}", made.failure);
    assert!(lanes(2).iter().all(|demand| *demand == Some(Demand::Any)), "{:?}", lanes(2));
}
