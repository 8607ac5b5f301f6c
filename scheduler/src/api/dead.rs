//! `/v1/dead`: jobs whose attempts are spent.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use axum::{Json, extract::State, http::StatusCode};
use framemill_schemas::{
    api::{DeadBatch, DeadRefused, JobView, Page, Problem, Redriven},
    failure::Class,
    ids::{AssetId, JobId, NodeId, Tenant},
    job::{JobKind, JobState},
};
use serde::Deserialize;

use super::{
    ApiState,
    asset_view::job_view,
    extract::{JobPath, Query},
    guard::{Operator, Viewer},
    jobs::{self, ListQuery, Selection, find, select},
    problem::{ApiError, Problems},
};
use crate::{
    ops::{self, OpError},
    view::JobSummary,
};

/// List dead jobs, those of the newest asset first.
#[utoipa::path(
    get,
    operation_id = "dead_list",
    path = "/v1/dead",
    tag = "dead",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<JobView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<JobView>>, ApiError> {
    let dead = Selection { state: Some(JobState::Dead), ..query.into() };
    select(&state, &caller, &dead, |job| job_view(&job)).map(Json)
}

/// Try a dead job again, with all its attempts; its asset goes on.
#[utoipa::path(
    post,
    operation_id = "dead_redrive",
    path = "/v1/dead/{job}/redrive",
    tag = "dead",
    params(("job" = JobId, Path)),
    responses(
        (status = 202, description = "It is ready again", body = Redriven),
        (status = 409, description = "It is not dead, or its asset does not wait for it", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn redrive(
    state: State<ApiState>,
    operator: Operator,
    job: JobPath,
) -> Result<(StatusCode, Json<Redriven>), ApiError> {
    jobs::retry(state, operator, job).await
}

/// Let a dead job go: it is cancelled, and no longer listed here.
#[utoipa::path(
    delete,
    operation_id = "dead_drop",
    path = "/v1/dead/{job}",
    tag = "dead",
    params(("job" = JobId, Path)),
    responses(
        (status = 204, description = "It is gone from here"),
        (status = 409, description = "It is not dead", body = Problem, content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn drop_dead(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    JobPath(id): JobPath,
) -> Result<StatusCode, ApiError> {
    let job = find(&state, &caller, id)?;
    ops::drop_dead(&state.queue, &job.record_key(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which dead jobs a batch is about.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BatchQuery {
    /// Only jobs of this asset.
    #[param(value_type = Option<String>)]
    asset: Option<AssetId>,
    /// Only jobs of this kind.
    kind: Option<JobKind>,
    /// Only jobs of this tenant.
    #[param(value_type = Option<String>)]
    tenant: Option<Tenant>,
    /// Only jobs with a failure of this class. With `code` and `node`: one failure that is all of it.
    class: Option<Class>,
    /// Only jobs with a failure of this code.
    code: Option<String>,
    /// Only jobs with a failure on this node.
    #[param(value_type = Option<String>)]
    node: Option<NodeId>,
    /// Change nothing; say what would be.
    #[serde(default)]
    dry_run: bool,
    /// Jobs of a batch, 1 to 200.
    limit: Option<usize>,
    /// `next` of the batch before.
    cursor: Option<String>,
}

impl BatchQuery {
    fn selection(self) -> Selection {
        let Self { asset, kind, tenant, class, code, node, limit, cursor, dry_run: _ } = self;
        Selection { asset, state: Some(JobState::Dead), kind, tenant, class, code, node, limit, cursor }
    }
}

/// Try dead jobs again, a batch at a time; their assets go on.
///
/// To be repeated with `next` as `cursor` until there is none. A batch that was asked for twice
/// changes nothing the second time.
#[utoipa::path(
    post,
    operation_id = "dead_redrive_batch",
    path = "/v1/dead/redrive",
    tag = "dead",
    params(BatchQuery),
    responses((status = 200, description = "What became of the batch", body = DeadBatch), Problems)
)]
pub async fn redrive_batch(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    Query(query): Query<BatchQuery>,
) -> Result<Json<DeadBatch>, ApiError> {
    let dry_run = query.dry_run;
    let found = select(&state, &caller, &query.selection(), |job| job)?;
    let mut batch = DeadBatch { next: found.next, ..DeadBatch::default() };
    // The jobs of an asset come back together, so it is asked once.
    let mut asked = HashMap::new();
    for job in found.items {
        let asset = (job.asset, job.generation);
        let outcome = match asked.entry(asset) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let outcome = if dry_run { may_redrive(&state, &job) } else { ops::redrive(&state.queue, &job).await };
                new.insert(settled(outcome)?)
            }
        };
        book(&mut batch, job.id, outcome.clone());
    }
    Ok(Json(batch))
}

/// Let dead jobs go, a batch at a time.
///
/// To be repeated with `next` as `cursor` until there is none.
#[utoipa::path(
    post,
    operation_id = "dead_drop_batch",
    path = "/v1/dead/drop",
    tag = "dead",
    params(BatchQuery),
    responses((status = 200, description = "What became of the batch", body = DeadBatch), Problems)
)]
pub async fn drop_batch(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    Query(query): Query<BatchQuery>,
) -> Result<Json<DeadBatch>, ApiError> {
    let dry_run = query.dry_run;
    let found = select(&state, &caller, &query.selection(), |job| job)?;
    let mut batch = DeadBatch { next: found.next, ..DeadBatch::default() };
    for job in found.items {
        let outcome = if dry_run { Ok(()) } else { ops::drop_dead(&state.queue, &job.record_key(), job.id).await };
        book(&mut batch, job.id, settled(outcome)?);
    }
    Ok(Json(batch))
}

/// Whether a job would be redriven, as far as the view knows.
fn may_redrive(state: &ApiState, job: &Arc<JobSummary>) -> Result<(), OpError> {
    let asset = state.view.asset(job.asset).ok_or(OpError::NoAsset(job.asset))?;
    ops::may_redrive(&asset.record, job)
}

/// Why one job of a batch stays as it is; what concerns more than this job ends the batch.
fn settled(outcome: Result<(), OpError>) -> Result<Result<(), String>, ApiError> {
    match outcome {
        Ok(()) => Ok(Ok(())),
        Err(error @ (OpError::Conflict(_) | OpError::NoAsset(_) | OpError::NoJob(_))) => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Adds a job to a batch.
fn book(batch: &mut DeadBatch, job: JobId, outcome: Result<(), String>) {
    match outcome {
        Ok(()) => batch.jobs.push(job),
        Err(detail) => batch.refused.push(DeadRefused { job, detail }),
    }
}
