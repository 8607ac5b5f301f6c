//! `/v1/jobs`.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use framemill_schemas::{
    api::{JobView, Page, Problem, Redriven},
    ids::{AssetId, JobId, Tenant},
    job::{JobKind, JobState},
};
use serde::{Deserialize, Serialize};

use super::{
    ApiState,
    asset_view::job_view,
    cursor::page,
    extract::{JobPath, Query},
    guard::{Operator, Viewer},
    problem::{ApiError, Problems},
};
use crate::{access::Caller, ops, view::JobSummary};

/// What a list may be narrowed by.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only jobs of this asset.
    #[param(value_type = Option<String>)]
    asset: Option<AssetId>,
    /// Only jobs in this state.
    state: Option<JobState>,
    /// Only jobs of this kind.
    kind: Option<JobKind>,
    /// Only jobs of this tenant.
    #[param(value_type = Option<String>)]
    tenant: Option<Tenant>,
    /// Items of a page, 1 to 200.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Where a job stands in a list: newest asset first, then generation, then as it is worked.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Place(AssetId, u32, String, u32);

impl Place {
    fn of(job: &JobSummary) -> Self {
        Self(job.asset, job.generation, job.unit.clone(), job.round)
    }

    /// Whether it comes behind `other`.
    fn is_after(&self, other: &Self) -> bool {
        let within = (self.1, &self.2, self.3).cmp(&(other.1, &other.2, other.3));
        other.0.cmp(&self.0).then(within).is_gt()
    }
}

/// List jobs, those of the newest asset first.
#[utoipa::path(
    get,
    operation_id = "jobs_list",
    path = "/v1/jobs",
    tag = "jobs",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<JobView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<JobView>>, ApiError> {
    matching(&state, &caller, &query, |_| true).map(Json)
}

/// The page of jobs that `query` and `wanted` let through.
pub fn matching(
    state: &ApiState,
    caller: &Caller,
    query: &ListQuery,
    wanted: impl Fn(&JobSummary) -> bool,
) -> Result<Page<JobView>, ApiError> {
    let view = state.current_view()?;
    let assets: Vec<AssetId> = match query.asset {
        Some(asset) => vec![asset],
        None => view.assets().iter().map(|entry| entry.record.id).collect(),
    };
    let jobs = assets.into_iter().flat_map(|asset| view.jobs_of(asset)).filter(|job| {
        caller.sees(&job.tenant)
            && query.state.is_none_or(|state| state == job.state)
            && query.kind.is_none_or(|kind| kind == job.kind)
            && query.tenant.as_ref().is_none_or(|tenant| *tenant == job.tenant)
            && wanted(job)
    });
    page(jobs, query.limit, query.cursor.as_deref(), |job| Place::of(job), Place::is_after, |job| job_view(&job))
}

/// Show a job.
#[utoipa::path(
    get,
    operation_id = "jobs_show",
    path = "/v1/jobs/{id}",
    tag = "jobs",
    params(("id" = JobId, Path)),
    responses((status = 200, description = "The job", body = JobView), Problems)
)]
pub async fn show(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    JobPath(id): JobPath,
) -> Result<Json<JobView>, ApiError> {
    find(&state, &caller, id).map(|job| Json(job_view(&job)))
}

/// The job, if the caller may know of it.
pub fn find(state: &ApiState, caller: &Caller, id: JobId) -> Result<Arc<JobSummary>, ApiError> {
    let job = state.current_view()?.job(id).filter(|job| caller.sees(&job.tenant));
    job.ok_or_else(|| ApiError::not_found("job", id))
}

/// Try a job again that failed or whose attempts are spent; its asset goes on.
#[utoipa::path(
    post,
    operation_id = "jobs_retry",
    path = "/v1/jobs/{id}/retry",
    tag = "jobs",
    params(("id" = JobId, Path)),
    responses(
        (status = 202, description = "It is ready again", body = Redriven),
        (status = 409, description = "It did not fail, or its asset does not wait for it", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn retry(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    JobPath(id): JobPath,
) -> Result<(StatusCode, Json<Redriven>), ApiError> {
    let job = find(&state, &caller, id)?;
    ops::redrive(&state.queue, &job).await?;
    Ok((StatusCode::ACCEPTED, Json(Redriven { job: id })))
}
