//! One origin: an S3 store, or a web server with the same layout.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use framemill_storage::{S3Config, Secret, Store, StoreError};
use futures_util::StreamExt;
use reqwest::{StatusCode, header};

use super::kept;
use crate::{cache::Object, config::STORE};

/// The place in the order of purges that an object has to be as new as: asked of an edge by an edge.
pub const PURGED_HEADER: &str = "framemill-purged";
/// What an edge shows to another one.
pub const SHIELD_HEADER: &str = "framemill-shield";

/// What stands before the address of an origin that is an edge.
const EDGE: &str = "edge+";
/// Largest object.
pub(super) const OBJECT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest silence.
const STALL_MAX: Duration = Duration::from_secs(8);
/// Connections that are kept to one web server.
const IDLE_MAX: usize = 64;

/// Where objects come from.
pub enum Source {
    /// A store.
    S3(Store),
    /// A web server.
    Http {
        /// Its address, without a slash at the end.
        url: String,
        /// Connections to it.
        client: reqwest::Client,
        /// What it is shown.
        secret: Option<header::HeaderValue>,
    },
}

impl Source {
    /// Takes an origin of the configuration, the store it may mean, and what other edges are shown.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(origin: &str, s3: &S3Config, secret: Option<&Secret>) -> Result<Self, String> {
        if origin == STORE {
            return Store::open(s3).map(Self::S3).map_err(|error| error.to_string());
        }
        // Only an edge is shown what edges show each other.
        let (url, is_edge) = origin.strip_prefix(EDGE).map_or((origin, false), |url| (url, true));
        let url = url.trim_end_matches('/');
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(format!("one is neither {STORE:?} nor an http:// or https:// address, nor {EDGE}https://..."));
        }
        if url.contains('@') {
            return Err("an address must not hold a user or a password: it is told in logs and metrics".to_owned());
        }
        if is_edge && secret.is_none() {
            return Err(format!("{url} is an edge, and there is no edge.shield_secret to show it"));
        }
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .read_timeout(STALL_MAX)
            .pool_max_idle_per_host(IDLE_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("no client for {url}: {error}"))?;
        let visible = |secret: &Secret| {
            let mut value =
                header::HeaderValue::from_str(secret.expose()).map_err(|_| "the secret is not visible ASCII")?;
            value.set_sensitive(true);
            Ok::<_, &str>(value)
        };
        let secret = secret.filter(|_| is_edge).map(visible).transpose()?;
        Ok(Self::Http { url: url.to_owned(), client, secret })
    }

    /// For logs and metrics.
    pub fn name(&self) -> String {
        match self {
            Self::S3(store) => format!("s3:{}", store.endpoint()),
            Self::Http { url, .. } => url.clone(),
        }
    }

    /// The object under a key, as of a place in the order of purges; `None` when there is none.
    ///
    /// # Errors
    /// Why there is no answer, in words without secrets.
    pub async fn fetch(&self, key: &str, place: u64) -> Result<Option<Object>, String> {
        match self {
            Self::S3(store) => match store.get(key).await {
                Ok(Some(found)) => {
                    Ok(Some(kept::object(key, found.body, found.stored.etag, &found.meta.cache_control)))
                }
                Ok(None) => Ok(None),
                Err(StoreError::BadKey { .. }) => Ok(None),
                Err(error) => Err(error.to_string()),
            },
            Self::Http { url, client, secret } => match whole(get(client, url, key, secret.as_ref()), place).await? {
                Some(answer) => read(key, answer).await.map(Some),
                None => Ok(None),
            },
        }
    }

    /// The first bytes of an object, as many as there are and at most `bytes`; `None` when there is none.
    ///
    /// # Errors
    /// Why there is no answer, in words without secrets.
    pub async fn first(&self, key: &str, bytes: usize) -> Result<Option<Vec<u8>>, String> {
        let mut first = Vec::new();
        match self {
            Self::S3(store) => match store.get_stream(None, key, Some(0..bytes as u64)).await {
                Ok(Some(mut found)) => {
                    while let Some(part) = found.stream.next().await {
                        first.extend_from_slice(&part.map_err(|error| error.to_string())?);
                    }
                }
                Ok(None) | Err(StoreError::BadKey { .. }) => return Ok(None),
                // It has none at all.
                Err(StoreError::Range { .. }) => {}
                Err(error) => return Err(error.to_string()),
            },
            Self::Http { url, client, secret } => {
                let range = format!("bytes=0-{}", bytes.saturating_sub(1));
                let request = get(client, url, key, secret.as_ref()).header(header::RANGE, range);
                let mut answer = request.send().await.map_err(|error| error.without_url().to_string())?;
                match answer.status() {
                    StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                        // One that knows no ranges sends it all, and is not listened to for longer.
                        while first.len() < bytes
                            && let Some(part) = answer.chunk().await.map_err(|error| error.without_url().to_string())?
                        {
                            first.extend_from_slice(&part);
                        }
                    }
                    StatusCode::RANGE_NOT_SATISFIABLE => {}
                    status if says_no(status) => return Ok(None),
                    status => return Err(format!("it answered {status}")),
                }
            }
        }
        first.truncate(bytes);
        Ok(Some(first))
    }
}

