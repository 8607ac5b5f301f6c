//! What a web server's answer to a range request means. Pure.

use std::ops::Range;

use framemill_schemas::failure::{Class, Failure};
use reqwest::{
    StatusCode,
    header::{self, HeaderMap, HeaderName},
};

use super::fault::{self, Trouble};

/// A part of a source, as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Where the body starts.
    pub start: u64,
    /// Where it ends: perhaps before the end that was asked for.
    pub end: u64,
    /// Size of the whole.
    pub total: u64,
    /// What changes with the bytes: the entity tag, else the time of the last change, else nothing.
    pub mark: String,
}

/// Judges an answer to a request for the bytes `wanted`. `known` says that these bytes were there
/// before.
pub(super) fn judge(
    shown: &str,
    status: StatusCode,
    headers: &HeaderMap,
    wanted: &Range<u64>,
    known: bool,
) -> Result<Part, Trouble> {
    match status {
        StatusCode::PARTIAL_CONTENT => part(shown, headers, wanted),
        StatusCode::OK if text(headers, &header::CONTENT_LENGTH) != "0" => {
            Err(Trouble::last(no_ranges(shown, "it sends the whole file instead")))
        }
        StatusCode::OK if !known => Err(Trouble::last(fault::empty(shown))),
        StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PRECONDITION_FAILED if known => {
            Err(Trouble::last(fault::changed(shown)))
        }
        StatusCode::RANGE_NOT_SATISFIABLE if text(headers, &header::CONTENT_RANGE).ends_with("*/0") => {
            Err(Trouble::last(fault::empty(shown)))
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Trouble::last(fault::missing(shown))),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Trouble::last(
            Failure::input("source-forbidden", format!("the server refuses {shown} (status {})", status.as_u16()))
                .mend("a presigned address may have expired: submit one that lasts as long as the work"),
        )),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(Trouble::passing(unavailable(shown, status)))
        }
        status if status.is_server_error() => Err(Trouble::passing(unavailable(shown, status))),
        status => Err(Trouble::last(
            Failure::input("source-rejected", format!("the server answers {shown} with status {}", status.as_u16()))
                .mend("check the address with another client, asking for a byte range"),
        )),
    }
}

fn part(shown: &str, headers: &HeaderMap, wanted: &Range<u64>) -> Result<Part, Trouble> {
    let refused = |why: &str| Trouble::last(no_ranges(shown, why));
    let encoding = text(headers, &header::CONTENT_ENCODING);
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return Err(refused("it compresses them"));
    }
    let (first, last, total) = content_range(text(headers, &header::CONTENT_RANGE))
        .ok_or_else(|| refused("it does not say which bytes it sends, or how many there are"))?;
    if total == 0 {
        return Err(Trouble::last(fault::empty(shown)));
    }
    if first != wanted.start || last < first || last >= total {
        return Err(refused("it sends other bytes than it is asked for"));
    }
    let mark = match text(headers, &header::ETAG) {
        "" => text(headers, &header::LAST_MODIFIED),
        etag => etag,
    };
    Ok(Part { start: first, end: (last + 1).min(wanted.end), total, mark: mark.to_owned() })
}

/// `bytes 0-9/100` (RFC 9110, clause 14.4).
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?, total.trim().parse().ok()?))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A server that cannot be read from the middle.
pub(super) fn no_ranges(shown: &str, why: &str) -> Failure {
    Failure::input("source-no-ranges", format!("the server does not answer byte ranges of {shown}: {why}"))
        .mend("put the file on a server that does (nearly all do), or into the store, and submit that address")
}

fn unavailable(shown: &str, status: StatusCode) -> Failure {
    Failure::new(
        Class::Transient,
        "source-unavailable",
        format!("the server answers {shown} with status {}", status.as_u16()),
    )
    .mend("check the server")
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn answer(status: u16, headers: &[(HeaderName, &str)], known: bool) -> Result<Part, (String, Class, bool)> {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
        judge("https://h/x?...", StatusCode::from_u16(status).unwrap(), &headers, &(10..20), known).map_err(|trouble| {
            assert!(trouble.failure.mend.is_some());
            assert!(trouble.failure.reason.contains("https://h/x?..."));
            (trouble.failure.code, trouble.failure.class, trouble.again)
        })
    }

    #[test]
    fn a_part_is_what_was_asked_for_or_less() {
        let range = |text| [(header::CONTENT_RANGE, text), (header::LAST_MODIFIED, "then")];
        let good = Part { start: 10, end: 20, total: 100, mark: "then".to_owned() };
        assert_eq!(answer(206, &range("bytes 10-19/100"), false).unwrap(), good);
        assert_eq!(answer(206, &range("bytes 10-50/100"), false).unwrap(), good);
        assert_eq!(answer(206, &range("bytes 10-14/100"), false).unwrap(), Part { end: 15, ..good });
        for bad in ["bytes 0-19/100", "bytes 10-9/100", "bytes 10-19/*", "bytes 10-19/15", "bytes */100", "10-19", ""] {
            assert_eq!(answer(206, &range(bad), true).unwrap_err().0, "source-no-ranges", "{bad}");
        }
        let tagged =
            [(header::CONTENT_RANGE, "bytes 10-19/100"), (header::ETAG, "W/\"a\""), (header::LAST_MODIFIED, "x")];
        assert_eq!(answer(206, &tagged, false).unwrap().mark, "W/\"a\"");
        let gzip = [(header::CONTENT_RANGE, "bytes 10-19/100"), (header::CONTENT_ENCODING, "gzip")];
        assert_eq!(answer(206, &gzip, false).unwrap_err().0, "source-no-ranges");
    }

    #[test]
    fn every_other_status_has_a_class() {
        type Headers<'a> = &'a [(HeaderName, &'a str)];
        let cases: [(u16, Headers<'_>, bool, &str, Class, bool); 16] = [
            (200, &[(header::CONTENT_LENGTH, "0")], true, "source-changed", Class::Input, false),
            (200, &[(header::CONTENT_LENGTH, "0")], false, "source-empty", Class::Input, false),
            (200, &[], false, "source-no-ranges", Class::Input, false),
            (204, &[], false, "source-rejected", Class::Input, false),
            (301, &[], false, "source-rejected", Class::Input, false),
            (401, &[], false, "source-forbidden", Class::Input, false),
            (403, &[], true, "source-forbidden", Class::Input, false),
            (404, &[], true, "source-missing", Class::Input, false),
            (405, &[], false, "source-rejected", Class::Input, false),
            (408, &[], false, "source-unavailable", Class::Transient, true),
            (410, &[], false, "source-missing", Class::Input, false),
            (412, &[], true, "source-changed", Class::Input, false),
            (416, &[(header::CONTENT_RANGE, "bytes */0")], false, "source-empty", Class::Input, false),
            (416, &[(header::CONTENT_RANGE, "bytes */0")], true, "source-changed", Class::Input, false),
            (429, &[], true, "source-unavailable", Class::Transient, true),
            (503, &[], true, "source-unavailable", Class::Transient, true),
        ];
        for (status, headers, known, code, class, again) in cases {
            let found = answer(status, headers, known).unwrap_err();
            assert_eq!(found, (code.to_owned(), class, again), "{status}");
        }
    }
}
