//! Which pages may read answers (the Fetch standard's CORS protocol). Pure.

use hyper::{
    HeaderMap,
    header::{self, HeaderValue},
};

/// Request headers that players send.
const ALLOWED: &str = "range, authorization, cta-common-access-token, if-none-match, if-range, content-type, cmcd-object, \
                       cmcd-request, cmcd-session, cmcd-status";
/// Answer headers that players read.
const EXPOSED: &str = "content-length, content-range, etag, date, age, cache-status, retry-after, \
                       cta-common-access-token";
/// How long a browser remembers what it was told, seconds.
const REMEMBER_S: &str = "7200";

/// The pages.
#[derive(Clone, Debug)]
pub enum Cors {
    /// Any page, without cookies.
    Any,
    /// These, with cookies.
    These(Vec<String>),
}

impl Cors {
    /// Takes the configuration's list.
    pub fn new(origins: &[String]) -> Self {
        if origins.iter().any(|origin| origin == "*") { Self::Any } else { Self::These(origins.to_vec()) }
    }

    /// Adds what an answer to a page says.
    pub fn add(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        match self {
            Self::Any => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Self::These(all) => {
                headers.append(header::VARY, HeaderValue::from_static("origin"));
                let Some(origin) = origin.filter(|origin| all.iter().any(|own| own.as_bytes() == origin.as_bytes()))
                else {
                    return;
                };
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }

    /// Adds what the answer to a preflight says.
    pub fn add_preflight(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        self.add(origin, headers);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBER_S));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_are_named_may_read_with_cookies_and_others_not() {
        let page = HeaderValue::from_static("https://tv.example");
        let other = HeaderValue::from_static("https://evil.example");
        let named = Cors::new(&["https://tv.example".to_owned()]);
        for (cors, origin, allowed, cookies) in [
            (Cors::new(&["*".to_owned()]), Some(&other), Some("*"), false),
            (Cors::new(&["*".to_owned()]), None, Some("*"), false),
            (named.clone(), Some(&page), Some("https://tv.example"), true),
            (named.clone(), Some(&other), None, false),
            (named, None, None, false),
            (Cors::new(&[]), Some(&page), None, false),
        ] {
            let mut headers = HeaderMap::new();
            cors.add(origin, &mut headers);
            let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            assert_eq!(text(header::ACCESS_CONTROL_ALLOW_ORIGIN), allowed, "{cors:?} {origin:?}");
            assert_eq!(text(header::ACCESS_CONTROL_ALLOW_CREDENTIALS).is_some(), cookies, "{cors:?} {origin:?}");
        }
    }
}
