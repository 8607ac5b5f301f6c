//! The HTTP client of the operator's commands: it talks to the API, turns problems into messages
//! with an exit code, and follows event streams. It never goes through a proxy: the API is an
//! address the operator named.

pub mod problem;
pub mod sse;

use std::time::Duration;

use framemill_schemas::api::Page;
use reqwest::{Method, RequestBuilder, Response};
use serde::{Serialize, de::DeserializeOwned};

use crate::exit::{CliError, Exit};

/// Where the API is when nobody says otherwise: the address `framemill up` listens on.
pub const DEFAULT_API: &str = "http://127.0.0.1:8080";
/// Longest wait for an answer that is not a stream.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest wait for an answer that is worked for: it shows signs of life meanwhile.
const WORK: Duration = Duration::from_secs(6 * 3600);
const CONNECT: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most items a list command fetches.
const ITEMS_MAX: usize = 10_000;

/// A client of one API.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    /// A client of the API at `base`. `key` comes from the environment only: arguments are
    /// visible to every user of a machine.
    pub fn new(base: &str, key: Option<String>) -> Result<Self, CliError> {
        let base = base.trim_end_matches('/');
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(CliError::usage(format!("{base:?} is not an address of an API"))
                .at("--api or FRAMEMILL_API")
                .mend(format!("write something like {DEFAULT_API}")));
        }
        let mut builder = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT).redirect(
            // A redirect would carry the key to an address nobody named.
            reqwest::redirect::Policy::none(),
        );
        if base.starts_with("http://") {
            // Without TLS no certificate store is needed, and a bare machine has none.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| {
            CliError::failed(format!("cannot prepare TLS: {error}"))
                .at(base)
                .mend("install the system's certificates (package ca-certificates)")
        })?;
        Ok(Self { http, base: base.to_owned(), key: key.filter(|key| !key.is_empty()) })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// GET one document.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::GET, path)).await
    }

    /// GET something that may take long.
    pub async fn get_slow<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read_within(self.request(Method::GET, path), WORK).await
    }

    /// POST without a body.
    pub async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::POST, path)).await
    }

    /// POST without a body something that may take long.
    pub async fn post_slow<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read_within(self.request(Method::POST, path), WORK).await
    }

    /// POST a document, with an idempotency key where one is given.
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        idempotency_key: Option<&str>,
    ) -> Result<T, CliError> {
        let mut request = self.request(Method::POST, path).json(body);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        self.read(request).await
    }

    /// PUT a document.
    pub async fn put_json<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CliError> {
        self.read(self.request(Method::PUT, path).json(body)).await
    }

    /// DELETE something; what the API answers is shown as it is.
    pub async fn delete(&self, path: &str) -> Result<serde_json::Value, CliError> {
        self.read(self.request(Method::DELETE, path)).await
    }

    /// Every item of a paged list, up to [`ITEMS_MAX`]. `path` may carry a query.
    pub async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, CliError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut request = self.request(Method::GET, path);
            if let Some(cursor) = &cursor {
                request = request.query(&[("cursor", cursor)]);
            }
            let page: Page<T> = self.read(request).await?;
            items.extend(page.items);
            match page.next {
                Some(next) if items.len() < ITEMS_MAX && cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => return Ok(items),
            }
        }
    }

    /// Opens an event stream, after the message `last_id` where one is given.
    pub async fn stream(&self, path: &str, last_id: Option<&str>) -> Result<Events, CliError> {
        let mut request = self.request(Method::GET, path).header("accept", "text/event-stream");
        if let Some(id) = last_id.filter(|id| !id.is_empty()) {
            request = request.header("last-event-id", id);
        }
        let sent = tokio::time::timeout(ANSWER, request.send()).await.map_err(|_| self.silent())?;
        let response = sent.map_err(|error| self.unreachable(&error))?;
        let response = self.accept(response).await?;
        Ok(Events { response, parser: sse::Parser::default(), ready: Default::default() })
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CliError> {
        self.read_within(request, ANSWER).await
    }

    async fn read_within<T: DeserializeOwned>(&self, request: RequestBuilder, time: Duration) -> Result<T, CliError> {
        let sent = request.timeout(time).send().await;
        let response = sent.map_err(|error| self.unreachable(&error))?;
        let response = self.accept(response).await?;
        let body = self.body(response).await?;
        // 204: nothing to say.
        let text = if body.is_empty() { b"null".as_slice() } else { &body };
        serde_json::from_slice(text).map_err(|error| {
            CliError::failed(format!("the answer is not what this version expects: {error}"))
                .at(&self.base)
                .mend("check that the address is a Framemill API, of the version of this program")
        })
    }

    /// Hands a good answer on, and turns a problem into a message.
    async fn accept(&self, response: Response) -> Result<Response, CliError> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let place = response.url().to_string();
        let body = self.body(response).await?;
        Err(problem::to_error(status, &body, &place, self.key.is_some()))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, CliError> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if body.len() + piece.len() <= ANSWER_BYTES_MAX => body.extend_from_slice(&piece),
                Ok(Some(_)) => {
                    return Err(CliError::failed(format!("the answer is over {ANSWER_BYTES_MAX} bytes")).at(&self.base));
                }
                Ok(None) => return Ok(body),
                Err(error) => return Err(self.unreachable(&error)),
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        if error.is_timeout() && !error.is_connect() {
            return self.silent();
        }
        CliError::failed(format!("cannot reach the API: {}", root_cause(error)))
            .at(&self.base)
            .mend("start one with `framemill up`, or name its address with --api")
    }

    fn silent(&self) -> CliError {
        CliError::new(Exit::GaveUp, format!("the API did not answer within {} s", ANSWER.as_secs()))
            .at(&self.base)
            .mend("check the scheduler's log, and `framemill doctor`")
    }
}

/// The innermost message: the outer ones only say that a request failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// An event stream that is open.
#[derive(Debug)]
pub struct Events {
    response: Response,
    parser: sse::Parser,
    ready: std::collections::VecDeque<sse::Message>,
}

impl Events {
    /// The next message; `None` when the stream has ended, for whatever reason.
    pub async fn next(&mut self) -> Option<sse::Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            let piece = self.response.chunk().await.ok()??;
            self.ready.extend(self.parser.push(&piece).ok()?);
        }
    }
}

/// A value as one segment of a path.
pub fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A path with the parts of its query that are there.
pub fn with_query(path: &str, query: &[(&str, Option<&str>)]) -> String {
    let query: Vec<_> =
        query.iter().filter_map(|(name, value)| value.map(|value| format!("{name}={}", segment(value)))).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_types_stays_one_segment() {
        assert_eq!(segment("0198-x_y"), "0198-x_y");
        assert_eq!(segment("../a?b"), "%2E%2E%2Fa%3Fb");
        assert_eq!(with_query("/v1/jobs", &[("asset", None), ("state", Some("dead"))]), "/v1/jobs?state=dead");
        assert_eq!(with_query("/v1/jobs", &[("asset", None)]), "/v1/jobs");
    }

    #[test]
    fn an_address_that_is_none_is_wrong_usage() {
        for bad in ["", "localhost:8080", "ftp://h"] {
            assert_eq!(Client::new(bad, None).expect_err(bad).exit, Exit::Usage);
        }
    }
}
