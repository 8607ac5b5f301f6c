//! `/v1/channels`.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use framemill_schemas::{
    api::{AssetView, Page, Problem},
    field_error::FieldError,
    ids::{ChannelId, Tenant},
    live::{
        ArchiveRequest, ChannelChange, ChannelDetail, ChannelDocument, ChannelPut, ChannelRecord, ChannelState,
        ChannelView, CheckedChannel, Diagnosis, Replica,
    },
};
use serde::Deserialize;

use super::{
    ApiState,
    assets::{check_encoders, idempotency_key, submitted, tenant_for},
    channel_view::{Moment, detail, view_of},
    cursor::page,
    extract::{JsonBody, NamePath, Query},
    guard::{Operator, Viewer},
    problem::{ApiError, Kind, Problems},
};
use crate::{
    access::Caller,
    clock::now_ms,
    diagnose::{Sight, diagnose, look},
    failover::lane_of,
    on_air,
    ops::{ArchiveParts, archive as archive_span, channel as ops},
    view::{ChannelEntry, View},
};

/// What a list may be narrowed by.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only channels in this state.
    #[param(inline)]
    state: Option<ChannelState>,
    /// Only channels of this tenant.
    #[param(value_type = Option<String>)]
    tenant: Option<Tenant>,
    /// Items of a page, 1 to 200.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Whose channel is meant.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OwnerQuery {
    /// Its tenant; for callers that are bound to none, where more than one tenant has a channel of the name.
    #[param(value_type = Option<String>)]
    tenant: Option<Tenant>,
}

/// How a channel is put.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PutQuery {
    /// Only check the document, and say what would be done.
    #[serde(default)]
    dry_run: bool,
}

/// Make a channel, or change what it is made of.
///
/// A new channel is off air until it is started. A change makes the next edition; replicas that are on air
/// go over to it at the start of a new timeline. Another schedule (`on_air`) alone makes none. What is as asked
/// for already is left alone.
#[utoipa::path(
    put,
    operation_id = "channels_put",
    path = "/v1/channels/{id}",
    tag = "channels",
    params(("id" = ChannelId, Path), PutQuery),
    request_body = ChannelDocument,
    responses(
        (status = 200, description = "It is as asked for, or would be", body = ChannelPut),
        (status = 201, description = "It was made; `Location` is its address", body = ChannelPut),
        (status = 409, description = "It is on air, and this cannot be changed there; or it is being removed",
            body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Over 256 KiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Every fault of the document, each with a JSON pointer", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn put(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    NamePath(name): NamePath,
    Query(query): Query<PutQuery>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let find = |name: &str| state.ladders.get(name);
    let checked = CheckedChannel::from_value(body.value, find).map_err(ApiError::invalid)?;
    check_name(&checked.id, &name)?;
    check_encoders(&checked.edition.ladder, |codec| state.view.encodes(codec)).map_err(ApiError::invalid)?;
    let tenant = tenant_for(&caller, checked.tenant.as_ref())?;
    let folders = &state.config.folders;
    let asked = ops::Asked { edition: checked.edition, on_air: checked.on_air };
    let put = ops::put(&state.queue, &tenant, &checked.id, asked, folders, query.dry_run).await?;
    let answer = ChannelPut {
        outcome: put.outcome,
        dry_run: query.dry_run,
        changes: put.changes,
        notes: on_air::notes(&put.channel.on_air, now_ms()),
        channel: view_of(&put.channel, now_ms()),
    };
    if answer.outcome == ChannelChange::Created && !query.dry_run {
        tracing::info!(channel = %checked.id, %tenant, "channel made");
        let location = HeaderValue::from_str(&format!("/v1/channels/{name}")).expect("a name is plain text");
        return Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(answer)).into_response());
    }
    Ok(Json(answer).into_response())
}

fn check_name(id: &ChannelId, name: &str) -> Result<(), ApiError> {
    if id.as_str() == name {
        return Ok(());
    }
    let detail = format!("{id} is not the channel of this address, {name}");
    Err(ApiError::invalid(vec![FieldError::new("/channel_id", detail, "use the same name for both")]))
}

