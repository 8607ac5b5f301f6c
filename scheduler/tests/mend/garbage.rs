//! Collection: what may go goes, what is in use never does.

use std::sync::{Arc, Mutex, mpsc};

use framemill_scheduler::{gc, loops::collect, retention::Retention, shred::shred};
use framemill_schemas::{
    api::GarbageObject,
    asset::AssetState,
    object::{asset_folder, generation_folder},
};
use framemill_storage::Meta;

use crate::{
    repair::AT_ONCE,
    world::{PATIENCE, World, until},
};

/// The guard alone: whatever it is told, and whatever it cannot find out.
#[tokio::test]
async fn a_wrong_decision_deletes_nothing_that_is_published() {
    let mut world = World::new().await;
    let scheduler = world.scheduler().await;
    let id = scheduler.published().await;
    let before = scheduler.objects(id).await;
    let garbage = |key: &str| GarbageObject { key: key.to_owned(), bytes: 1, why: "a bug".to_owned() };
    let all: Vec<_> = before.iter().map(|object| garbage(&object.key)).collect();
    for wrong in all.iter().map(std::slice::from_ref).chain([all.as_slice()]) {
        let refused = shred(&scheduler.queue, &scheduler.store, wrong).await.unwrap_err();
        assert!(matches!(refused, collect::CollectError::Protected { .. }), "{wrong:?} {refused}");
    }
    assert_eq!(scheduler.objects(id).await, before);
    // A record that cannot be read protects everything.
    let home = asset_folder(&scheduler.asset(id).await.tenant, id);
    let listed = scheduler.store.clone();
    world.kill_nats();
    let refused = shred(&scheduler.queue, &scheduler.store, &all).await.unwrap_err();
    assert!(matches!(refused, collect::CollectError::Record(_)), "{refused}");
    assert_eq!(listed.list(&format!("{home}/")).await.unwrap(), before);
}

