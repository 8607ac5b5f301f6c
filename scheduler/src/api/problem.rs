//! Errors as clients get them (RFC 9457): a stable kind, what happened here, and the mend.
//!
//! Never here: which transition failed and why; the operations say that.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use framemill_queue::{QueueError, RecordError};
use framemill_schemas::{api::Problem, field_error::FieldError};
use framemill_storage::StoreError;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as ResponseDoc, ResponseBuilder};

use crate::chain::chain;

/// Seconds after which a client may try again when a part of the farm is away.
const RETRY_AFTER_S: u64 = 2;
/// Seconds after which a client may submit again when the farm has all the work it takes: titles
/// end in minutes, not in moments.
const FULL_RETRY_AFTER_S: u64 = 15;
/// Media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Every kind of error the API gives. The names are part of its contract: scripts match them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The body is not text.
    InvalidUtf8,
    /// The body is not JSON.
    InvalidJson,
    /// A query parameter means nothing.
    InvalidQuery,
    /// A header cannot be read.
    InvalidHeader,
    /// No key, or one nobody gave out.
    Unauthorized,
    /// The key's role does not allow it.
    Forbidden,
    /// A page of another site sent it.
    CrossSite,
    /// A viewer's account may not watch it.
    Denied,
    /// A viewer's token lets nobody in.
    TokenRefused,
    /// No such thing, or not the caller's.
    NotFound,
    /// The address takes other methods.
    MethodNotAllowed,
    /// The request took too long to arrive.
    Timeout,
    /// The thing's state does not allow it.
    Conflict,
    /// The key was used with another body.
    IdempotencyConflict,
    /// The span of a channel is not over yet.
    SpanInFuture,
    /// The channel does not keep the span, or not any more.
    SpanNotKept,
    /// Nothing was published in the span.
    SpanEmpty,
    /// The span is more than a title may have.
    SpanTooLong,
    /// The span is of two kinds.
    SpanChanges,
    /// It was there, and was removed.
    Gone,
    /// More than is taken.
    TooLarge,
    /// Not the media type that is taken.
    UnsupportedMediaType,
    /// The name in `Host` is not this server's.
    Misdirected,
    /// The document's fields are wrong.
    Invalid,
    /// The range lies outside the object.
    RangeNotSatisfiable,
    /// The farm has all the work it takes.
    Full,
    /// A bound of this server is reached.
    TooMany,
    /// A part of the farm is away.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl Kind {
    const fn facts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidUtf8 => ("invalid-utf8", StatusCode::BAD_REQUEST, "The body is not UTF-8"),
            Self::InvalidJson => ("invalid-json", StatusCode::BAD_REQUEST, "The body is not JSON"),
            Self::InvalidQuery => ("invalid-query", StatusCode::BAD_REQUEST, "The query cannot be read"),
            Self::InvalidHeader => ("invalid-header", StatusCode::BAD_REQUEST, "A header cannot be read"),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "A key is required"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The key does not allow this"),
            Self::CrossSite => ("cross-site", StatusCode::FORBIDDEN, "Another site's page may not ask for this"),
            Self::Denied => ("denied", StatusCode::FORBIDDEN, "The account may not watch this"),
            Self::TokenRefused => ("token-refused", StatusCode::UNAUTHORIZED, "The token lets nobody in"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "The address does not take this method")
            }
            Self::Timeout => ("timeout", StatusCode::REQUEST_TIMEOUT, "The request took too long"),
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "Its state does not allow this"),
            Self::IdempotencyConflict => {
                ("idempotency-conflict", StatusCode::CONFLICT, "The idempotency key was used for another body")
            }
            Self::SpanInFuture => ("span-in-future", StatusCode::CONFLICT, "The span is not over"),
            Self::SpanNotKept => ("span-not-kept", StatusCode::CONFLICT, "The span is not kept"),
            Self::SpanEmpty => ("span-empty", StatusCode::CONFLICT, "Nothing was published in the span"),
            Self::SpanTooLong => ("span-too-long", StatusCode::CONFLICT, "The span is too long for a title"),
            Self::SpanChanges => ("span-changes", StatusCode::CONFLICT, "The span has to be split"),
            Self::Gone => ("gone", StatusCode::GONE, "It was removed"),
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body has the wrong media type")
            }
            Self::Misdirected => {
                ("misdirected", StatusCode::MISDIRECTED_REQUEST, "The name in Host is not this server's")
            }
            Self::Invalid => ("invalid", StatusCode::UNPROCESSABLE_ENTITY, "The document has faults"),
            Self::RangeNotSatisfiable => {
                ("range", StatusCode::RANGE_NOT_SATISFIABLE, "The range lies outside the object")
            }
            Self::Full => ("full", StatusCode::TOO_MANY_REQUESTS, "As much is in the making as is taken"),
            Self::TooMany => ("too-many", StatusCode::SERVICE_UNAVAILABLE, "A limit of this server is reached"),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "A part of the farm is away"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The server has a fault"),
        }
    }
}

