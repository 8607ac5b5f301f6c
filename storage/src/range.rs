//! Conditional and ranged requests (RFC 9110, clauses 13 and 14), as far as media players use
//! them: one byte range, `If-None-Match`, `If-Range` with an entity tag. Pure.

use std::ops::Range;

use hyper::{HeaderMap, header};

/// What part of an object a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The client has it already.
    NotModified,
    /// All of it.
    Whole,
    /// These bytes.
    Bytes(Range<u64>),
    /// Bytes it does not have.
    Outside,
}

/// Decides from a request's headers, the object's size and its quoted entity tag.
pub fn part(headers: &HeaderMap, size: u64, etag: &str) -> Part {
    if headers.get_all(header::IF_NONE_MATCH).iter().any(|value| value.to_str().is_ok_and(|list| lists(list, etag))) {
        return Part::NotModified;
    }
    // A range of another version would be glued to the wrong rest. Dates are not compared: the
    // whole object is always a right answer.
    if headers.get(header::IF_RANGE).is_some_and(|value| value.to_str().ok() != Some(etag)) {
        return Part::Whole;
    }
    let Some(spec) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else { return Part::Whole };
    read_range(spec, size).unwrap_or(Part::Whole)
}

/// Whether a list of entity tags has this one; tags are compared weakly.
fn lists(list: &str, etag: &str) -> bool {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.trim() == "*" || list.split(',').any(|tag| plain(tag) == plain(etag))
}

/// `bytes=a-b`, `bytes=a-` or `bytes=-n`. Anything else, several ranges too, is ignored, as the
/// standard allows.
fn read_range(spec: &str, size: u64) -> Option<Part> {
    let (first, last) = spec.strip_prefix("bytes=")?.trim().split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return None;
    }
    if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        return Some(if suffix == 0 || size == 0 { Part::Outside } else { Part::Bytes(size - suffix.min(size)..size) });
    }
    let start: u64 = first.parse().ok()?;
    let end = if last.is_empty() { size } else { last.parse::<u64>().ok()?.saturating_add(1).min(size) };
    if !last.is_empty() && last.parse::<u64>().ok()? < start {
        return None;
    }
    Some(if start >= size { Part::Outside } else { Part::Bytes(start..end) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_request_gets_its_part() {
        for (pairs, expected) in [
            (vec![], Part::Whole),
            (vec![("range", "bytes=0-0")], Part::Bytes(0..1)),
            (vec![("range", "bytes=10-19")], Part::Bytes(10..20)),
            (vec![("range", "bytes=10-")], Part::Bytes(10..100)),
            (vec![("range", "bytes=90-500")], Part::Bytes(90..100)),
            (vec![("range", "bytes=-10")], Part::Bytes(90..100)),
            (vec![("range", "bytes=-500")], Part::Bytes(0..100)),
            (vec![("range", "bytes=-0")], Part::Outside),
            (vec![("range", "bytes=100-")], Part::Outside),
            (vec![("range", "bytes=20-10")], Part::Whole),
            (vec![("range", "bytes=0-1,5-6")], Part::Whole),
            (vec![("range", "lines=1-2")], Part::Whole),
            (vec![("range", "bytes=-")], Part::Whole),
            (vec![("range", "bytes=99999999999999999999-")], Part::Whole),
            (vec![("if-none-match", "\"e\"")], Part::NotModified),
            (vec![("if-none-match", "\"x\", W/\"e\"")], Part::NotModified),
            (vec![("if-none-match", "*")], Part::NotModified),
            (vec![("if-none-match", "\"x\"")], Part::Whole),
            (vec![("range", "bytes=0-0"), ("if-range", "\"e\"")], Part::Bytes(0..1)),
            (vec![("range", "bytes=0-0"), ("if-range", "\"x\"")], Part::Whole),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &pairs {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(part(&headers, 100, "\"e\""), expected, "{pairs:?}");
        }
    }
}
