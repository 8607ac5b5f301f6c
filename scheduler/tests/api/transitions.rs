//! Cancel, retry, remove, redrive and drop, as records show them.

use std::time::Duration;

use framemill_scheduler::{act::Actor, loops::drive};
use framemill_schemas::{
    api::{AssetView, JobView, Page, Redriven},
    asset::AssetState,
    failure::{Class, Failure},
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
