//! What is damaged after it was published is found, and only that is encoded again.

use std::collections::BTreeSet;

use framemill_scheduler::{gc, loops::keep, retention::Retention};
use framemill_schemas::{
    asset::AssetState,
    failure::{Class, Failure},
    ids::AssetId,
    job::{JobKind, JobState},
    object::{asset_folder, generation_folder},
    spec::JobOutput,
    subject,
};
use framemill_storage::Meta;

use crate::world::{Scheduler, World};

/// Keeps nothing longer than it must.
pub const AT_ONCE: Retention = Retention { every_s: 1, superseded_s: 0, jobs_s: 1, ended_s: 0, orphans_s: 0 };

/// The units whose segments have these keys.
async fn segment_of(scheduler: &Scheduler, id: AssetId, unit: &str, rendition: usize) -> String {
    let jobs = scheduler.queue.jobs().list(&subject::job_records_of(id)).await.unwrap();
    let generation = scheduler.asset(id).await.generation.number;
    let (_, job, _) = jobs.into_iter().find(|(_, job, _)| job.unit == unit && job.generation == generation).unwrap();
    let Some(JobOutput::Parts(parts)) = job.output else { panic!("no parts") };
    parts[rendition].segments[0].object.key.clone()
}

async fn overwrite(scheduler: &Scheduler, key: &str) {
    let (old, _) = scheduler.store.head(key).await.unwrap().unwrap();
    let put = scheduler.store.put_match(key, "something else".into(), &Meta::default(), &old.etag).await.unwrap();
    assert!(put.is_some());
}

