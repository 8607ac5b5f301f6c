//! What a request asks for: the one path, and the tokens it shows. Pure.

use framemill_schemas::delivery::{PathError, canonical};
use hyper::{HeaderMap, Uri, header};

/// Where a token may stand in a query.
const QUERY: [&str; 2] = ["token", "CAT"];
/// The header of a Common Access Token (CTA-5007).
pub const CAT_HEADER: &str = "cta-common-access-token";
/// The cookie.
pub const COOKIE: &str = "framemill-token";
/// The cookie's name where a Common Access Token says so.
pub const CAT_COOKIE: &str = "CTA-Common-Access-Token";
/// What a path begins with that has a token in it.
pub const PREFIX: &str = "/t/";
/// What an address begins with that asks for the way to the best edge.
pub const ROUTE: &str = "/route";
/// Longest address with its query.
const URI_CHARS_MAX: usize = 8192;
/// Longest part of a path: no object has a longer one in its name, and stores have bounds of their own.
const PART_CHARS_MAX: usize = 200;
/// Tokens of one request that are looked at.
const TOKENS_MAX: usize = 4;

/// Whether a token may stand under this name in a query.
pub fn is_token_name(name: &str) -> bool {
    QUERY.contains(&name)
}

/// How a token came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carriage {
    /// `/t/<token>/live/...`.
    Path,
    /// `?token=`, `?CAT=`.
    Query,
    /// `Authorization: Bearer`, `CTA-Common-Access-Token`.
    Header,
    /// The cookie.
    Cookie,
}

