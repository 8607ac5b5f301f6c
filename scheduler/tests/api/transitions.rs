//! Cancel, retry, remove, redrive and drop, as records show them.

use std::{collections::HashSet, time::Duration};

use framemill_scheduler::{act::Actor, loops::drive};
use framemill_schemas::{
    api::{AssetView, DeadBatch, DeadRefused, JobView, Page, Redriven},
    asset::AssetState,
    failure::{Class, Failure},
    ids::JobId,
    job::JobState,
};
use reqwest::Method;

use crate::{farm::Farm, http::problem};

const GOOD: &str = r#"{"source":"https://example.net/film.mp4"}"#;

#[tokio::test]
async fn an_asset_is_cancelled_retried_and_removed() {
    let farm = Farm::local().await;
    let asset = farm.submit(GOOD).await;
    let path = format!("/v1/assets/{}", asset.id);
    problem(farm.post(&format!("{path}/retry"), "").await, 409, "conflict").await;
    for _ in 0..2 {
        let cancelled: AssetView = farm.post(&format!("{path}/cancel"), "").await.json().await.unwrap();
        assert_eq!(cancelled.state, AssetState::Cancelled);
    }
    let retried: AssetView = farm.post(&format!("{path}/retry"), "").await.json().await.unwrap();
    assert_eq!((retried.state, retried.generation.number), (AssetState::Accepted, 2));
    assert_ne!(retried.generation.random, asset.generation.random);
    for _ in 0..2 {
        let removed = farm.request(Method::DELETE, &path).send().await.unwrap();
        assert_eq!(removed.status(), 202);
        assert_eq!(removed.json::<AssetView>().await.unwrap().state, AssetState::Doomed);
    }
    problem(farm.post(&format!("{path}/cancel"), "").await, 409, "conflict").await;
    problem(farm.get(&format!("{path}/report")).await, 404, "not-found").await;
}

/// A failed asset with a dead job, one cancelled with it, and one that was done.
#[tokio::test]
async fn a_dead_job_is_redriven_with_its_asset() {
    let farm = Farm::local().await;
    let asset = farm.submit(GOOD).await;
    let (record, _) = farm.asset(asset.id).await;
    let failure = Failure::new(Class::Resource, "x", "y");
    let dead = farm
        .job(&record, "transcode/h264/0000", |job| {
            job.state = JobState::Dead;
            job.spent = 3;
            job.failures = vec![failure.clone()];
        })
        .await;
    let cancelled = farm.job(&record, "transcode/h264/0001", |job| job.state = JobState::Cancelled).await;
    let done = farm.job(&record, "probe", |job| job.state = JobState::Done).await;
    farm.change(asset.id, |asset| {
        asset.state = AssetState::Failed;
        asset.failure = Some(failure.clone());
    })
    .await;

    let listed: Page<JobView> = farm.get("/v1/dead").await.json().await.unwrap();
    assert_eq!(listed.items.iter().map(|job| job.id).collect::<Vec<_>>(), [dead.id]);
    problem(farm.post(&format!("/v1/jobs/{}/retry", done.id), "").await, 409, "conflict").await;

    let response = farm.post(&format!("/v1/dead/{}/redrive", dead.id), "").await;
    assert_eq!(response.status(), 202);
    assert_eq!(response.json::<Redriven>().await.unwrap().job, dead.id);
    // The driver does the rest, from the records alone.
    let actor = Actor::new(farm.queue.clone(), farm.store.clone(), farm.view.clone());
    let going_on = async {
        while farm.asset(asset.id).await.0.failure.is_some() {
            farm.view.take_dirty().await;
            drive::tick(&actor, asset.id).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), going_on).await.unwrap();
    for (job, state) in [(&dead, JobState::Ready), (&cancelled, JobState::Ready), (&done, JobState::Done)] {
        assert_eq!(farm.job_state(job).await, state, "{}", job.unit);
    }
    let (after, _) = farm.asset(asset.id).await;
    assert_eq!((after.state, after.failure, after.generation), (AssetState::Accepted, None, record.generation));
    for job in [&dead, &cancelled] {
        assert!(farm.queue.waiting(job).await.unwrap(), "its hint is queued");
    }
}

