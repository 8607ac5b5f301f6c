//! `/v1/token-keys`.

use axum::{Json, extract::State, http::StatusCode};
use framemill_schemas::{
    api::{Page, Problem},
    delivery::{OVERLAP_S, TokenKey, TokenKeyRequest, TokenKeyView},
    ids::Tenant,
};
use serde::Deserialize;

use super::{
    ApiState,
    cursor::page,
    extract::{JsonBody, NamePath, Query},
    guard::{Admin, Viewer},
    problem::{ApiError, Kind, Problems},
};
use crate::{
    access::Caller,
    clock::now_ms,
    delivery::{
        keys::{self, TokenKeyError},
        tenants::{Seen, visible},
    },
};

impl From<TokenKeyError> for ApiError {
    fn from(error: TokenKeyError) -> Self {
        match error {
            TokenKeyError::Missing(kid) => Self::not_found("token key", kid),
            TokenKeyError::Faults(faults) => Self::invalid(faults),
            TokenKeyError::Conflict(_) => Self::new(Kind::Conflict, error.to_string()),
            TokenKeyError::Random => Self::internal(&error),
            TokenKeyError::Records(error) => error.into(),
        }
    }
}

/// What a list may be narrowed by.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only those of this tenant.
    #[param(value_type = Option<String>)]
    tenant: Option<Tenant>,
    /// Items of a page, 1 to 200.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// How soon a key is out of use.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RetireQuery {
    /// Seconds from now until its tokens are refused; left out: until the last of them is over.
    after_s: Option<u32>,
}

/// List token keys, oldest first. Nothing that signs is ever shown.
#[utoipa::path(
    get,
    operation_id = "token_keys_list",
    path = "/v1/token-keys",
    tag = "tokens",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<TokenKeyView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<TokenKeyView>>, ApiError> {
    let now_ms = now_ms();
    let seen = Seen::read(&state.queue, &caller).await?;
    let mut all = keys::list(&state.queue).await?;
    all.retain(|key| query.tenant.as_ref().is_none_or(|wanted| *wanted == key.tenant) && seen.holds(&key.tenant));
    let page = page(
        all.into_iter(),
        query.limit,
        query.cursor.as_deref(),
        |key| (key.created_ms, key.kid.clone()),
        |key, start| key > start,
        |key| keys::view(&key, now_ms),
    )?;
    Ok(Json(page))
}

/// Make a token key. It signs from now on; what it replaces verifies until the last of its tokens is over.
///
/// `scope` is what its tokens may name at most; left out, what the tenant has. With `keep` the tenant's other keys stay
/// in use.
#[utoipa::path(
    post,
    operation_id = "token_keys_create",
    path = "/v1/token-keys",
    tag = "tokens",
    request_body = TokenKeyRequest,
    responses(
        (status = 201, description = "The key; what signs is not shown", body = TokenKeyView),
        (status = 409, description = "There is one of this id", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Every fault of the request", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn create(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    body: JsonBody,
) -> Result<(StatusCode, Json<TokenKeyView>), ApiError> {
    let request: TokenKeyRequest = body.read()?;
    let levels = visible(&state.queue, &caller, request.tenant.as_ref()).await?;
    let seen = Seen::read(&state.queue, &caller).await?;
    let now_ms = now_ms();
    let key = keys::create(&state.queue, &levels, request, |path| seen.holds_path(path), now_ms).await?;
    state.delivery.keys.forget().await;
    tracing::info!(kid = key.kid, tenant = %key.tenant, algorithm = ?key.algorithm, "token key created");
    Ok((StatusCode::CREATED, Json(keys::view(&key, now_ms))))
}

/// Put a token key out of use: once the last of its tokens is over, or after so many seconds.
#[utoipa::path(
    post,
    operation_id = "token_keys_retire",
    path = "/v1/token-keys/{kid}/retire",
    tag = "tokens",
    params(("kid" = String, Path), RetireQuery),
    responses((status = 200, description = "The key", body = TokenKeyView), Problems)
)]
pub async fn retire(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    NamePath(kid): NamePath,
    Query(query): Query<RetireQuery>,
) -> Result<Json<TokenKeyView>, ApiError> {
    let key = find(&state, &caller, &kid).await?;
    let now_ms = now_ms();
    let after_s = query.after_s.map_or(OVERLAP_S, i64::from);
    let retired = keys::retire(&state.queue, &key, now_ms + after_s * 1000).await?;
    state.delivery.keys.forget().await;
    tracing::info!(kid, tenant = %retired.tenant, after_s, "token key retired");
    Ok(Json(keys::view(&retired, now_ms)))
}

/// A key that a caller sees.
async fn find(state: &ApiState, caller: &Caller, kid: &str) -> Result<TokenKey, ApiError> {
    let missing = || ApiError::not_found("token key", format_args!("{kid:?}"));
    let key = keys::list(&state.queue).await?.into_iter().find(|key| key.kid == kid).ok_or_else(missing)?;
    visible(&state.queue, caller, Some(&key.tenant)).await.map_err(|_| missing())?;
    Ok(key)
}
