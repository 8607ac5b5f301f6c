//! `/v1/ladders`.

use axum::{Json, extract::State};
use framemill_schemas::{
    api::{Page, Problem},
    ladder::Ladder,
};

use super::{
    ApiState,
    cursor::page,
    extract::{NamePath, Query, TextBody},
    guard::Viewer,
    problem::{ApiError, Kind, Problems},
};

/// Pages of a list.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Items of a page, 1 to 200.
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// List the ladders the farm knows by name.
#[utoipa::path(
    get,
    operation_id = "ladders_list",
    path = "/v1/ladders",
    tag = "ladders",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<Ladder>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    _viewer: Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Ladder>>, ApiError> {
    let page = page(
        state.ladders.all(),
        query.limit,
        query.cursor.as_deref(),
        |ladder| ladder.name.clone(),
        |name, start| name > start,
        Clone::clone,
    )?;
    Ok(Json(page))
}

/// Show a ladder.
#[utoipa::path(
    get,
    operation_id = "ladders_show",
    path = "/v1/ladders/{name}",
    tag = "ladders",
    params(("name" = String, Path)),
    responses((status = 200, description = "The ladder", body = Ladder), Problems)
)]
pub async fn show(
    State(state): State<ApiState>,
    _viewer: Viewer,
    NamePath(name): NamePath,
) -> Result<Json<Ladder>, ApiError> {
    let ladder = state.ladders.get(&name);
    ladder.map(Json).ok_or_else(|| ApiError::not_found("ladder", format_args!("{name:?}")))
}

/// Check a ladder without storing anything. JSON, or YAML as `application/yaml`.
#[utoipa::path(
    post,
    operation_id = "ladders_check",
    path = "/v1/ladders/check",
    tag = "ladders",
    request_body(content((Ladder = "application/json"), (String = "application/yaml"))),
    responses(
        (status = 200, description = "It is good; this is how it is understood", body = Ladder),
        (status = 422, description = "Every fault of it, each with a JSON pointer", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn check(_viewer: Viewer, body: TextBody) -> Result<Json<Ladder>, ApiError> {
    let ladder = match body.media_type.as_str() {
        "application/json" => {
            let value = serde_json::from_str(&body.text)
                .map_err(|error| ApiError::new(Kind::InvalidJson, format!("{error}; send a JSON object")))?;
            Ladder::from_value(value)
        }
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ladder::from_yaml(&body.text),
        other => {
            let detail = format!("the body is {other:?}; send application/json or application/yaml");
            return Err(ApiError::new(Kind::UnsupportedMediaType, detail));
        }
    };
    ladder.map(Json).map_err(ApiError::invalid)
}