/// List channels, by tenant and name.
#[utoipa::path(
    get,
    operation_id = "channels_list",
    path = "/v1/channels",
    tag = "channels",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<ChannelView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<ChannelView>>, ApiError> {
    let mut channels = state.current_view()?.channels();
    let now_ms = now_ms();
    channels.retain(|entry| {
        let channel = &entry.record;
        caller.sees(&channel.tenant)
            && query.state.is_none_or(|wanted| wanted == channel.state)
            && query.tenant.as_ref().is_none_or(|wanted| *wanted == channel.tenant)
    });
    channels.sort_by_key(&place);
    let page = page(
        channels.into_iter(),
        query.limit,
        query.cursor.as_deref(),
        place,
        |place, start| place > start,
        |entry| view_of(&entry.record, now_ms),
    )?;
    Ok(Json(page))
}

fn place(entry: &Arc<ChannelEntry>) -> (Tenant, ChannelId) {
    (entry.record.tenant.clone(), entry.record.id.clone())
}

/// Show a channel: its sources, replicas, renditions and playlists.
#[utoipa::path(
    get,
    operation_id = "channels_show",
    path = "/v1/channels/{id}",
    tag = "channels",
    params(("id" = ChannelId, Path), OwnerQuery),
    responses((status = 200, description = "The channel", body = ChannelDetail), Problems)
)]
pub async fn show(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    NamePath(name): NamePath,
    Query(query): Query<OwnerQuery>,
) -> Result<Json<ChannelDetail>, ApiError> {
    let entry = find(&state, &caller, &name, query.tenant).await?;
    Ok(Json(shown(&state, &entry)))
}

fn shown(state: &ApiState, entry: &ChannelEntry) -> ChannelDetail {
    let view = &state.view;
    let channel = &entry.record;
    let jobs = view.jobs_of(channel.asset);
    let waits = channel.replicas.iter().find(|replica| replica.node.is_none());
    let why = |replica: &Replica| view.kept_waiting(lane_of(&channel.edition, replica.engine), &replica.apart);
    let shown = detail(channel, &jobs, &view.known(entry), Moment { now: Instant::now(), now_ms: now_ms() });
    ChannelDetail { waiting: waits.and_then(why), ..shown }
}

/// Say where a channel fails: every station from who may watch to what a player sees.
#[utoipa::path(
    get,
    operation_id = "channels_diagnose",
    path = "/v1/channels/{id}/diagnose",
    tag = "channels",
    params(("id" = ChannelId, Path), OwnerQuery),
    responses((status = 200, description = "Each station in the order of the signal", body = Diagnosis), Problems)
)]
pub async fn diagnose_one(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    NamePath(name): NamePath,
    Query(query): Query<OwnerQuery>,
) -> Result<Json<Diagnosis>, ApiError> {
    let entry = find(&state, &caller, &name, query.tenant).await?;
    let shown = shown(&state, &entry);
    let ApiState { view, store, delivery, .. } = &state;
    let sight = Sight { view, store, delivery, caller: &caller, now_ms: now_ms() };
    let delivered = look(&sight, &entry.record, &shown).await?;
    Ok(Json(diagnose(&entry.record, &shown, &delivered)))
}

