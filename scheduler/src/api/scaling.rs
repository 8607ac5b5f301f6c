//! `/v1/scaling`: what an autoscaler asks. The farm's own, as nodes are.

use axum::{Json, extract::State};
use framemill_schemas::api::{Scaling, Work};
use serde::Deserialize;

use super::{
    ApiState,
    extract::Query,
    guard::Viewer,
    nodes::farms_own,
    problem::{ApiError, Problems},
};
use crate::clock::now_ms;

/// What kind of work is asked about.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ScalingQuery {
    /// What jobs need: `gpu`, `worker` or `packager`.
    #[param(inline)]
    work: Work,
}

/// Say whether the fleet should grow or may shrink.
///
/// One flat document of numbers, for an autoscaler that reads one of them by its name: KEDA's
/// `metrics-api` with `valueLocation: waiting`, for example.
#[utoipa::path(
    get,
    operation_id = "scaling",
    path = "/v1/scaling",
    tag = "nodes",
    params(ScalingQuery),
    responses((status = 200, description = "What waits, and what could take it", body = Scaling), Problems)
)]
pub async fn show(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ScalingQuery>,
) -> Result<Json<Scaling>, ApiError> {
    farms_own(&caller)?;
    Ok(Json(state.current_view()?.scaling(now_ms())[query.work as usize]))
}
