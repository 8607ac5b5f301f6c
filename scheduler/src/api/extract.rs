//! Reading requests: every way a request can be unreadable is answered by a problem, never by the
//! framework's plain text.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use framemill_schemas::{
    field_error::read_strict,
    ids::{AssetId, JobId},
    submission::SUBMISSION_BYTES_MAX,
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    ApiState,
    problem::{ApiError, Kind},
};

/// Longest a body may take to arrive: whoever sends a byte a second holds a connection that long.
const BODY_TIME_MAX: Duration = Duration::from_secs(20);
/// Most bytes of all bodies that are held at once: parsed, a body takes many times its size, and
/// there may be thousands of connections.
pub const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of each body that are not counted among them, so that usual requests go through beside a
/// crowd of large ones.
const FREE_BYTES: usize = 16 * 1024;
/// Most bytes of a body that is too large and still read, so that a client that sends before it
/// listens gets the answer instead of a reset connection.
const DISCARD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An asset's id from the address.
#[derive(Clone, Copy, Debug)]
pub struct AssetPath(pub AssetId);

/// A job's id from the address.
#[derive(Clone, Copy, Debug)]
pub struct JobPath(pub JobId);

/// A name from the address.
#[derive(Clone, Debug)]
pub struct NamePath(pub String);

async fn last_segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, ApiError> {
    let path = Path::<String>::from_request_parts(parts, state).await;
    path.map(|Path(text)| text)
        .map_err(|_| ApiError::new(Kind::NotFound, "the address is not readable; list what there is"))
}

impl<S: Send + Sync> FromRequestParts<S> for AssetPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = last_segment(parts, state).await?;
        text.parse().map(Self).map_err(|_| ApiError::not_found("asset", format_args!("{text:?}")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = last_segment(parts, state).await?;
        text.parse().map(Self).map_err(|_| ApiError::not_found("job", format_args!("{text:?}")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NamePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        last_segment(parts, state).await.map(Self)
    }
}

/// A query string; parameters that mean nothing are refused, like unknown keys of a document.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|error| {
            let detail = format!("{}; correct or remove the parameter", error.body_text());
            ApiError::new(Kind::InvalidQuery, detail)
        })
    }
}

/// A body of text, at most [`SUBMISSION_BYTES_MAX`] long.
#[derive(Clone, Debug)]
pub struct TextBody {
    /// What was sent.
    pub text: String,
    /// Its media type without parameters, lower case; empty where none was given.
    pub media_type: String,
    _held: Arc<OwnedSemaphorePermit>,
}

impl FromRequest<ApiState> for TextBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let media_type = media_type(&parts.headers);
        let read = tokio::time::timeout(BODY_TIME_MAX, read_body(&parts.headers, body, &state.bodies)).await;
        let late = || format!("the body took more than {} s; send it faster", BODY_TIME_MAX.as_secs());
        let (bytes, held) = read.map_err(|_| ApiError::new(Kind::Timeout, late()))??;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            ApiError::new(Kind::InvalidUtf8, format!("byte {at} of the body is not UTF-8; send the text in UTF-8"))
        })?;
        Ok(Self { text, media_type, _held: Arc::new(held) })
    }
}

/// A JSON body, parsed but not yet read as anything.
#[derive(Clone, Debug)]
pub struct JsonBody {
    /// What was sent.
    pub text: String,
    /// The same, parsed.
    pub value: serde_json::Value,
    _held: Arc<OwnedSemaphorePermit>,
}

impl JsonBody {
    /// Reads it as a `T`; every unknown key is named.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        read_strict(self.value).map_err(ApiError::invalid)
    }
}

impl FromRequest<ApiState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        // Before the body: a form of a foreign page can send other types without asking first.
        let media_type = media_type(request.headers());
        if media_type != "application/json" {
            let detail = format!("the body is {media_type:?}; send `Content-Type: application/json`");
            return Err(ApiError::new(Kind::UnsupportedMediaType, detail));
        }
        let TextBody { text, _held, .. } = TextBody::from_request(request, state).await?;
        let value = serde_json::from_str(&text)
            .map_err(|error| ApiError::new(Kind::InvalidJson, format!("{error}; send a JSON object")))?;
        Ok(Self { text, value, _held })
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A body, and its share of what is held at once: taken as the bytes arrive, so that a client that
/// sends slowly keeps nobody out.
async fn read_body(
    headers: &HeaderMap,
    body: Body,
    bodies: &Arc<Semaphore>,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), ApiError> {
    let too_large = || {
        let detail = format!("the body has more than {SUBMISSION_BYTES_MAX} bytes; shorten it");
        Err(ApiError::new(Kind::TooLarge, detail))
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let waits = headers.contains_key(header::EXPECT);
    if length.is_some_and(|length| length > SUBMISSION_BYTES_MAX as u64 && (waits || length > DISCARD_BYTES_MAX as u64))
    {
        return too_large();
    }
    let mut kept = Vec::new();
    let mut held = take(bodies, 0)?;
    let mut seen = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(|_| {
            ApiError::new(Kind::InvalidHeader, "the body ended before its Content-Length; send all of it")
        })?;
        let before = seen;
        seen += chunk.len();
        if seen > DISCARD_BYTES_MAX {
            break;
        }
        if seen <= SUBMISSION_BYTES_MAX {
            held.merge(take(bodies, seen.max(FREE_BYTES) - before.max(FREE_BYTES))?);
            kept.extend_from_slice(&chunk);
        }
    }
    if seen > SUBMISSION_BYTES_MAX { too_large() } else { Ok((kept, held)) }
}

/// A share of the bytes that may be held at once.
fn take(bodies: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    bodies
        .clone()
        .try_acquire_many_owned(bytes)
        .map_err(|_| ApiError::new(Kind::TooMany, "too many large requests arrive at once; send it again in a moment"))
}
