//! `/v1/tokens` and `/v1/revocations`.

use axum::{Json, extract::State, http::StatusCode};
use framemill_schemas::{
    api::{Page, Problem},
    delivery::{RenewRequest, RevocationView, RevokeRequest, TokenIssued, TokenRequest},
};

use super::{
    ApiState,
    cursor::page,
    extract::{JsonBody, Query},
    guard::{Issuer, Viewer},
    ladders::ListQuery,
    problem::{ApiError, Kind, Problems},
};
use crate::{
    clock::now_ms,
    delivery::{TokenError, revocations, tenants::Seen},
};

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Tenant(error) => error.into(),
            TokenError::Faults(faults) => Self::invalid(faults),
            TokenError::Denied { word, why } => Self::new(Kind::Denied, why).reason(word),
            TokenError::NoKey(text) => Self::new(Kind::Conflict, text),
            TokenError::Refused(refusal) => {
                let detail = format!("{refusal}; sign in again for a new one");
                Self::new(Kind::TokenRefused, detail).reason(refusal.reason())
            }
            TokenError::Sign(error) => Self::new(Kind::Conflict, format!("{error}; ask for less, or another format")),
            TokenError::Records(error) => error.into(),
            TokenError::Queue(error) => error.into(),
        }
    }
}

/// Issue a token: let a viewer's account watch something for a few minutes.
///
/// Whether it may is answered here, by its tenant's packages; edges only verify the answer. Where the tenant's tokens
/// are bound to addresses, `address` is the viewer's as whoever asks sees it.
#[utoipa::path(
    post,
    operation_id = "tokens_issue",
    path = "/v1/tokens",
    tag = "tokens",
    request_body = TokenRequest,
    responses(
        (status = 201, description = "The token, with the ways to send it", body = TokenIssued),
        (status = 403, description = "The account may not watch it; `reason` is a word that stays", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "No key of the tenant can sign it", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "Every fault of the request", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn issue(
    State(state): State<ApiState>,
    Issuer(caller): Issuer,
    body: JsonBody,
) -> Result<(StatusCode, Json<TokenIssued>), ApiError> {
    let request: TokenRequest = body.read()?;
    let issued = state.delivery.issue(&caller, request, now_ms()).await?;
    Ok((StatusCode::CREATED, Json(issued)))
}

/// Renew a token: the next one of its session. The token itself lets the caller in; no key is asked for.
#[utoipa::path(
    post,
    operation_id = "tokens_renew",
    path = "/v1/tokens/renew",
    tag = "tokens",
    request_body = RenewRequest,
    responses(
        (status = 201, description = "The next token", body = TokenIssued),
        (status = 401, description = "The token lets nobody in; `reason` is a word that stays", body = Problem,
            content_type = "application/problem+json"),
        (status = 403, description = "The account may not watch it any more", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn renew(State(state): State<ApiState>, body: JsonBody) -> Result<(StatusCode, Json<TokenIssued>), ApiError> {
    let request: RenewRequest = body.read()?;
    let issued = state.delivery.renew(request, now_ms()).await?;
    Ok((StatusCode::CREATED, Json(issued)))
}

/// Revoke a session, or an account with all sessions it has now. Edges refuse its tokens within moments.
#[utoipa::path(
    post,
    operation_id = "tokens_revoke",
    path = "/v1/tokens/revoke",
    tag = "tokens",
    request_body = RevokeRequest,
    responses(
        (status = 200, description = "It is revoked", body = RevocationView),
        (status = 422, description = "Not one of session and account", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn revoke(
    State(state): State<ApiState>,
    Issuer(caller): Issuer,
    body: JsonBody,
) -> Result<Json<RevocationView>, ApiError> {
    let request: RevokeRequest = body.read()?;
    let revocation = state.delivery.revoke(&caller, request, now_ms()).await?;
    tracing::info!(tenant = %revocation.tenant, "revoked");
    Ok(Json(revocations::view(&revocation)))
}

/// List revocations, the latest first. They are kept for a day, which no token outlives.
#[utoipa::path(
    get,
    operation_id = "revocations_list",
    path = "/v1/revocations",
    tag = "tokens",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<RevocationView>), Problems)
)]
pub async fn revocations(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<RevocationView>>, ApiError> {
    let seen = Seen::read(&state.queue, &caller).await?;
    let mut all = revocations::list(&state.queue).await?;
    all.retain(|revocation| seen.holds(&revocation.tenant));
    let page = page(
        all.into_iter(),
        query.limit,
        query.cursor.as_deref(),
        |revocation| (revocation.until_ms, revocation.key()),
        |key, start| key < start,
        |revocation| revocations::view(&revocation),
    )?;
    Ok(Json(page))
}
