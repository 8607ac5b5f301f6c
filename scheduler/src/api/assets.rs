//! `/v1/assets`.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use framemill_schemas::{
    api::{AssetView, Checked, Page, Problem},
    asset::{AssetRecord, AssetState},
    field_error::{FieldError, read_strict},
    finding::Report,
    ids::{AssetId, Tenant},
    ladder::{Ladder, VideoCodec},
    submission::Submission,
};
use serde::Deserialize;

use super::{
    ApiState,
    asset_view::{asset_view, report as report_of, waits},
    cursor::page,
    extract::{AssetPath, JsonBody, Query},
    guard::{Operator, Viewer},
    problem::{ApiError, Kind, Problems},
    slow::slow_answer,
};
use crate::{
    access::Caller,
    archive::Refusal,
    clock::now_ms,
    ops::{self, Accepted, CheckParts, OpError, SubmitParts, Submitted},
};

/// Longest idempotency key.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

impl From<OpError> for ApiError {
    fn from(error: OpError) -> Self {
        match error {
            OpError::NoAsset(_) | OpError::NoJob(_) | OpError::NoChannel(_) => {
                Self::new(Kind::NotFound, error.to_string())
            }
            OpError::Conflict(detail) => Self::new(Kind::Conflict, detail),
            OpError::Refused(errors) => Self::invalid(errors),
            OpError::OtherBody => Self::new(Kind::IdempotencyConflict, error.to_string()),
            OpError::Removed(_) => Self::new(Kind::Gone, error.to_string()),
            OpError::Full(full) => Self::new(Kind::Full, full.to_string()),
            OpError::Span(ref refusal) => Self::new(span_kind(refusal), error.to_string()),
            OpError::SpanGone(..) => Self::new(Kind::SpanNotKept, error.to_string()),
            OpError::Reading => Self::new(Kind::Unavailable, error.to_string()),
            OpError::Records(error) => error.into(),
            OpError::Store(error) => error.into(),
        }
    }
}

const fn span_kind(refusal: &Refusal) -> Kind {
    match refusal {
        Refusal::InFuture(_) => Kind::SpanInFuture,
        Refusal::NotKept { .. } => Kind::SpanNotKept,
        Refusal::Empty => Kind::SpanEmpty,
        Refusal::TooLong(_) | Refusal::InPieces => Kind::SpanTooLong,
        Refusal::Changes(_) => Kind::SpanChanges,
    }
}