impl Carriage {
    /// Whether the token is part of the address, so that caches in between keep viewers apart by themselves.
    pub const fn is_in_address(self) -> bool {
        matches!(self, Self::Path | Self::Query)
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The path in its plain form, with a slash at its beginning and without a token.
    pub path: &'a str,
    /// Whether the way to it is asked for, and not the object itself.
    pub routed: bool,
    /// The tokens that are shown, in the order in which they are looked at.
    pub tokens: Vec<(Carriage, &'a str)>,
}

impl Asked<'_> {
    /// The key of the object.
    pub fn key(&self) -> &str {
        self.path.strip_prefix('/').unwrap_or(self.path)
    }
}

/// Reads a request's address and headers.
///
/// # Errors
/// A path that is not plain, or an address that is too long.
pub fn read<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Asked<'a>, PathError> {
    if uri.path().len() + uri.query().map_or(0, str::len) > URI_CHARS_MAX {
        return Err(PathError::NotPlain);
    }
    let mut tokens = Vec::new();
    let behind = uri.path().strip_prefix(ROUTE).filter(|path| path.starts_with('/'));
    let path = behind.unwrap_or(uri.path());
    let path = match path.strip_prefix(PREFIX) {
        None => path,
        Some(rest) => {
            let at = rest.find('/').ok_or(PathError::NotPlain)?;
            tokens.push((Carriage::Path, &rest[..at]));
            &rest[at..]
        }
    };
    let path = canonical(path)?;
    if path.split('/').any(|part| part.len() > PART_CHARS_MAX) {
        return Err(PathError::NotPlain);
    }
    let text = |name| headers.get_all(name).iter().filter_map(|value: &header::HeaderValue| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION.as_str()).filter_map(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    tokens.extend(bearer.chain(text(CAT_HEADER)).map(|token| (Carriage::Header, token)));
    let query = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    tokens.extend(query.filter(|(name, _)| is_token_name(name)).map(|(_, token)| (Carriage::Query, token)));
    let cookies =
        text(header::COOKIE.as_str()).flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    tokens.extend(
        cookies
            .filter(|(name, _)| [COOKIE, CAT_COOKIE].contains(&name.trim()))
            .map(|(_, token)| (Carriage::Cookie, token.trim())),
    );
    tokens.truncate(TOKENS_MAX);
    Ok(Asked { path, routed: behind.is_some(), tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str, pairs: &[(&'static str, &str)]) -> Result<(String, Vec<(Carriage, String)>), PathError> {
        let uri: Uri = uri.parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        let asked = read(&uri, &headers)?;
        Ok((asked.path.to_owned(), asked.tokens.into_iter().map(|(way, token)| (way, token.to_owned())).collect()))
    }

    #[test]
    fn a_token_comes_in_many_ways_and_is_gone_from_the_path() {
        let path = "/live/acme/news/master.m3u8";
        for (uri, pairs, tokens) in [
            (path.to_owned(), vec![], vec![]),
            (format!("/t/abc{path}"), vec![], vec![(Carriage::Path, "abc")]),
            (format!("{path}?token=abc&_HLS_msn=1"), vec![], vec![(Carriage::Query, "abc")]),
            (format!("{path}?x=1&CAT=abc"), vec![], vec![(Carriage::Query, "abc")]),
            (format!("{path}?Token=abc"), vec![], vec![]),
            (path.to_owned(), vec![("authorization", "Bearer abc")], vec![(Carriage::Header, "abc")]),
            (path.to_owned(), vec![("authorization", "bearer  abc")], vec![(Carriage::Header, "abc")]),
            (path.to_owned(), vec![("authorization", "Basic abc")], vec![]),
            (path.to_owned(), vec![("cta-common-access-token", "abc")], vec![(Carriage::Header, "abc")]),
            (path.to_owned(), vec![("cookie", "a=b; framemill-token=abc")], vec![(Carriage::Cookie, "abc")]),
            (path.to_owned(), vec![("cookie", "CTA-Common-Access-Token=abc")], vec![(Carriage::Cookie, "abc")]),
            (
                format!("/t/abc{path}?token=def"),
                vec![("cookie", "framemill-token=ghi")],
                vec![(Carriage::Path, "abc"), (Carriage::Query, "def"), (Carriage::Cookie, "ghi")],
            ),
        ] {
            let expected = tokens.into_iter().map(|(way, token)| (way, token.to_owned())).collect();
            assert_eq!(asked(&uri, &pairs), Ok((path.to_owned(), expected)), "{uri}");
        }
    }

    #[test]
    fn what_is_not_plain_is_refused_behind_a_token_too() {
        for bad in [
            "/live//x",
            "/live/%2e%2e/x",
            "/live/a;b",
            "/t/abc",
            "/t/abc/",
            "/t/abc//live/x",
            "/t/abc/live/../x",
            "/t//live/acme/%2Fx",
            "/live/x/",
        ] {
            assert_eq!(asked(bad, &[]), Err(PathError::NotPlain), "{bad}");
        }
        assert_eq!(asked("/metrics", &[]), Err(PathError::NotOurs));
        assert_eq!(asked("/t/abc/metrics", &[]), Err(PathError::NotOurs));
        let long = format!("/live/x?token={}", "a".repeat(URI_CHARS_MAX));
        assert!(asked(&long, &[]).is_err());
    }

    #[test]
    fn the_way_to_an_object_is_asked_for_as_the_object_is() {
        for (uri, routed) in [
            ("/live/x/master.m3u8", false),
            ("/route/live/x/master.m3u8", true),
            ("/route/t/abc/live/x/master.m3u8", true),
        ] {
            let uri: Uri = uri.parse().unwrap();
            let headers = HeaderMap::new();
            let asked = read(&uri, &headers).unwrap();
            assert_eq!((asked.path, asked.routed), ("/live/x/master.m3u8", routed), "{uri}");
        }
        for bad in ["/route", "/route/", "/routes/live/x", "/route/route/live/x", "/t/abc/route/live/x"] {
            assert!(asked(bad, &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_request_shows_more_tokens_than_are_looked_at() {
        let many: Vec<_> = (0..50).map(|_| ("authorization", "Bearer abc")).collect();
        assert_eq!(asked("/live/x", &many).unwrap().1.len(), TOKENS_MAX);
    }
}
