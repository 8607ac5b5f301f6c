//! `/v1/keys`.

use axum::{Json, extract::State, http::StatusCode};
use framemill_schemas::api::{KeyCreated, KeyRequest, KeyView, Page, Problem};

use super::{
    ApiState,
    cursor::page,
    extract::{JsonBody, NamePath, Query},
    guard::Admin,
    ladders::ListQuery,
    problem::{ApiError, Kind, Problems},
};
use crate::{
    access::{KeyError, create_key, list_keys, revoke_key},
    clock::now_ms,
};

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Label => Self::invalid(error.fields().into_iter().collect()),
            KeyError::Full => Self::new(Kind::Conflict, error.to_string()),
            KeyError::Records(error) => error.into(),
        }
    }
}

/// List keys, oldest first. Only digests are stored: no key can be shown again.
#[utoipa::path(
    get,
    operation_id = "keys_list",
    path = "/v1/keys",
    tag = "keys",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<KeyView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<KeyView>>, ApiError> {
    let keys = list_keys(&state.queue, &caller).await?;
    let page = page(
        keys.into_iter(),
        query.limit,
        query.cursor.as_deref(),
        |key| (key.created_ms, key.id.clone()),
        |key, start| key > start,
        |key| key,
    )?;
    Ok(Json(page))
}

/// Make a key. The answer is the only time it is shown.
#[utoipa::path(
    post,
    operation_id = "keys_create",
    path = "/v1/keys",
    tag = "keys",
    request_body = KeyRequest,
    responses(
        (status = 201, description = "The key", body = KeyCreated),
        (status = 422, description = "Every fault of the request", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn create(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    body: JsonBody,
) -> Result<(StatusCode, Json<KeyCreated>), ApiError> {
    let request: KeyRequest = body.read()?;
    if !caller.sees(&request.tenant) {
        let detail = "a key gives out keys of its own tenant only; use another key";
        return Err(ApiError::new(Kind::Forbidden, detail));
    }
    let created = create_key(&state.queue, request, now_ms()).await?;
    tracing::info!(key = created.key.id, tenant = %created.key.tenant, role = ?created.key.role, "key created");
    Ok((StatusCode::CREATED, Json(created)))
}

/// Revoke a key; it is refused from the next request on.
#[utoipa::path(
    delete,
    operation_id = "keys_revoke",
    path = "/v1/keys/{id}",
    tag = "keys",
    params(("id" = String, Path)),
    responses((status = 204, description = "It is revoked"), Problems)
)]
pub async fn revoke(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    NamePath(id): NamePath,
) -> Result<StatusCode, ApiError> {
    if revoke_key(&state.queue, &caller, &id).await? {
        tracing::info!(key = id, "key revoked");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found("key", format_args!("{id:?}")))
}
