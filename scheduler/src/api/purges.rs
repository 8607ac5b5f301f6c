//! `/v1/purges`: what caches have to forget, and who has.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use framemill_schemas::{
    api::{Page, Problem},
    delivery::{PurgeAccepted, PurgeId, PurgeReport, PurgeRequest, PurgeState, PurgeView},
    ids::Tenant,
};
use serde::Deserialize;

use super::{
    ApiState,
    assets::{idempotency_key, tenant_for},
    cursor::page,
    extract::{JsonBody, NamePath, Query},
    guard::{Operator, Viewer},
    problem::{ApiError, Kind, Problems},
    slow::slow_answer,
};
use crate::{
    access::Caller,
    ops::{PurgeParts, request_purge, retry_purge},
    purges::{purges, report, shown, states},
    view::{PurgeEntry, View},
};

/// What a list may be narrowed by.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only purges in this state.
    #[param(inline)]
    state: Option<PurgeState>,
    /// Only purges of this tenant.
    #[param(value_type = Option<String>)]
    tenant: Option<Tenant>,
    /// Items of a page, 1 to 200.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Make every cache forget what has one of these tags.
///
/// The purge has its place in one order when this is answered; edges apply purges in that order. `GET` of its
/// address says who has.
#[utoipa::path(
    post,
    operation_id = "purges_request",
    path = "/v1/purges",
    tag = "purges",
    params(("Idempotency-Key" = Option<String>, Header, description = "Honoured for as long as purges are kept (7 days): \
        the same key and body give the same purge, the same key and another body give 409")),
    request_body = PurgeRequest,
    responses(
        (status = 202, description = "It has its place; `Location` is its address", body = PurgeAccepted),
        (status = 409, description = "The idempotency key was used with another body", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "Over 256 KiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Every fault of the request, each with a JSON pointer", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn request(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let idempotency_key = idempotency_key(&headers)?;
    let request: PurgeRequest = body.read()?;
    tenant_for(&caller, request.tenant.as_ref())?;
    let parts = PurgeParts { request, caller: &caller, idempotency_key };
    let requested = request_purge(&state.queue, &state.view, parts).await?;
    let (id, sequence) = (requested.purge.id, requested.sequence);
    let purge_state = match state.view.purge(id).and_then(|entry| entry.status) {
        Some((status, _)) => status.state,
        None => PurgeState::Running,
    };
    let answer = PurgeAccepted { id, sequence, state: purge_state };
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    let location = HeaderValue::from_str(&format!("/v1/purges/{id}")).expect("an id is plain text");
    response.headers_mut().insert(header::LOCATION, location);
    if requested.before {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// List purges, newest first. They are kept for 7 days.
#[utoipa::path(
    get,
    operation_id = "purges_list",
    path = "/v1/purges",
    tag = "purges",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<PurgeView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<PurgeView>>, ApiError> {
    let view = current(&state)?;
    let edges = view.edges();
    let entries = view.purges().into_iter().filter(|entry| {
        let is_in = |wanted| entry.status.as_ref().map_or(PurgeState::Running, |(status, _)| status.state) == wanted;
        caller.sees(&entry.purge.tenant)
            && query.state.is_none_or(is_in)
            && query.tenant.as_ref().is_none_or(|wanted| *wanted == entry.purge.tenant)
    });
    let page = page(
        entries,
        query.limit,
        query.cursor.as_deref(),
        |entry| entry.sequence,
        |place, start| place < start,
        |entry| shown(&entry, &edges),
    )?;
    Ok(Json(page))
}

/// Show a purge: who has acknowledged it, who is waited for, what caches of others answered.
#[utoipa::path(
    get,
    operation_id = "purges_show",
    path = "/v1/purges/{id}",
    tag = "purges",
    params(("id" = PurgeId, Path)),
    responses((status = 200, description = "The purge", body = PurgeView), Problems)
)]
pub async fn show(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    NamePath(id): NamePath,
) -> Result<Json<PurgeView>, ApiError> {
    let entry = find(&state, &caller, &id).await?;
    Ok(Json(shown(&entry, &state.view.edges())))
}

/// Say whether what a purge names is gone: from every edge, from caches of others, and from the store.
///
/// The store is listed for it; a long answer begins with line ends that say that it goes on.
#[utoipa::path(
    get,
    operation_id = "purges_report",
    path = "/v1/purges/{id}/report",
    tag = "purges",
    params(("id" = PurgeId, Path)),
    responses((status = 200, description = "Whether it is gone, and what is left", body = PurgeReport), Problems)
)]
pub async fn report_one(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    NamePath(id): NamePath,
) -> Result<Response, ApiError> {
    let entry = find(&state, &caller, &id).await?;
    let work = async move { report(&state.store, &state.view, entry).await };
    slow_answer(work).await
}

/// Have every cache that was given up for a purge purged again.
#[utoipa::path(
    post,
    operation_id = "purges_retry",
    path = "/v1/purges/{id}/retry",
    tag = "purges",
    params(("id" = PurgeId, Path)),
    responses(
        (status = 200, description = "They are waited for", body = PurgeView),
        (status = 409, description = "None was given up", body = Problem, content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn retry(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    NamePath(id): NamePath,
) -> Result<Json<PurgeView>, ApiError> {
    let entry = find(&state, &caller, &id).await?;
    let (status, revision) = retry_purge(&state.queue, entry.purge.id).await?;
    let entry = PurgeEntry { status: Some((status.into(), revision)), ..entry };
    Ok(Json(shown(&entry, &state.view.edges())))
}

/// Half of the purges looks like all of them.
pub(super) fn current(state: &ApiState) -> Result<&View, ApiError> {
    if state.view.purges_are_current() {
        return Ok(&state.view);
    }
    Err(ApiError::new(Kind::Unavailable, "the records are still being read; try again in a moment"))
}

/// The purge, from the view, or from its record when the view has not heard of it yet: whoever asked for it can look at
/// once.
async fn find(state: &ApiState, caller: &Caller, text: &str) -> Result<PurgeEntry, ApiError> {
    let missing = || ApiError::not_found("purge", format_args!("{text:?}"));
    let id: PurgeId = text.parse().map_err(|_| missing())?;
    let entry = match state.view.purge(id) {
        Some(entry) => Some(entry),
        None => match purges(&state.queue).get(&id.to_string()).await? {
            Some((purge, sequence)) => {
                let status = states(&state.queue).get(&id.to_string()).await?;
                let status = status.map(|(status, revision)| (status.into(), revision));
                Some(PurgeEntry { purge: purge.into(), sequence, status })
            }
            None => None,
        },
    };
    entry.filter(|entry| caller.sees(&entry.purge.tenant)).ok_or_else(missing)
}
