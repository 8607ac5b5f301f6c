//! `/v1/events` and `/v1/assets/{id}/events`: what happens, as server-sent events.
//!
//! A message's id is its sequence in the stream of events, so a client that comes back with
//! `Last-Event-ID` misses nothing. Progress has no id: nobody resumes at a percentage.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event as Message, KeepAlive, Sse},
};
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    cloud_event::CloudEvent,
    event::{Event, EventData},
    ids::{AssetId, Tenant},
    presence::Progress,
};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    ApiState, STREAMS_MAX,
    assets::find,
    extract::{AssetPath, Query},
    guard::Viewer,
    problem::{ApiError, Kind, Problems},
};
use crate::access::Caller;

/// Comments are sent this often where nothing happens, so that no proxy takes a stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// For an asset that is at its end already: how long what came before may take to be replayed.
const REPLAY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What the stream of all events may be narrowed by.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct StreamQuery {
    /// Only events of this tenant.
    #[param(value_type = Option<String>)]
    tenant: Option<Tenant>,
}

/// Follow all events.
///
/// Each message is an event in CloudEvents' structured JSON form. Without `Last-Event-ID`: from
/// now on; with `0`: from the oldest that is kept.
#[utoipa::path(
    get,
    operation_id = "events_follow",
    path = "/v1/events",
    tag = "events",
    params(StreamQuery, ("Last-Event-ID" = Option<u64>, Header, description = "Resume after this message")),
    responses((status = 200, description = "Messages named `event`", body = CloudEvent,
        content_type = "text/event-stream"), Problems)
)]
pub async fn all(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, ApiError> {
    let place = place(&state)?;
    let events = follow(&state, &caller, query.tenant.as_ref(), last_event_id(&headers)?).await?;
    let messages = events.map(|(sequence, event)| event_message(Some(sequence), event));
    Ok(respond(messages.take_until(state.drain.clone().cancelled_owned()), place))
}

/// Follow one asset to its end.
///
/// Messages named `event` are its events in CloudEvents' structured JSON form; those named
/// `progress` say how far an attempt is. The stream ends after the asset's last event.
#[utoipa::path(
    get,
    operation_id = "events_follow_asset",
    path = "/v1/assets/{id}/events",
    tag = "events",
    params(
        ("id" = AssetId, Path),
        ("Last-Event-ID" = Option<u64>, Header, description = "Resume after this message"),
    ),
    responses((status = 200, description = "Messages named `event` and `progress`", body = CloudEvent,
        content_type = "text/event-stream"), Problems)
)]
pub async fn of_asset(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    AssetPath(id): AssetPath,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, ApiError> {
    let asset = find(&state, &caller, id).await?;
    let place = place(&state)?;
    let after = last_event_id(&headers)?;
    let events = follow(&state, &caller, Some(&asset.tenant), after).await?;
    let events = events
        .filter(move |(_, event)| std::future::ready(event.data.asset_id == Some(id)))
        .map(|told| News::Event(Box::new(told)));
    let progress = state.queue.progress(id).await?.map(News::Progress);
    // Looked at only now: whatever happens from here on comes through the stream.
    let asset = state.queue.assets().get(&id.to_string()).await?;
    let asset = asset.map(|(asset, _)| asset).ok_or_else(|| ApiError::not_found("asset", id))?;

    let news = stream::select(events, progress).boxed();
    let stage = if asset.state.is_terminal() { Stage::Replaying(Box::new(asset)) } else { Stage::Following };
    let watch = Watch { state: state.clone(), id, news, stage };
    let messages = stream::unfold(watch, |watch| async {
        let (message, watch) = watch.next().await?;
        Some((message, watch))
    });
    Ok(respond(messages.take_until(state.drain.cancelled_owned()), place))
}

fn respond(
    messages: impl Stream<Item = Message> + Send + 'static,
    place: OwnedSemaphorePermit,
) -> Sse<impl Stream<Item = Result<Message, Infallible>>> {
    let messages = messages.map(move |message| {
        // Held for as long as the stream is.
        let _ = &place;
        Ok(message)
    });
    Sse::new(messages).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// Something to tell the client of one asset.
enum News {
    Event(Box<(u64, Event)>),
    Progress(Progress),
}

/// How far a client of one asset is.
enum Stage {
    /// The asset is being made.
    Following,
    /// It ended before the client came; what it missed is sent first.
    Replaying(Box<AssetRecord>),
    /// All is said.
    Over,
}

/// One client of one asset.
struct Watch {
    state: ApiState,
    id: AssetId,
    news: stream::BoxStream<'static, News>,
    stage: Stage,
}

impl Watch {
    async fn next(mut self) -> Option<(Message, Self)> {
        let news = match &self.stage {
            Stage::Over => return None,
            Stage::Following => self.news.next().await?,
            Stage::Replaying(asset) => match tokio::time::timeout(REPLAY_PAUSE_MAX, self.news.next()).await {
                Ok(news) => news?,
                Err(_) => {
                    // Its last event is older than what the client asked for.
                    let message = event_message(None, end_of(asset));
                    self.stage = Stage::Over;
                    return Some((message, self));
                }
            },
        };
        let message = match news {
            News::Progress(progress) => message("progress", None, &progress),
            News::Event(told) => {
                let (sequence, event) = *told;
                if is_end(&event.kind) && has_ended(&self.state, self.id).await {
                    self.stage = Stage::Over;
                }
                event_message(Some(sequence), event)
            }
        };
        Some((message, self))
    }
}

/// Whether the asset is at its end now: after a retry, an old end is replayed as well.
async fn has_ended(state: &ApiState, id: AssetId) -> bool {
    match state.queue.assets().get(&id.to_string()).await {
        Ok(found) => found.is_none_or(|(asset, _)| asset.state.is_terminal()),
        // Ending is safe: the client looks at the asset, or comes back.
        Err(_) => true,
    }
}

/// Whether nothing follows an event of this type, unless somebody retries.
fn is_end(kind: &str) -> bool {
    matches!(kind, "asset.published" | "asset.failed" | "asset.cancelled" | "asset.removed")
}

/// The end of an asset as an event, for whoever comes after it was sent.
fn end_of(asset: &AssetRecord) -> Event {
    let what = match asset.state {
        AssetState::Published => "published",
        AssetState::Cancelled => "cancelled",
        AssetState::Doomed => "removed",
        AssetState::Failed | AssetState::Accepted => "failed",
    };
    let data = EventData {
        channel_id: None,
        asset_id: Some(asset.id),
        status: Some(asset.state.as_str().to_owned()),
        class: asset.failure.as_ref().map(|failure| failure.class),
        reason: asset.failure.as_ref().map(|failure| failure.reason.clone()),
        ..EventData::default()
    };
    let transition = format!("end/{}/{}", asset.generation.number, asset.ended_ms);
    Event::derive(&asset.id.to_string(), &transition, format!("asset.{what}"), &asset.tenant, asset.ended_ms, data)
}

/// The events a caller sees. An error ends the stream: the client comes back with what it has.
async fn follow(
    state: &ApiState,
    caller: &Caller,
    asked: Option<&Tenant>,
    after: Option<u64>,
) -> Result<impl Stream<Item = (u64, Event)> + Send + use<>, ApiError> {
    let tenant = match (&caller.tenant, asked) {
        // Another tenant's events do not exist: the stream stays empty, like a list would.
        (Some(own), Some(asked)) if own != asked => None,
        (Some(own), _) => Some(own.to_string()),
        (None, Some(asked)) => Some(asked.to_string()),
        (None, None) => Some("*".to_owned()),
    };
    let filter = match tenant {
        Some(tenant) => format!("events.{tenant}.>"),
        None => return Ok(stream::pending().left_stream()),
    };
    let events = state.queue.events(filter, after).await?;
    Ok(events.take_while(|event| std::future::ready(event.is_ok())).filter_map(async |event| event.ok()).right_stream())
}

fn place(state: &ApiState) -> Result<OwnedSemaphorePermit, ApiError> {
    let refuse = |_| ApiError::new(Kind::TooMany, format!("{STREAMS_MAX} streams are open; close one, or try later"));
    state.streams.clone().try_acquire_owned().map_err(refuse)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else { return Ok(None) };
    // A sequence is far below this; more would run over when one is added.
    let id = value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).filter(|id| *id < u64::MAX);
    let refuse = || ApiError::new(Kind::InvalidHeader, "Last-Event-ID is no id of this stream; leave it out");
    id.map(Some).ok_or_else(refuse)
}

fn event_message(sequence: Option<u64>, event: Event) -> Message {
    message("event", sequence, &CloudEvent::from(event))
}

fn message(name: &str, sequence: Option<u64>, data: &impl Serialize) -> Message {
    // Written by hand: the framework's own JSON writer can fail, plain data cannot.
    let json = serde_json::to_string(data).expect("events are plain data");
    let message = Message::default().event(name).data(json);
    match sequence {
        Some(sequence) => message.id(sequence.to_string()),
        None => message,
    }
}