#[tokio::test]
async fn only_what_is_damaged_is_encoded_again() {
    let world = World::new().await;
    let scheduler = world.scheduler_with(AT_ONCE).await;
    let id = scheduler.published().await;
    assert_eq!(scheduler.findings(id, true).await, []);
    let before = scheduler.asset(id).await;
    let gone = segment_of(&scheduler, id, "transcode/h264/0001", 0).await;
    let spoilt = segment_of(&scheduler, id, "transcode/h264/0003", 1).await;
    let shown = scheduler.get(&format!("/v1/assets/{id}")).await;

    // The records of its jobs are not needed for any of this.
    scheduler.age_jobs(id).await;
    let garbage = gc::pass(&scheduler.collector(AT_ONCE), gc::Pass::Collect).await.unwrap();
    assert!(garbage.records_total > 5 && garbage.objects_total == 0, "{garbage:?}");
    crate::world::until("the jobs are gone", async || scheduler.view.jobs_of(id).is_empty()).await;
    assert_eq!(scheduler.get(&format!("/v1/assets/{id}")).await, shown);
    assert_eq!(scheduler.get(&format!("/v1/assets/{id}/report")).await["state"], "passed");

    scheduler.store.delete(std::slice::from_ref(&gone)).await.unwrap();
    overwrite(&scheduler, &spoilt).await;
    let found: BTreeSet<_> = scheduler.findings(id, false).await.into_iter().collect();
    let damaged = [("object-missing", &gone), ("object-changed", &spoilt)];
    assert_eq!(found, damaged.map(|(code, at)| (code.to_owned(), at.clone())).into());
    let (_, checked) = scheduler.post(&format!("/v1/assets/{id}/check?repair=true")).await;
    assert_eq!(checked["repair"]["number"], 2, "{checked}");
    // Asked again, it is the same repair.
    let (_, again) = scheduler.post(&format!("/v1/assets/{id}/check?repair=true")).await;
    assert_eq!(again["repair"], checked["repair"]);

    // Viewers get the old generation until the new one is published.
    let during = scheduler
        .work_until(id, |scheduler, _| {
            scheduler.view.jobs_of(id).iter().any(|job| job.unit == "package" && job.generation == 2)
        })
        .await;
    assert_eq!((during.state, &during.published), (AssetState::Published, &before.published));
    let after = scheduler.make(id).await;
    assert_eq!((after.state, after.generation.number), (AssetState::Published, 2));
    assert_eq!((after.repair, after.ended_ms), (None, before.ended_ms));
    assert_eq!(scheduler.encoded(id, 2), ["transcode/h264/0001", "transcode/h264/0003"]);
    scheduler.fold(id).await;
    assert_eq!(scheduler.findings(id, true).await, []);
    let events = scheduler.events(id).await;
    assert!(events.contains(&"asset.damaged".to_owned()), "{events:?}");
    assert_eq!(events.iter().filter(|kind| *kind == "asset.repaired").count(), 1, "{events:?}");
    assert_eq!(events.iter().filter(|kind| *kind == "asset.published").count(), 1, "{events:?}");

    // The entry manifests lead to the new one, and nothing of the old one stays.
    let entry = scheduler.store.get(&format!("{}/master.m3u8", asset_folder(&after.tenant, id))).await.unwrap();
    assert_eq!(entry.unwrap().stored.digest, after.published.unwrap().master.digest);
    scheduler.age_jobs(id).await;
    gc::pass(&scheduler.collector(AT_ONCE), gc::Pass::Collect).await.unwrap();
    assert_eq!(scheduler.findings(id, true).await, []);
    let old = generation_folder(&before.tenant, id, &before.generation);
    assert_eq!(scheduler.store.list(&old).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_listing_does_not_show_is_found_while_it_is_carried_over() {
    let world = World::new().await;
    let scheduler = world.scheduler().await;
    let id = scheduler.published().await;
    let gone = segment_of(&scheduler, id, "audio/stereo", 0).await;
    let later = segment_of(&scheduler, id, "transcode/h264/0002", 0).await;
    let init = format!("{}/720p/init.mp4", gone.rsplit_once("/stereo/").unwrap().0);
    scheduler.store.delete(&[gone, init]).await.unwrap();
    let (_, checked) = scheduler.post(&format!("/v1/assets/{id}/check?repair=true")).await;
    assert_eq!(checked["findings"].as_array().unwrap().len(), 2, "{checked}");
    // Damaged after the check.
    overwrite(&scheduler, &later).await;
    let after = scheduler.make(id).await;
    assert_eq!(after.generation.number, 2, "{:?}", after.repair);
    // The init needs no encoder: its bytes are in the index.
    assert_eq!(scheduler.encoded(id, 2), ["audio/stereo", "transcode/h264/0002"]);
    scheduler.fold(id).await;
    assert_eq!(scheduler.findings(id, true).await, []);
}

#[tokio::test]
async fn a_repair_that_fails_leaves_what_is_published() {
    let world = World::new().await;
    let scheduler = world.scheduler().await;
    let id = scheduler.published().await;
    let before = scheduler.asset(id).await;
    let gone = segment_of(&scheduler, id, "transcode/h264/0000", 0).await;
    scheduler.store.delete(std::slice::from_ref(&gone)).await.unwrap();
    scheduler.post(&format!("/v1/assets/{id}/check?repair=true")).await;
    let encodes = |scheduler: &Scheduler| {
        let jobs = scheduler.view.jobs_of(id);
        jobs.into_iter().find(|job| job.generation == 2 && job.kind == JobKind::Transcode)
    };
    scheduler.work_until(id, |scheduler, _| encodes(scheduler).is_some()).await;
    // The source is another by now.
    let job = encodes(&scheduler).unwrap();
    let key = subject::job_record(id, job.id);
    let (record, revision) = scheduler.queue.jobs().get(&key).await.unwrap().unwrap();
    let (record, revision) = scheduler.hands.claim(&key, record, revision).await.unwrap();
    scheduler.hands.end(&key, record, revision, Err(Failure::input("source-changed", "it is another"))).await;
    let after = scheduler.make(id).await;
    assert_eq!((after.state, &after.published), (AssetState::Published, &before.published));
    let shown = scheduler.get(&format!("/v1/assets/{id}")).await;
    assert_eq!(shown["repair"]["failure"]["class"], "input", "{shown}");
    assert_eq!(scheduler.findings(id, false).await, [("object-missing".to_owned(), gone)]);
    // It can be tried again, under another number.
    let (_, checked) = scheduler.post(&format!("/v1/assets/{id}/check?repair=true")).await;
    assert_eq!(checked["repair"]["number"], 3, "{checked}");
    let after = scheduler.make(id).await;
    assert_eq!(after.generation.number, 3, "{:?}", after.repair);
}

#[tokio::test]
async fn another_init_on_every_node_left_is_another_generation_once() {
    let world = World::new().await;
    let scheduler = world.scheduler().await;
    let id = scheduler.submit().await;
    let transcodes = |scheduler: &Scheduler, generation: u32| {
        let jobs = scheduler.view.jobs_of(id).into_iter();
        jobs.filter(|job| job.generation == generation && job.kind == JobKind::Transcode).collect::<Vec<_>>()
    };
    for generation in 1..=2 {
        scheduler.work_until(id, |scheduler, _| !transcodes(scheduler, generation).is_empty()).await;
        let key = subject::job_record(id, transcodes(&scheduler, generation)[0].id);
        for _ in 0..3 {
            let (record, revision) = scheduler.queue.jobs().get(&key).await.unwrap().unwrap();
            let (record, revision) = scheduler.hands.claim(&key, record, revision).await.unwrap();
            let differs = Failure::new(Class::Resource, "init-differs", "another build");
            scheduler.hands.end(&key, record, revision, Err(differs)).await;
        }
        let (dead, _) = scheduler.queue.jobs().get(&key).await.unwrap().unwrap();
        assert_eq!(dead.state, JobState::Dead);
        scheduler.tick(id).await;
    }
    let asset = scheduler.asset(id).await;
    assert_eq!((asset.state, asset.generation.number, asset.anew), (AssetState::Failed, 2, 1));
    assert_eq!(asset.failure.unwrap().code, "init-differs");
}

#[tokio::test]
async fn entry_manifests_are_put_right() {
    let world = World::new().await;
    let scheduler = world.scheduler().await;
    let id = scheduler.published().await;
    let asset = scheduler.asset(id).await;
    let published = asset.published.clone().unwrap();
    let home = asset_folder(&asset.tenant, id);
    let entries = [(format!("{home}/master.m3u8"), published.master), (format!("{home}/manifest.mpd"), published.mpd)];
    scheduler.store.delete(&[entries[0].0.clone()]).await.unwrap();
    overwrite(&scheduler, &entries[1].0).await;
    keep::look_at_all(&scheduler.actor).await;
    for (key, from) in entries {
        assert_eq!(scheduler.store.get(&key).await.unwrap().unwrap().stored.digest, from.digest, "{key}");
    }
}