/// Put a channel on air; one with a schedule, whenever that says so.
#[utoipa::path(
    post,
    operation_id = "channels_start",
    path = "/v1/channels/{id}/start",
    tag = "channels",
    params(("id" = ChannelId, Path), OwnerQuery),
    responses(
        (status = 202, description = "Its replicas are being placed, or wait for its schedule", body = ChannelView),
        (status = 409, description = "It is being removed", body = Problem, content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn start(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    NamePath(name): NamePath,
    Query(query): Query<OwnerQuery>,
) -> Result<(StatusCode, Json<ChannelView>), ApiError> {
    let found = find(&state, &caller, &name, query.tenant).await?;
    let started = ops::start(&state.queue, &found.record.tenant, &found.record.id).await?;
    Ok(accepted(&started))
}

/// Take a channel off air, whatever its schedule says. What it published stays for its time.
#[utoipa::path(
    post,
    operation_id = "channels_stop",
    path = "/v1/channels/{id}/stop",
    tag = "channels",
    params(("id" = ChannelId, Path), OwnerQuery),
    responses(
        (status = 202, description = "Its replicas are let go", body = ChannelView),
        (status = 409, description = "It is being removed", body = Problem, content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn stop(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    NamePath(name): NamePath,
    Query(query): Query<OwnerQuery>,
) -> Result<(StatusCode, Json<ChannelView>), ApiError> {
    let found = find(&state, &caller, &name, query.tenant).await?;
    let stopped = ops::stop(&state.queue, &found.record.tenant, &found.record.id).await?;
    Ok(accepted(&stopped))
}

/// Take a channel off air, and remove it with everything it published.
#[utoipa::path(
    delete,
    operation_id = "channels_remove",
    path = "/v1/channels/{id}",
    tag = "channels",
    params(("id" = ChannelId, Path), OwnerQuery),
    responses((status = 202, description = "It is being removed", body = ChannelView), Problems)
)]
pub async fn remove(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    NamePath(name): NamePath,
    Query(query): Query<OwnerQuery>,
) -> Result<(StatusCode, Json<ChannelView>), ApiError> {
    let found = find(&state, &caller, &name, query.tenant).await?;
    let retired = ops::retire(&state.queue, &found.record.tenant, &found.record.id).await?;
    Ok(accepted(&retired))
}

/// Keep a span of a channel as a title.
///
/// Its segments are copied as they are: nothing is encoded again. The span is rounded outwards to whole
/// segments. Gaps and filler in it are left out, and the answer says where.
#[utoipa::path(
    post,
    operation_id = "channels_archive",
    path = "/v1/channels/{id}/archive",
    tag = "channels",
    params(
        ("id" = ChannelId, Path),
        OwnerQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "As for a submission"),
    ),
    request_body = ArchiveRequest,
    responses(
        (status = 202, description = "Accepted; `Location` is the asset's address", body = AssetView),
        (status = 409, description = "The span is not over, not kept, empty or too long; it changes, and the answer says \
            where to split it; or the idempotency key was used with another body", body = Problem,
            content_type = "application/problem+json"),
        (status = 410, description = "What the idempotency key stood for was removed", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "Every fault of the body, each with a JSON pointer", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "The farm or the tenant has as many assets in the making as it takes; \
            `Retry-After` says when to come back", body = Problem, content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn archive(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    NamePath(name): NamePath,
    Query(query): Query<OwnerQuery>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let idempotency_key = idempotency_key(&headers)?;
    let found = find(&state, &caller, &name, query.tenant).await?;
    let asked = ArchiveRequest::check(body.value).map_err(ApiError::invalid)?;
    let gate = &state.gate;
    let parts = ArchiveParts { channel: &found.record, asked, body: &body.text, idempotency_key, gate };
    Ok(submitted(&state, &archive_span(&state.queue, &state.store, parts).await?))
}

fn accepted(channel: &ChannelRecord) -> (StatusCode, Json<ChannelView>) {
    (StatusCode::ACCEPTED, Json(view_of(channel, now_ms())))
}

/// The channel of this name that the caller means, as its record is now.
pub(super) async fn find(
    state: &ApiState,
    caller: &Caller,
    name: &str,
    asked: Option<Tenant>,
) -> Result<ChannelEntry, ApiError> {
    let missing = || ApiError::not_found("channel", format_args!("{name:?}"));
    let id: ChannelId = name.parse().map_err(|_| missing())?;
    let tenant = match (&caller.tenant, asked) {
        (Some(own), Some(asked)) if *own != asked => return Err(missing()),
        (Some(own), _) => own.clone(),
        (None, Some(asked)) => asked,
        (None, None) => only_owner(&state.view, &id)?,
    };
    let found = ops::channels(&state.queue).get(&framemill_schemas::live::record_key(&tenant, &id)).await?;
    let (record, revision) = found.ok_or_else(missing)?;
    Ok(ChannelEntry { record, revision })
}

/// Whose a channel is, for a caller that sees all tenants and names none.
fn only_owner(view: &View, id: &ChannelId) -> Result<Tenant, ApiError> {
    let mut owners = view.channels().into_iter().filter(|entry| entry.record.id == *id);
    let Some(first) = owners.next() else { return Ok(Tenant::default_tenant()) };
    if owners.next().is_none() {
        return Ok(first.record.tenant.clone());
    }
    let detail = format!("more than one tenant has a channel {id}; say which with `tenant`");
    Err(ApiError::new(Kind::InvalidQuery, detail))
}