/// An error on its way to a client.
#[derive(Clone, Debug)]
pub struct ApiError {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    reason: Option<&'static str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// An error of `kind`; `detail` says what happened, where, and the mend.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), reason: None, headers: Vec::new() }
    }

    /// The same answer for what does not exist and for what is another tenant's.
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("there is no {what} {id}; list what there is"))
    }

    /// A document with faults, all of them.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => only.to_string(),
            _ => format!("{} faults; correct each of the errors listed", errors.len()),
        };
        Self { errors, ..Self::new(Kind::Invalid, detail) }
    }

    /// A part of the farm that does not answer. What exactly goes to the log: addresses of the
    /// inside are not the client's to know.
    pub fn unavailable(what: &str, error: &dyn std::error::Error) -> Self {
        tracing::warn!(what, error = %chain(error), "a part of the farm does not answer");
        Self::new(Kind::Unavailable, format!("{what} does not answer; try again in a moment"))
    }

    /// A fault of ours.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %chain(error), "a request failed by a fault of the server");
        Self::new(Kind::Internal, "the server has a fault; its log says which")
    }

    /// Adds a word that tells reasons of one kind apart.
    pub fn reason(mut self, word: &'static str) -> Self {
        self.reason = Some(word);
        self
    }

    /// Adds a header to the answer.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// As a document.
    pub fn problem(&self) -> Problem {
        let (name, status, title) = self.kind.facts();
        Problem {
            kind: format!("urn:framemill:problem:{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            reason: self.reason.map(str::to_owned),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let (_, status, _) = self.kind.facts();
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        match self.kind {
            Kind::Unavailable | Kind::TooMany => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
            }
            Kind::Full => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(FULL_RETRY_AFTER_S));
            }
            _ => {}
        }
        headers.extend(self.headers);
        response
    }
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Exists | RecordError::Fenced => {
                Self::new(Kind::Conflict, "somebody else changed it at the same moment; look at it, then try again")
            }
            RecordError::Wire(_) => Self::internal(&error),
            _ => Self::unavailable("the record store", &error),
        }
    }
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> Self {
        Self::unavailable("NATS", &error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::unavailable("the object store", &error)
    }
}

/// What any operation may answer instead of what it is for; for the OpenAPI document.
pub struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> std::collections::BTreeMap<String, RefOr<ResponseDoc>> {
        let document = |text: &str| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            RefOr::T(ResponseBuilder::new().description(text).content(PROBLEM_JSON, content).build())
        };
        [
            ("400", "The request cannot be read"),
            ("401", "A key is required"),
            ("403", "The key does not allow this"),
            ("404", "No such thing, or not the caller's"),
            ("503", "A part of the farm is away; try again"),
        ]
        .into_iter()
        .map(|(status, text)| (status.to_owned(), document(text)))
        .collect()
    }
}
