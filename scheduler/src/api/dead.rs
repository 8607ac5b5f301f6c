//! `/v1/dead`: jobs whose attempts are spent.

use axum::{Json, extract::State, http::StatusCode};
use framemill_schemas::{
    api::{JobView, Page, Problem, Redriven},
    ids::JobId,
    job::JobState,
};

use super::{
    ApiState,
    extract::{JobPath, Query},
    guard::{Operator, Viewer},
    jobs::{self, ListQuery, find, matching},
    problem::{ApiError, Problems},
};
use crate::ops;

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
    matching(&state, &caller, &query, |job| job.state == JobState::Dead).map(Json)
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
    ops::drop_dead(&state.queue, &job.record_key, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
