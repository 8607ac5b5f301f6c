//! `/v1/gc`.

use axum::{extract::State, response::Response};
use framemill_schemas::{api::Garbage, ids::Tenant};
use serde::Deserialize;

use super::{
    ApiState,
    extract::Query,
    guard::Admin,
    problem::{ApiError, Kind, Problems},
    slow::slow_answer,
};
use crate::{
    gc::{Pass, pass},
    loops::collect::{CollectError, Collector},
};

impl From<CollectError> for ApiError {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::Store(error) => error.into(),
            CollectError::Record(error) => error.into(),
            CollectError::Protected { .. } => Self::new(Kind::Internal, error.to_string()),
        }
    }
}

/// Whether anything is deleted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct GcQuery {
    /// Only show what would be.
    #[serde(default)]
    dry_run: bool,
}

/// Collect what has outlived its use.
///
/// Objects that no record names, generations that came to nothing or were replaced, records whose
/// time is over. The farm does this by itself from time to time; this does it now, or only shows
/// what there is. What is published is never touched.
#[utoipa::path(
    post,
    operation_id = "gc",
    path = "/v1/gc",
    tag = "gc",
    params(GcQuery),
    responses((status = 200, description = "What was collected, or would be", body = Garbage), Problems)
)]
pub async fn run(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    Query(query): Query<GcQuery>,
) -> Result<Response, ApiError> {
    if !caller.sees(&Tenant::default_tenant()) {
        let detail = "garbage is the whole farm's, and the key is bound to one tenant; use an admin's key of `default`";
        return Err(ApiError::new(Kind::Forbidden, detail));
    }
    let view = state.current_view()?.clone();
    let collector =
        Collector { queue: state.queue.clone(), store: state.store.clone(), view, retention: state.config.retention };
    let what = if query.dry_run { Pass::Dry } else { Pass::Collect };
    slow_answer(async move { pass(&collector, what).await }).await
}
