//! How a viewer gets the next token of its session: the way that the last one came. Pure.

use framemill_tokens::{Renewing, RenewingWay, path_form};
use hyper::{
    HeaderMap, Response, StatusCode, Uri,
    header::{self, HeaderName, HeaderValue},
};

use super::{
    answer::{Body, PRIVATE},
    asked::{CAT_HEADER, COOKIE, Carriage, PREFIX, is_token_name},
};
use crate::folder::folder;

/// The way that a next token is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// By a redirect of this status.
    Redirect(StatusCode),
    /// In a header.
    Header,
    /// In the cookie of this name.
    Cookie(&'static str),
}

/// Takes how a token came and what it says itself; returns how the next one goes.
pub fn hand_over(carriage: Carriage, renewing: Option<Renewing>) -> HandOver {
    let way = renewing.map_or(RenewingWay::Automatic, |renewing| renewing.way);
    let status = renewing.and_then(|renewing| StatusCode::from_u16(renewing.status).ok());
    let redirect = HandOver::Redirect(status.unwrap_or(StatusCode::TEMPORARY_REDIRECT));
    let cookie = HandOver::Cookie(renewing.and_then(|renewing| renewing.cookie).unwrap_or(COOKIE));
    match (way, carriage) {
        (RenewingWay::Redirect, _) | (RenewingWay::Automatic, Carriage::Path) => redirect,
        // A cookie of the channel is not sent below another path.
        (RenewingWay::Cookie, Carriage::Path) => redirect,
        (RenewingWay::Header, _) | (RenewingWay::Automatic, Carriage::Header) => HandOver::Header,
        (RenewingWay::Cookie, _) | (RenewingWay::Automatic, Carriage::Query | Carriage::Cookie) => cookie,
    }
}

/// Leads a player on to the same address with the next token in it, so that relative addresses in what it finds there
/// carry that one. The rest of its query goes with it.
pub fn redirect(status: StatusCode, token: &str, path: &str, uri: &Uri) -> Response<Body> {
    let location = address(token, path, uri);
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    if let Some(location) = sensitive(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, PRIVATE);
    response
}

/// An address with a token in its path, and what was asked beside a token.
pub fn address(token: &str, path: &str, uri: &Uri) -> String {
    let mut location = format!("{PREFIX}{}{path}", path_form(token));
    let kept = uri.query().unwrap_or_default().split('&').filter(|pair| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        !pair.is_empty() && !is_token_name(name)
    });
    for (place, pair) in kept.enumerate() {
        location.push(if place == 0 { '?' } else { '&' });
        location.push_str(pair);
    }
    location
}

/// Adds the next token to an answer, for a player that sends headers.
pub fn in_header(token: &str, headers: &mut HeaderMap) {
    if let Some(token) = sensitive(token) {
        headers.insert(HeaderName::from_static(CAT_HEADER), token);
    }
}

/// Adds the next token to an answer as a cookie of the channel or title.
pub fn in_cookie(name: &str, token: &str, path: &str, valid_s: i64, secure: bool, headers: &mut HeaderMap) {
    let folder = cookie_path(path);
    let more = if secure { "; Secure; SameSite=None; Partitioned" } else { "; SameSite=Lax" };
    let token = path_form(token);
    let cookie = format!("{name}={token}; Path={folder}; Max-Age={valid_s}; HttpOnly{more}");
    if let Some(cookie) = sensitive(&cookie) {
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// The folder of a channel or title: `/live/acme/news`.
fn cookie_path(path: &str) -> &str {
    path.strip_prefix('/').and_then(folder).map_or(path, |folder| &path[..=folder.len()])
}

/// A value that is never printed.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_for_the_channel_or_title() {
        for (path, expected) in [
            ("/live/acme/news/video.m3u8", "/live/acme/news"),
            ("/vod/acme/x/g1-00c0ffee/720p/7.m4s", "/vod/acme/x"),
            ("/live/acme", "/live/acme"),
        ] {
            assert_eq!(cookie_path(path), expected, "{path}");
        }
    }

    #[test]
    fn a_player_is_led_on_with_the_rest_of_its_query() {
        let path = "/live/acme/news/video.m3u8";
        for (query, rest) in [
            ("", ""),
            ("?", ""),
            ("?token=old", ""),
            ("?_HLS_msn=7&CAT=old&_HLS_part=2", "?_HLS_msn=7&_HLS_part=2"),
            ("?a&&token=x&token", "?a"),
        ] {
            let response =
                redirect(StatusCode::TEMPORARY_REDIRECT, "new", path, &format!("/t/old{path}{query}").parse().unwrap());
            assert_eq!(response.status(), 307);
            assert_eq!(response.headers()[header::LOCATION], format!("/t/new{path}{rest}"), "{query}");
            assert_eq!(response.headers()[header::CACHE_CONTROL], "private, no-store");
            assert!(!format!("{:?}", response.headers()).contains("new"), "a token is not printed");
        }
    }

    #[test]
    fn a_token_says_how_the_next_one_is_handed_over_or_it_goes_as_it_came() {
        use RenewingWay::{Automatic, Cookie, Header, Redirect};
        let says = |way, cookie, status| Some(Renewing { way, add_s: 60, deadline_s: None, cookie, status });
        let redirect = HandOver::Redirect(StatusCode::TEMPORARY_REDIRECT);
        for (carriage, renewing, expected) in [
            (Carriage::Path, None, redirect),
            (Carriage::Query, None, HandOver::Cookie(COOKIE)),
            (Carriage::Cookie, None, HandOver::Cookie(COOKIE)),
            (Carriage::Header, None, HandOver::Header),
            (Carriage::Path, says(Automatic, None, 303), HandOver::Redirect(StatusCode::SEE_OTHER)),
            (Carriage::Query, says(Automatic, Some("a"), 307), HandOver::Cookie("a")),
            (Carriage::Path, says(Cookie, Some("a"), 307), redirect),
            (Carriage::Header, says(Cookie, Some("a"), 307), HandOver::Cookie("a")),
            (Carriage::Cookie, says(Header, None, 307), HandOver::Header),
            (Carriage::Header, says(Redirect, None, 307), redirect),
        ] {
            assert_eq!(hand_over(carriage, renewing), expected, "{carriage:?} {renewing:?}");
        }
    }
}
