//! NATS or the store brought back from an older copy: no name gets other bytes, and every title
//! ends published and whole, or failed with a class.

use std::collections::BTreeMap;

use framemill_scheduler::loops::keep;
use framemill_schemas::{
    asset::AssetState,
    failure::Class,
    ids::AssetId,
    object::{asset_folder, place},
};

use crate::world::{Scheduler, World, copy, restore};

/// Immutable objects and their entity tags.
async fn immutable(scheduler: &Scheduler, id: AssetId) -> BTreeMap<String, String> {
    let objects = scheduler.objects(id).await.into_iter();
    objects
        .filter(|object| place(&object.key).is_some_and(|place| place.generation.is_some()))
        .map(|object| (object.key, object.etag))
        .collect()
}

#[tokio::test]
async fn records_that_go_back_in_time_overwrite_nothing() {
    let mut world = World::new().await;
    let old = world.folder("old");
    let scheduler = world.scheduler().await;
    let id = scheduler.submit().await;
    scheduler.work_until(id, |scheduler, _| scheduler.encoded(id, 1).len() > 2).await;
    world.with_nats_stopped(|data| copy(data, &old)).await;

    // A process of its own after each start of NATS: a scheduler that lives through a restore must
    // be restarted.
    let scheduler = world.scheduler().await;
    assert_eq!(scheduler.make(id).await.state, AssetState::Published);
    scheduler.fold(id).await;
    let before = immutable(&scheduler, id).await;
    world.with_nats_stopped(|data| restore(&old, data)).await;

    let scheduler = world.scheduler().await;
    assert_eq!(scheduler.asset(id).await.state, AssetState::Accepted);
    let after = scheduler.make(id).await;
    assert_eq!(after.state, AssetState::Published, "{:?}", after.failure);
    scheduler.fold(id).await;
    assert_eq!(scheduler.findings(id, true).await, []);
    let now = immutable(&scheduler, id).await;
    for (key, etag) in &before {
        assert_eq!(now.get(key), Some(etag), "{key}");
    }
}

#[tokio::test]
async fn records_that_forget_a_generation_lead_viewers_to_the_one_they_know() {
    let mut world = World::new().await;
    let old = world.folder("old");
    let scheduler = world.scheduler().await;
    let id = scheduler.published().await;
    let known = scheduler.asset(id).await;
    world.with_nats_stopped(|data| copy(data, &old)).await;

    // Repaired after the copy: the entry manifests lead to the second generation.
    let scheduler = world.scheduler().await;
    let folder = asset_folder(&known.tenant, id);
    let segment = format!("{folder}/g1-{}/720p/1.m4s", known.generation.random);
    scheduler.store.delete(&[segment]).await.unwrap();
    scheduler.post(&format!("/v1/assets/{id}/check?repair=true")).await;
    let repaired = scheduler.make(id).await;
    assert_eq!(repaired.generation.number, 2, "{:?}", repaired.repair);
    let before = immutable(&scheduler, id).await;
    world.with_nats_stopped(|data| restore(&old, data)).await;

    let scheduler = world.scheduler().await;
    assert_eq!(scheduler.asset(id).await.generation, known.generation);
    keep::look_at_all(&scheduler.actor).await;
    let entry = scheduler.store.get(&format!("{folder}/master.m3u8")).await.unwrap().unwrap();
    assert_eq!(entry.stored.digest, known.published.unwrap().master.digest);
    // What was lost is found again, and mended in a generation with a name of its own.
    assert_eq!(scheduler.findings(id, false).await.len(), 1);
    scheduler.post(&format!("/v1/assets/{id}/check?repair=true")).await;
    let again = scheduler.make(id).await;
    assert_eq!(again.generation.number, 2, "{:?}", again.repair);
    assert_ne!(again.generation.random, repaired.generation.random);
    scheduler.fold(id).await;
    assert_eq!(scheduler.findings(id, true).await, []);
    let now = immutable(&scheduler, id).await;
    for (key, etag) in &before {
        assert_eq!(now.get(key), Some(etag), "{key}");
    }
}

#[tokio::test]
async fn a_store_that_goes_back_in_time_is_noticed_and_mended() {
    let mut world = World::new().await;
    let old = world.folder("old");
    let scheduler = world.scheduler().await;
    let (published, unfinished) = (scheduler.submit().await, scheduler.submit().await);
    scheduler.work_until(published, |scheduler, _| scheduler.encoded(published, 1).len() > 2).await;
    world.with_store_stopped(|data| copy(data, &old)).await;

    assert_eq!(scheduler.make(published).await.state, AssetState::Published);
    scheduler.fold(published).await;
    let validated =
        |scheduler: &Scheduler| scheduler.view.jobs_of(unfinished).iter().any(|job| job.unit == "validate/whole");
    scheduler.work_until(unfinished, |scheduler, _| validated(scheduler)).await;
    world.with_store_stopped(|data| restore(&old, data)).await;

    // What was not published yet is not published either: it fails, and says why.
    let failed = scheduler.make(unfinished).await;
    assert_eq!(failed.state, AssetState::Failed);
    assert_eq!(failed.failure.unwrap().class, Class::Bug);
    // What was is found to be damaged, and mended as far as it is.
    let findings = scheduler.findings(published, true).await;
    assert!(!findings.is_empty());
    let (status, checked) = scheduler.post(&format!("/v1/assets/{published}/check?repair=true")).await;
    assert_eq!((status, &checked["repair"]["number"]), (200, &2.into()), "{checked}");
    let mended = scheduler.make(published).await;
    assert_eq!(mended.generation.number, 2, "{:?}", mended.repair);
    scheduler.fold(published).await;
    assert_eq!(scheduler.findings(published, true).await, []);
}
