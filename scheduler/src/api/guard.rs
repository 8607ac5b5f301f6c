//! What stands before every handler: who calls, whether they may, how long they may take.
//!
//! A handler states the role it needs by the type it extracts ([`Viewer`], [`Operator`],
//! [`Admin`]); one that extracts none is open, as the documents about the API itself are.
//! Keys are never logged: no code here prints a header.

use std::{net::SocketAddr, time::Duration};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use framemill_schemas::api::AccessRole;

use super::{
    ApiState, origin,
    problem::{ApiError, Kind},
};
use crate::access::{Caller, caller_of};

/// Longest a request may take to be answered; streams only have to begin by then. Long enough for
/// two changes of records whose outcome has to be looked up in an outage.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(45);

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Scripts, styles and media come from this server alone; hls.js feeds the player and its worker
/// through `blob:` addresses.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; \
     object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Bounds the time of a request and adds the headers every answer has.
pub async fn around(request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("there was no answer within {} s; try again in a moment", REQUEST_TIME_MAX.as_secs());
            ApiError::new(Kind::Unavailable, detail).into_response()
        }
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // What nobody said how to cache is of the moment.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Finds out who calls, and leaves the answer for the handler's extractor.
pub async fn identify(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match caller(&state, &parts).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    }
}

/// Who calls; `None` where a key is needed and none was sent.
async fn caller(state: &ApiState, request: &Parts) -> Result<Option<Caller>, ApiError> {
    let headers = &request.headers;
    if origin::is_cross_site(&request.method, headers) {
        let detail = "the request comes from a page of another site; send it from this server's own page or a command";
        return Err(ApiError::new(Kind::CrossSite, detail));
    }
    if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        // A key is honoured on loopback too: whoever sends one wants to be that caller.
        let Some(token) = authorization.to_str().ok().and_then(token_of) else {
            return Err(unauthorized(headers, "the Authorization header is neither `Bearer <key>` nor a password"));
        };
        return match caller_of(&state.queue, &token).await? {
            Some(caller) => Ok(Some(caller)),
            None => Err(unauthorized(headers, "the key is not known; it may have been revoked")),
        };
    }
    let peer = request.extensions.get::<Peer>();
    let local = state.keyless && peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
    if !local || origin::is_forwarded(headers) {
        return Ok(None);
    }
    if !origin::is_loopback_host(headers) {
        let detail = "without a key this server answers only to localhost, 127.0.0.1 and [::1]; use one of them";
        return Err(ApiError::new(Kind::Misdirected, detail));
    }
    Ok(Some(Caller::local()))
}

/// The key in an `Authorization` header: a bearer token, or the password of the form that browsers
/// show, which is how the page is used where keys are needed.
fn token_of(authorization: &str) -> Option<String> {
    let (scheme, rest) = authorization.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(base64(rest)?).ok()?;
        return pair.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

/// Standard base64 (RFC 4648, clause 4).
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

fn unauthorized(headers: &HeaderMap, detail: &str) -> ApiError {
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let challenge = if wants_page { "Basic realm=\"framemill key as password\"" } else { "Bearer" };
    ApiError::new(Kind::Unauthorized, format!("{detail}; send `Authorization: Bearer fmk_...`"))
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// The caller, if it may do what `role` may.
fn require(parts: &Parts, role: AccessRole) -> Result<Caller, ApiError> {
    let caller = parts.extensions.get::<Option<Caller>>().cloned().flatten();
    let caller = caller.ok_or_else(|| unauthorized(&parts.headers, "this needs a key"))?;
    if caller.may(role) {
        return Ok(caller);
    }
    let word = |role: AccessRole| format!("{role:?}").to_lowercase();
    let detail = format!("the key's role is {}, this needs {}; use another key", word(caller.role), word(role));
    Err(ApiError::new(Kind::Forbidden, detail))
}

macro_rules! caller_with_role {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub Caller);

        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
                require(parts, AccessRole::$name).map(Self)
            }
        }
    };
}

caller_with_role!(
    /// A caller that may look.
    Viewer
);
caller_with_role!(
    /// A caller that may give out tokens.
    Issuer
);
caller_with_role!(
    /// A caller that may submit, cancel, retry and remove.
    Operator
);
caller_with_role!(
    /// A caller that may manage keys.
    Admin
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_both_forms() {
        for (header, token) in [
            ("Bearer fmk_1", Some("fmk_1")),
            ("bearer  fmk_1 ", Some("fmk_1")),
            ("Basic dXNlcjpmbWtfMQ==", Some("fmk_1")),
            ("Basic OmZta18x", Some("fmk_1")),
            ("Basic !!", None),
            ("Basic dXNlcg==", None),
            ("Digest x", None),
            ("fmk_1", None),
        ] {
            assert_eq!(token_of(header).as_deref(), token, "{header}");
        }
    }
}