/// Whether an answer says that there is no such object: what a viewer's own choice of a name can bring about is no fault of
/// the origin. A web server leads elsewhere for a folder, and may find a name too long; keys that do not open, and too
/// much at once, are faults.
pub(super) fn says_no(status: StatusCode) -> bool {
    let is_fault = matches!(status.as_u16(), 401 | 403 | 407 | 408 | 421 | 425 | 429);
    (status.is_client_error() || status.is_redirection()) && !is_fault
}

/// A request for an object of a web server.
pub(super) fn get(
    client: &reqwest::Client,
    url: &str,
    key: &str,
    secret: Option<&header::HeaderValue>,
) -> reqwest::RequestBuilder {
    let request = client.get(format!("{url}/{key}"));
    match secret {
        Some(secret) => request.header(SHIELD_HEADER, secret.clone()),
        None => request,
    }
}

/// The answer to a request for all of an object, as of a place in the order of purges; `None` when there is none.
pub(super) async fn whole(request: reqwest::RequestBuilder, place: u64) -> Result<Option<reqwest::Response>, String> {
    let answer = request.header(PURGED_HEADER, place).send().await.map_err(|error| error.without_url().to_string())?;
    match answer.status() {
        StatusCode::OK => Ok(Some(answer)),
        status if says_no(status) => Ok(None),
        status => Err(format!("it answered {status}")),
    }
}

/// A header of an answer; empty when it is not there.
pub(super) fn text(answer: &reqwest::Response, name: header::HeaderName) -> String {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The entity tag of an answer, without quotes.
pub(super) fn etag(answer: &reqwest::Response) -> String {
    text(answer, header::ETAG).trim_start_matches("W/").trim_matches('"').to_owned()
}

pub(super) async fn read(key: &str, mut answer: reqwest::Response) -> Result<Object, String> {
    let length = answer.content_length();
    if length.is_some_and(|length| length > OBJECT_BYTES_MAX) {
        return Err(format!("the object is over {OBJECT_BYTES_MAX} bytes"));
    }
    let (etag, cache_control) = (etag(&answer), text(&answer, header::CACHE_CONTROL));
    let age_s = text(&answer, header::AGE).parse().unwrap_or(0);
    let mut body = BytesMut::with_capacity(usize::try_from(length.unwrap_or(0)).unwrap_or(0));
    while let Some(part) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
        if (body.len() + part.len()) as u64 > OBJECT_BYTES_MAX {
            return Err(format!("the object is over {OBJECT_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&part);
    }
    // A body that was cut off is none, whatever the client thinks of it.
    if length.is_some_and(|length| length != body.len() as u64) {
        return Err("the body ended early".to_owned());
    }
    let body: Bytes = body.freeze();
    let etag = if etag.is_empty() { tag_of(&body) } else { etag };
    Ok(Object { age_s, ..kept::object(key, body, etag, &cache_control) })
}

/// An entity tag for what came without one.
fn tag_of(body: &[u8]) -> String {
    framemill_schemas::key::digest(body).chars().take(32).collect()
}