/// Asks for batch after batch until there is no next one.
async fn batches(farm: &Farm, path: &str) -> (Vec<JobId>, Vec<DeadRefused>, usize) {
    let (mut jobs, mut refused, mut count) = (Vec::new(), Vec::new(), 0);
    let mut cursor = String::new();
    loop {
        let response = farm.post(&format!("{path}{cursor}"), "").await;
        assert_eq!(response.status(), 200, "{path}{cursor}");
        let batch: DeadBatch = response.json().await.unwrap();
        jobs.extend(batch.jobs);
        refused.extend(batch.refused);
        count += 1;
        match batch.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (jobs, refused, count),
        }
    }
}

/// Three titles with dead jobs, one of which failed by its source's fault besides.
#[tokio::test]
async fn dead_jobs_are_redriven_and_dropped_in_batches() {
    let farm = Farm::local().await;
    let mut dead = Vec::new();
    let mut assets = Vec::new();
    for (code, class) in
        [("disk-full", Class::Resource), ("disk-full", Class::Input), ("store-unreachable", Class::Transient)]
    {
        let asset = farm.submit(GOOD).await;
        let (record, _) = farm.asset(asset.id).await;
        for unit in ["transcode/h264/0000", "transcode/h264/0001"] {
            let failure = Failure { node: Some("mill".parse().unwrap()), ..Failure::new(Class::Resource, code, "y") };
            let job = farm
                .job(&record, unit, |job| {
                    job.state = JobState::Dead;
                    job.failures = vec![failure.clone()];
                })
                .await;
            dead.push(job);
        }
        let ended = farm
            .change(asset.id, |asset| {
                asset.state = AssetState::Failed;
                asset.failure = Some(Failure::new(class, code, "y"));
            })
            .await;
        assets.push(ended);
    }
    let listed: Page<JobView> = farm.get("/v1/dead?code=disk-full&node=mill").await.json().await.unwrap();
    assert_eq!(listed.items.len(), 4);

    let (would, stay, _) = batches(&farm, "/v1/dead/redrive?code=disk-full&dry_run=true").await;
    assert_eq!((would.len(), stay.len()), (2, 2), "{stay:?}");
    assert!(farm.asset(assets[0].id).await.0.state == AssetState::Failed, "a dry run changes nothing");

    let (redriven, refused, count) = batches(&farm, "/v1/dead/redrive?code=disk-full&limit=1").await;
    assert_eq!(count, 4);
    assert_eq!(redriven.iter().collect::<HashSet<_>>(), dead[..2].iter().map(|job| &job.id).collect());
    assert!(refused.iter().all(|refused| refused.detail.contains("its source is at fault")), "{refused:?}");
    for (asset, state) in assets.iter().zip([AssetState::Accepted, AssetState::Failed, AssetState::Failed]) {
        assert_eq!(farm.asset(asset.id).await.0.state, state);
    }

    let (would, _, _) = batches(&farm, "/v1/dead/drop?class=resource&dry_run=true").await;
    assert_eq!((would.len(), farm.job_state(&dead[5]).await), (6, JobState::Dead));
    let (dropped, refused, _) = batches(&farm, "/v1/dead/drop?code=store-unreachable&limit=1").await;
    assert_eq!((dropped.len(), refused.len()), (2, 0));
    for (job, state) in dead[2..].iter().zip([JobState::Dead, JobState::Dead, JobState::Cancelled, JobState::Cancelled])
    {
        assert_eq!(farm.job_state(job).await, state);
    }
    problem(farm.post("/v1/dead/drop?colour=red", "").await, 400, "invalid-query").await;
    problem(farm.post("/v1/dead/redrive?limit=1000", "").await, 400, "invalid-query").await;
}

#[tokio::test]
async fn a_dead_job_is_dropped() {
    let farm = Farm::local().await;
    let asset = farm.submit(GOOD).await;
    let (record, _) = farm.asset(asset.id).await;
    let dead = farm.job(&record, "probe", |job| job.state = JobState::Dead).await;
    let drop = || farm.request(Method::DELETE, &format!("/v1/dead/{}", dead.id)).send();
    assert_eq!(drop().await.unwrap().status(), 204);
    assert_eq!(farm.job_state(&dead).await, JobState::Cancelled);
    problem(drop().await.unwrap(), 409, "conflict").await;
}
