//! Answers: an object or a part of it, and refusals. Pure.

use bytes::Bytes;
use framemill_storage::range::{Part, part};
use framemill_tokens::Instead;
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

use super::asked::Carriage;
pub use super::body::Body;
use crate::cache::{Answer, Object};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// For answers in which a viewer's token is.
pub const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-store");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// How an object is sent to one viewer.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How the token came; `None`: an edge asked.
    pub carriage: Option<Carriage>,
    /// How long the token is valid yet, seconds: nobody keeps what it opened for longer.
    pub valid_s: i64,
}

/// An object for whoever may have it.
pub fn object(
    method: &Method,
    headers: &HeaderMap,
    found: &Object,
    answer: &Answer,
    age_s: i64,
    terms: Terms,
) -> Response<Body> {
    let packed = found.gzip.as_ref().filter(|_| takes_gzip(headers));
    let body = packed.unwrap_or(&found.body);
    let etag = if packed.is_some() { format!("\"{}-gzip\"", found.etag) } else { format!("\"{}\"", found.etag) };
    let size = answer.arriving.as_ref().map_or(body.len(), |arriving| arriving.size()) as u64;
    // A range of a HEAD is ignored (RFC 9110, clause 14.2).
    let wanted = match part(headers, size, &etag) {
        Part::Bytes(_) | Part::Outside if method == Method::HEAD => Part::Whole,
        wanted => wanted,
    };
    let (status, sent, range) = match wanted {
        Part::NotModified => (StatusCode::NOT_MODIFIED, 0..0, None),
        Part::Whole => (StatusCode::OK, 0..size, None),
        Part::Bytes(bytes) => {
            let shown = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
            (StatusCode::PARTIAL_CONTENT, bytes, Some(shown))
        }
        Part::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0, Some(format!("bytes */{size}"))),
    };
    let at = |offset| usize::try_from(offset).expect("the body has its place in memory");
    let sent = at(sent.start)..at(sent.end);
    let length = sent.len();
    let mut response = Response::new(match &answer.arriving {
        _ if method == Method::HEAD => Body::default(),
        Some(arriving) => Body::arriving(arriving, sent),
        None => Body::from(body.slice(sent)),
    });
    *response.status_mut() = status;
    let out = response.headers_mut();
    if status != StatusCode::NOT_MODIFIED {
        out.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        out.insert(header::CONTENT_TYPE, value(&found.content_type));
    }
    if let Some(range) = range {
        out.insert(header::CONTENT_RANGE, value(&range));
    }
    if packed.is_some() && status != StatusCode::RANGE_NOT_SATISFIABLE {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if found.gzip.is_some() {
        out.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    out.insert(header::ETAG, value(&etag));
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(header::AGE, HeaderValue::from(age_s));
    let kept =
        if status == StatusCode::RANGE_NOT_SATISFIABLE { NO_STORE } else { value(&cache_control(found, age_s, terms)) };
    out.insert(header::CACHE_CONTROL, kept);
    out.insert(
        CACHE_STATUS,
        HeaderValue::from_static(match answer.served {
            crate::cache::Served::Hit => "framemill; hit",
            crate::cache::Served::Miss => "framemill; fwd=miss",
            crate::cache::Served::Stale => "framemill; hit; detail=stale",
        }),
    );
    response
}

/// How long, and by whom, it may be kept. What came for a token in a header or a cookie is the viewer's own: another one
/// asks for the same address.
///
/// `Age` counts from when the object left its origin, and whoever keeps it subtracts that.
fn cache_control(found: &Object, age_s: i64, terms: Terms) -> String {
    let scope = match terms.carriage {
        Some(carriage) if !carriage.is_in_address() => "private",
        _ => "public",
    };
    let valid_s = age_s.saturating_add(terms.valid_s.max(0));
    let max_age_s = i64::from(found.max_age_s).min(valid_s);
    if found.immutable {
        return format!("{scope}, max-age={max_age_s}, immutable");
    }
    format!("{scope}, max-age={max_age_s}, stale-if-error={}", i64::from(found.stale_s).min(terms.valid_s.max(0)))
}

/// Whether gzip may be sent (RFC 9110, clause 12.5.3).
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    let mut by_name = None;
    let mut by_star = false;
    for coding in lists.flat_map(|list| list.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let taken = !weight.trim().strip_prefix("q=").is_some_and(|q| q.trim_matches(['0', '.']).is_empty());
        match name.trim() {
            "gzip" => by_name = Some(taken),
            "*" => by_star = taken,
            _ => {}
        }
    }
    by_name.unwrap_or(by_star)
}

/// What is made for one viewer, and nobody keeps.
pub fn content(method: &Method, content_type: &'static str, body: String) -> Response<Body> {
    let length = body.len();
    let sent = if method == Method::HEAD { Bytes::new() } else { body.into() };
    let mut response = Response::new(Body::from(sent));
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    out.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    out.insert(header::CACHE_CONTROL, PRIVATE);
    response
}

