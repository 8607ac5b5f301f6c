//! What a browser may have been tricked into: pure checks on `Host`, `Origin` and
//! `Sec-Fetch-Site`.
//!
//! On loopback no key is asked for, because whoever can reach it sits at the machine. A browser on
//! that machine can reach it too, and runs the code of every page that is open in it. Two tricks
//! follow, and each has its check:
//!
//! * *DNS rebinding*: a page from `evil.example` makes its own name resolve to 127.0.0.1 and then
//!   reads this API as "its own" site. The browser still sends `Host: evil.example`, so a listener
//!   that needs no key answers only to names of this machine.
//! * *Cross-site requests*: any page may send a POST anywhere, only the answer is kept from it; that
//!   is enough to submit or remove. Browsers say where a request comes from (`Sec-Fetch-Site`, and
//!   `Origin` in older ones), so what changes something must come from this very site, or from
//!   no page at all: commands and scripts send neither header.

use axum::http::{HeaderMap, Method, header, uri::Authority};

/// Headers a proxy adds: the caller behind it is not whom the connection comes from.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// Whether the request went through a proxy, which makes every caller look like this machine.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(*name))
}

/// Whether `Host` names this machine's loopback.
pub fn is_loopback_host(headers: &HeaderMap) -> bool {
    let Some(host) = host(headers) else { return false };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a page of another site may have caused this request to change something.
pub fn is_cross_site(method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    let same = host(headers).zip(authority).is_some_and(|(host, origin)| host.as_str().eq_ignore_ascii_case(origin));
    !same
}

/// The only `Host`; none where there are two, since then each reader may pick another.
fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut all = headers.get_all(header::HOST).iter();
    let host = all.next()?;
    if all.next().is_some() {
        return None;
    }
    host.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for good in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:80", "127.9.9.9:1", "[::1]:8080", "[::1]"] {
            assert!(is_loopback_host(&headers(&[("host", good)])), "{good}");
        }
        for bad in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.0.1", "[::2]", "", "0.0.0.0"]
        {
            assert!(!is_loopback_host(&headers(&[("host", bad)])), "{bad}");
        }
        assert!(!is_loopback_host(&headers(&[])));
        assert!(!is_loopback_host(&headers(&[("host", "localhost"), ("host", "evil.example")])));
    }

    #[test]
    fn what_changes_something_comes_from_here_or_from_no_page() {
        let host = ("host", "localhost:8080");
        for (method, pairs, cross) in [
            (Method::POST, vec![host], false),
            (Method::POST, vec![host, ("sec-fetch-site", "same-origin")], false),
            (Method::POST, vec![host, ("sec-fetch-site", "none")], false),
            (Method::POST, vec![host, ("sec-fetch-site", "cross-site")], true),
            (Method::DELETE, vec![host, ("sec-fetch-site", "same-site")], true),
            (Method::GET, vec![host, ("sec-fetch-site", "cross-site")], false),
            (Method::POST, vec![host, ("origin", "http://localhost:8080")], false),
            (Method::POST, vec![host, ("origin", "http://localhost:8081")], true),
            (Method::POST, vec![host, ("origin", "https://evil.example")], true),
            (Method::POST, vec![host, ("origin", "null")], true),
            (Method::POST, vec![("origin", "http://localhost:8080")], true),
            // The newer header is the one a page cannot influence.
            (Method::POST, vec![host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "cross-site")], true),
        ] {
            assert_eq!(is_cross_site(&method, &headers(&pairs)), cross, "{method} {pairs:?}");
        }
    }

    #[test]
    fn proxies_are_recognised() {
        assert!(is_forwarded(&headers(&[("x-forwarded-for", "10.0.0.1")])));
        assert!(!is_forwarded(&headers(&[("host", "localhost")])));
    }
}