#[tokio::test]
async fn a_dry_run_lists_what_is_then_collected() {
    let world = World::new().await;
    let rules = Retention { orphans_s: 1, ..AT_ONCE };
    let scheduler = world.scheduler_with(rules).await;
    let kept = scheduler.published().await;
    let before = scheduler.objects(kept).await;
    // One cancelled half-way, and objects of an asset that nobody knows.
    let cancelled = scheduler.submit().await;
    scheduler.work_until(cancelled, |scheduler, _| scheduler.encoded(cancelled, 1).len() > 2).await;
    assert_eq!(scheduler.post(&format!("/v1/assets/{cancelled}/cancel")).await.0, 200);
    scheduler.tick(cancelled).await;
    scheduler.age_jobs(cancelled).await;
    let stranger = "vod/default/0198c0de-0000-7000-8000-000000000001/g1-00000001/720p/1.m4s";
    let foreign = "vod/default/0198c0de-0000-7000-8000-000000000001/poster.jpg";
    for key in [stranger, foreign] {
        scheduler.store.put_new(key, "x".into(), &Meta::default()).await.unwrap();
    }
    let mut expected: Vec<_> = scheduler.objects(cancelled).await.into_iter().map(|object| object.key).collect();
    expected.push(stranger.to_owned());
    expected.sort();

    let keys = |garbage: &serde_json::Value| {
        let objects = garbage["objects"].as_array().unwrap().iter();
        let mut keys: Vec<_> = objects.map(|object| object["key"].as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys
    };
    let dry = async || scheduler.post("/v1/gc?dry_run=true").await.1;
    until("the stranger is old enough", async || keys(&dry().await).contains(&stranger.to_owned())).await;
    let shown = dry().await;
    assert_eq!(keys(&shown), expected);
    assert!(shown["records_total"].as_u64().unwrap() > 2, "{shown}");
    assert_eq!(dry().await, shown, "a dry run changes nothing");
    let (status, done) = scheduler.post("/v1/gc").await;
    assert_eq!((status, keys(&done)), (200, expected));
    assert_eq!(scheduler.objects(cancelled).await, []);
    assert_eq!(scheduler.store.list("vod/default/0198c0de").await.unwrap()[0].key, foreign);
    assert_eq!(scheduler.objects(kept).await, before);
    assert_eq!(scheduler.findings(kept, true).await, []);
}

#[tokio::test]
async fn a_library_without_records_is_not_garbage() {
    let world = World::new().await;
    let rules = Retention { orphans_s: 1, ..AT_ONCE };
    let scheduler = world.scheduler_with(rules).await;
    for number in 0..20 {
        let key = format!("vod/default/0198c0de-0000-7000-8000-0000000000{number:02}/g1-00000001/720p/1.m4s");
        scheduler.store.put_new(&key, "x".into(), &Meta::default()).await.unwrap();
    }
    let collector = scheduler.collector(rules);
    let held = async || {
        let garbage = gc::pass(&collector, gc::Pass::Collect).await.unwrap();
        assert_eq!(garbage.objects_total, 0);
        garbage.held_back.iter().any(|why| why.contains("20 objects of 20 assets"))
    };
    until("all are old enough", held).await;
    assert_eq!(scheduler.store.list("vod/").await.unwrap().len(), 20);
}

#[tokio::test]
async fn what_came_to_nothing_goes_with_its_record() {
    let world = World::new().await;
    let rules = Retention { ended_s: 1, ..AT_ONCE };
    let scheduler = world.scheduler_with(rules).await;
    let id = scheduler.submit().await;
    scheduler.work_until(id, |scheduler, _| scheduler.encoded(id, 1).len() > 2).await;
    scheduler.post(&format!("/v1/assets/{id}/cancel")).await;
    scheduler.tick(id).await;
    scheduler.age_jobs(id).await;
    scheduler.change(id, |asset| asset.ended_ms = 1).await;
    let home = asset_folder(&scheduler.asset(id).await.tenant, id);
    let collector = scheduler.collector(rules);
    let gone = async || {
        gc::pass(&collector, gc::Pass::Collect).await.unwrap();
        scheduler.queue.assets().get(&id.to_string()).await.unwrap().is_none()
    };
    until("the asset is gone", gone).await;
    assert_eq!(scheduler.store.list(&home).await.unwrap(), []);
    assert!(scheduler.queue.jobs().list(&format!("{id}.*")).await.unwrap().is_empty());
}

/// A collector stops between its last look and its deletion, for as long as it takes to make the
/// title anew; then it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_collector_that_was_paused_deletes_late_but_never_wrongly() {
    let world = World::new().await;
    let scheduler = world.scheduler_with(AT_ONCE).await;
    let id = scheduler.submit().await;
    scheduler.work_until(id, |scheduler, _| scheduler.encoded(id, 1).len() > 2).await;
    scheduler.post(&format!("/v1/assets/{id}/cancel")).await;
    scheduler.tick(id).await;
    scheduler.age_jobs(id).await;
    scheduler.see(id).await;
    let cancelled = scheduler.asset(id).await;
    let old = generation_folder(&cancelled.tenant, id, &cancelled.generation);
    assert!(!scheduler.store.list(&old).await.unwrap().is_empty());

    // Other tests collect too: only the thread of this collector is stopped.
    let (stopped, was_stopped) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(Some(may_go_on));
    let whose = Arc::new(Mutex::new(None));
    let paused = whose.clone();
    fail::cfg_callback("collect/between", move || {
        if *paused.lock().unwrap() == Some(std::thread::current().id())
            && let Some(may_go_on) = may_go_on.lock().unwrap().take()
        {
            stopped.send(()).unwrap();
            let _ = may_go_on.recv_timeout(PATIENCE);
        }
    })
    .unwrap();
    let collector = scheduler.collector(AT_ONCE);
    let entry = scheduler.view.asset(id).unwrap();
    let collecting = std::thread::spawn(move || {
        *whose.lock().unwrap() = Some(std::thread::current().id());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(collect::tick(&collector, &entry))
    });
    tokio::task::spawn_blocking(move || was_stopped.recv_timeout(PATIENCE)).await.unwrap().unwrap();

    assert_eq!(scheduler.post(&format!("/v1/assets/{id}/retry")).await.0, 202);
    let made = scheduler.make(id).await;
    assert_eq!((made.state, made.generation.number), (AssetState::Published, 2));
    scheduler.fold(id).await;
    go_on.send(()).unwrap();
    let outcome = tokio::task::spawn_blocking(move || collecting.join().unwrap()).await.unwrap();
    fail::remove("collect/between");
    outcome.unwrap();
    assert_eq!(scheduler.store.list(&old).await.unwrap(), [], "it went on");
    assert_eq!(scheduler.findings(id, true).await, []);
    let after = scheduler.asset(id).await;
    assert_eq!((after.state, after.published.is_some(), after.collected), (AssetState::Published, true, 0));
}