/// A refusal or a fault: nobody keeps it, and it says why in one word for programs and a sentence for people.
pub fn problem(status: StatusCode, reason: &'static str, title: &'static str) -> Response<Body> {
    let body = format!(
        "{{\"type\":\"urn:framemill:problem:edge\",\"status\":{},\"title\":\"{title}\",\"reason\":\"{reason}\"}}\n",
        status.as_u16()
    );
    let mut response = Response::new(Body::from(Bytes::from(body)));
    *response.status_mut() = status;
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, PROBLEM);
    out.insert(header::CACHE_CONTROL, NO_STORE);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        out.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        out.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    }
    if status == StatusCode::UNAUTHORIZED {
        out.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A refusal as a token asks for it, which its tenant has signed. Nobody keeps it, whatever it says of that.
pub fn instead(instead: &Instead, reason: &'static str) -> Response<Body> {
    let status = StatusCode::from_u16(instead.status).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = problem(status, reason, "this token does not open this");
    for (name, text) in &instead.headers {
        response.headers_mut().insert(HeaderName::from_static(name), value(text));
    }
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// What is not there: kept for a second, since at the live edge it comes any moment.
pub fn missing(terms: Terms) -> Response<Body> {
    let mut response = problem(StatusCode::NOT_FOUND, "missing", "there is no such object");
    let public = terms.carriage.is_none_or(Carriage::is_in_address);
    let kept = if public { "public, max-age=1" } else { "private, max-age=1" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    response
}

/// Names of objects, digests and numbers are visible ASCII; anything else an origin sent is left out.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Entry, Served};

    const OPEN: Terms = Terms { carriage: None, valid_s: i64::MAX };

    fn found(immutable: bool) -> Object {
        Object {
            body: Bytes::from_static(b"0123456789"),
            gzip: (!immutable).then(|| Bytes::from_static(b"zip")),
            content_type: "video/mp4".to_owned(),
            etag: "e".to_owned(),
            max_age_s: 31_536_000,
            stale_s: 8,
            immutable,
            age_s: 0,
        }
    }

    fn sent(method: &Method, pairs: &[(&'static str, &str)], found: &Object, terms: Terms) -> (u16, HeaderMap) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        let answer = Answer::kept(Entry::new(Some(found.clone()), 0, 0), Served::Hit);
        let response = object(method, &headers, found, &answer, 0, terms);
        (response.status().as_u16(), response.headers().clone())
    }

    #[test]
    fn whole_partial_unchanged_and_outside() {
        for (method, pairs, status, length, range) in [
            (Method::GET, vec![], 200, Some("10"), None),
            (Method::HEAD, vec![], 200, Some("10"), None),
            (Method::GET, vec![("range", "bytes=2-3")], 206, Some("2"), Some("bytes 2-3/10")),
            (Method::GET, vec![("range", "bytes=10-")], 416, Some("0"), Some("bytes */10")),
            (Method::HEAD, vec![("range", "bytes=2-3")], 200, Some("10"), None),
            (Method::GET, vec![("if-none-match", "\"e\"")], 304, None, None),
            (Method::GET, vec![("if-none-match", "\"e-gzip\"")], 200, Some("10"), None),
        ] {
            let (found_status, headers) = sent(&method, &pairs, &found(true), OPEN);
            let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            assert_eq!(
                (found_status, text(header::CONTENT_LENGTH), text(header::CONTENT_RANGE)),
                (status, length, range),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn playlists_are_packed_for_whoever_takes_it() {
        for (accepted, packed) in [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip;q=0.0", false),
            ("br", false),
        ] {
            let (_, headers) = sent(&Method::GET, &[("accept-encoding", accepted)], &found(false), OPEN);
            assert_eq!(headers.contains_key(header::CONTENT_ENCODING), packed, "{accepted}");
            assert_eq!(headers[header::VARY], "accept-encoding");
            let etag = if packed { "\"e-gzip\"" } else { "\"e\"" };
            assert_eq!(headers[header::ETAG], etag, "{accepted}");
        }
    }

    #[test]
    fn what_lay_here_for_a_while_is_kept_for_as_long_as_the_token_yet() {
        let terms = Terms { carriage: Some(Carriage::Path), valid_s: 60 };
        assert_eq!(cache_control(&found(true), 1200, terms), "public, max-age=1260, immutable");
    }

    #[test]
    fn nobody_keeps_anything_for_longer_than_its_token() {
        for (carriage, valid_s, immutable, expected) in [
            (None, i64::MAX, true, "public, max-age=31536000, immutable"),
            (Some(Carriage::Path), 60, true, "public, max-age=60, immutable"),
            (Some(Carriage::Cookie), 60, true, "private, max-age=60, immutable"),
            (Some(Carriage::Header), 3, false, "private, max-age=3, stale-if-error=3"),
            (Some(Carriage::Query), -5, false, "public, max-age=0, stale-if-error=0"),
        ] {
            let (_, headers) = sent(&Method::GET, &[], &found(immutable), Terms { carriage, valid_s });
            assert_eq!(headers[header::CACHE_CONTROL], expected, "{carriage:?}");
        }
    }
}