/// Submit a title.
#[utoipa::path(
    post,
    operation_id = "assets_submit",
    path = "/v1/assets",
    tag = "assets",
    params(("Idempotency-Key" = Option<String>, Header, description = "Honoured for 24 h: the same key and body give \
        the same asset, the same key and another body give 409")),
    request_body = Submission,
    responses(
        (status = 202, description = "Accepted; `Location` is the asset's address", body = AssetView),
        (status = 409, description = "The idempotency key was used with another body", body = Problem,
            content_type = "application/problem+json"),
        (status = 410, description = "What the idempotency key stood for was removed", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "Over 256 KiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Every fault of the submission, each with a JSON pointer", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "The farm or the tenant has as many assets in the making as it takes; \
            `Retry-After` says when to come back", body = Problem, content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn submit(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let idempotency_key = idempotency_key(&headers)?;
    let submission: Submission = read_strict(body.value).map_err(ApiError::invalid)?;
    let submission = submission.check(|name| state.ladders.get(name)).map_err(ApiError::invalid)?;
    check_encoders(&submission.ladder, |codec| state.view.encodes(codec)).map_err(ApiError::invalid)?;
    let tenant = tenant_for(&caller, submission.tenant.as_ref())?;
    let parts = SubmitParts {
        submission,
        body: &body.text,
        idempotency_key,
        tenant,
        folders: &state.config.folders,
        bucket: state.store.bucket(),
        owner: caller.tenant.as_ref(),
        gate: &state.gate,
    };
    Ok(submitted(&state, &ops::submit(&state.queue, parts).await?))
}

/// The answer to a submission.
pub(super) fn submitted(state: &ApiState, submitted: &Submitted) -> Response {
    let location = format!("/v1/assets/{}", submitted.asset.id);
    let mut response = (StatusCode::ACCEPTED, Json(view(state, &submitted.asset))).into_response();
    let location = HeaderValue::from_str(&location).expect("an id is plain text");
    response.headers_mut().insert(header::LOCATION, location);
    if submitted.accepted == Accepted::Before {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

/// Refuses rungs that no worker of the farm can encode: their jobs would wait for ever. While no
/// worker is heard, nothing is known, and the submission waits for whoever comes.
pub(super) fn check_encoders(
    ladder: &Ladder,
    encodes: impl Fn(VideoCodec) -> Option<bool>,
) -> Result<(), Vec<FieldError>> {
    let unserved = ladder.video.iter().enumerate().filter(|(_, rung)| encodes(rung.codec) == Some(false));
    let errors: Vec<_> = unserved
        .map(|(index, rung)| {
            FieldError::new(
                format!("/ladder/video/{index}/codec"),
                format!("no worker's ffmpeg encodes {}", rung.codec.as_str()),
                "use another codec, or add a worker whose ffmpeg has an encoder for it",
            )
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len()));
    let detail = format!("Idempotency-Key is not 1 to {IDEMPOTENCY_KEY_CHARS_MAX} characters of ASCII; use a UUID");
    key.map(Some).ok_or_else(|| ApiError::new(Kind::InvalidHeader, detail))
}

/// Whose a submission is.
pub(super) fn tenant_for(caller: &Caller, asked: Option<&Tenant>) -> Result<Tenant, ApiError> {
    match (&caller.tenant, asked) {
        (None, None) => Ok(Tenant::default_tenant()),
        (None, Some(asked)) => Ok(asked.clone()),
        (Some(own), None) => Ok(own.clone()),
        (Some(own), Some(asked)) if own == asked => Ok(own.clone()),
        (Some(own), Some(_)) => {
            let detail = format!("the key is bound to the tenant {own}; leave /tenant out, or use another key");
            Err(ApiError::new(Kind::Forbidden, detail))
        }
    }
}

/// What a list may be narrowed by.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only assets in this state.
    state: Option<AssetState>,
    /// Only assets of this tenant.
    #[param(value_type = Option<String>)]
    tenant: Option<Tenant>,
    /// Items of a page, 1 to 200.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// List assets, newest first.
#[utoipa::path(
    get,
    operation_id = "assets_list",
    path = "/v1/assets",
    tag = "assets",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<AssetView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<AssetView>>, ApiError> {
    let assets = state.current_view()?.assets().into_iter().filter(|entry| {
        let asset = &entry.record;
        caller.sees(&asset.tenant)
            && query.state.is_none_or(|wanted| wanted == asset.state)
            && query.tenant.as_ref().is_none_or(|wanted| *wanted == asset.tenant)
    });
    let page = page(
        assets,
        query.limit,
        query.cursor.as_deref(),
        |entry| entry.record.id,
        |id, start| id < start,
        |entry| view(&state, &entry.record),
    )?;
    Ok(Json(page))
}

/// Show an asset.
#[utoipa::path(
    get,
    operation_id = "assets_show",
    path = "/v1/assets/{id}",
    tag = "assets",
    params(("id" = AssetId, Path)),
    responses((status = 200, description = "The asset", body = AssetView), Problems)
)]
pub async fn show(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    AssetPath(id): AssetPath,
) -> Result<Json<AssetView>, ApiError> {
    let asset = find(&state, &caller, id).await?;
    Ok(Json(view(&state, &asset)))
}

/// Cancel what is being made.
#[utoipa::path(
    post,
    operation_id = "assets_cancel",
    path = "/v1/assets/{id}/cancel",
    tag = "assets",
    params(("id" = AssetId, Path)),
    responses(
        (status = 200, description = "The asset, cancelled", body = AssetView),
        (status = 409, description = "It is at another end", body = Problem, content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn cancel(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    AssetPath(id): AssetPath,
) -> Result<Json<AssetView>, ApiError> {
    let asset = ops::cancel(&state.queue, id, |tenant| caller.sees(tenant)).await?;
    ops::stop_jobs(&state.queue, &state.view, &asset).await;
    Ok(Json(view(&state, &asset)))
}

/// Make an asset that failed or was cancelled anew, in a new generation.
///
/// A published asset stays what viewers watch: submit its source again to make another.
#[utoipa::path(
    post,
    operation_id = "assets_retry",
    path = "/v1/assets/{id}/retry",
    tag = "assets",
    params(("id" = AssetId, Path)),
    responses(
        (status = 202, description = "The asset, accepted again", body = AssetView),
        (status = 409, description = "It is being made, published or being removed; or it is kept of a channel whose \
            segments have left the store", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn retry(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    AssetPath(id): AssetPath,
) -> Result<(StatusCode, Json<AssetView>), ApiError> {
    ops::check_kept(&state.queue, &state.store, id, |tenant| caller.sees(tenant)).await?;
    let asset = ops::retry(&state.queue, id, |tenant| caller.sees(tenant)).await?;
    Ok((StatusCode::ACCEPTED, Json(view(&state, &asset))))
}

/// How thoroughly an asset is checked.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CheckQuery {
    /// Read every object and compare its digest; else one listing tells what is gone or replaced.
    #[serde(default)]
    deep: bool,
    /// Mend what is found: damaged parts are encoded again, in a new generation.
    #[serde(default)]
    repair: bool,
}

/// Look whether a published asset's objects are still what was validated.
///
/// The answer may take as long as reading everything takes; it begins with line ends that say that
/// it goes on.
#[utoipa::path(
    post,
    operation_id = "assets_check",
    path = "/v1/assets/{id}/check",
    tag = "assets",
    params(("id" = AssetId, Path), CheckQuery),
    responses(
        (status = 200, description = "What was found", body = Checked),
        (status = 409, description = "It is not published", body = Problem, content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn check(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    AssetPath(id): AssetPath,
    Query(query): Query<CheckQuery>,
) -> Result<Response, ApiError> {
    let opened = ops::open_check(&state.queue, &state.store, id, |tenant| caller.sees(tenant)).await?;
    let parts = CheckParts { deep: query.deep, repair: query.repair };
    let work = async move { ops::check(&state.queue, &state.store, opened, parts).await };
    slow_answer(work).await
}

/// Remove an asset: what is being made is cancelled, what is published disappears, then its
/// objects are deleted.
#[utoipa::path(
    delete,
    operation_id = "assets_remove",
    path = "/v1/assets/{id}",
    tag = "assets",
    params(("id" = AssetId, Path)),
    responses((status = 202, description = "The asset, to be collected", body = AssetView), Problems)
)]
pub async fn remove(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    AssetPath(id): AssetPath,
) -> Result<(StatusCode, Json<AssetView>), ApiError> {
    let asset = ops::remove(&state.queue, id, |tenant| caller.sees(tenant)).await?;
    ops::stop_jobs(&state.queue, &state.view, &asset).await;
    Ok((StatusCode::ACCEPTED, Json(view(&state, &asset))))
}

/// What validation found.
#[utoipa::path(
    get,
    operation_id = "assets_report",
    path = "/v1/assets/{id}/report",
    tag = "assets",
    params(("id" = AssetId, Path)),
    responses((status = 200, description = "The report", body = Report), Problems)
)]
pub async fn report(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    AssetPath(id): AssetPath,
) -> Result<Json<Report>, ApiError> {
    let asset = find(&state, &caller, id).await?;
    let report = report_of(&asset, &state.view.jobs_of(id));
    let missing = || ApiError::new(Kind::NotFound, "the asset has not been validated yet; watch its events");
    report.map(Json).ok_or_else(missing)
}

/// The asset, from the view, or from its record when the view has not heard of it yet: whoever
/// submitted it can look at once.
pub async fn find(state: &ApiState, caller: &Caller, id: AssetId) -> Result<AssetRecord, ApiError> {
    let asset = match state.view.asset(id) {
        Some(entry) => Some(entry.record.clone()),
        None => state.queue.assets().get(&id.to_string()).await?.map(|(record, _)| record),
    };
    asset.filter(|asset| caller.sees(&asset.tenant)).ok_or_else(|| ApiError::not_found("asset", id))
}

/// The asset as it is shown.
pub fn view(state: &ApiState, asset: &AssetRecord) -> AssetView {
    let jobs = state.view.jobs_of(asset.id);
    let waiting = waits(&jobs, now_ms(), |lane| state.view.unserved(lane));
    AssetView { waiting, ..asset_view(asset, &jobs) }
}
