//! Which conditions of a request hold (RFC 9110, clause 13). Pure.

use std::time::SystemTime;

use s3s::dto::{ETag, ETagCondition, Timestamp};

/// What a conditional read comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Send it.
    Send,
    /// 304: the client has it.
    NotModified,
    /// 412.
    Unmet,
}

/// Conditions of a GET or HEAD.
#[derive(Default)]
pub struct ReadConditions<'a> {
    /// If-Match.
    pub matching: Option<&'a ETagCondition>,
    /// If-None-Match.
    pub none_matching: Option<&'a ETagCondition>,
    /// If-Modified-Since.
    pub modified_since: Option<&'a Timestamp>,
    /// If-Unmodified-Since.
    pub unmodified_since: Option<&'a Timestamp>,
}

/// Decides a read of an object; a tag goes before a date.
pub fn read(conditions: &ReadConditions<'_>, etag: &str, modified: SystemTime) -> Reading {
    let modified = Timestamp::from(whole_seconds(modified));
    let fresh = match (conditions.matching, conditions.unmodified_since) {
        (Some(condition), _) => holds(condition, etag),
        (None, Some(since)) => modified <= *since,
        (None, None) => true,
    };
    if !fresh {
        return Reading::Unmet;
    }
    let known = match (conditions.none_matching, conditions.modified_since) {
        (Some(condition), _) => holds(condition, etag),
        (None, Some(since)) => modified <= *since,
        (None, None) => false,
    };
    if known { Reading::NotModified } else { Reading::Send }
}

/// Whether a write may take place over what is stored under its name now.
pub fn may_write(
    matching: Option<&ETagCondition>,
    none_matching: Option<&ETagCondition>,
    stored: Option<&str>,
) -> bool {
    matching.is_none_or(|condition| stored.is_some_and(|etag| holds(condition, etag)))
        && none_matching.is_none_or(|condition| stored.is_none_or(|etag| !holds(condition, etag)))
}

fn holds(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(ETag::Strong(wanted)) => wanted == etag,
        ETagCondition::ETag(ETag::Weak(_)) => false,
    }
}

/// Dates in HTTP have no fractions.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tag(text: &str) -> ETagCondition {
        ETagCondition::ETag(ETag::Strong(text.to_owned()))
    }

    #[test]
    fn writes() {
        let (any, a) = (ETagCondition::Any, tag("a"));
        let cases = [
            (None, None, None, true),
            (None, None, Some("a"), true),
            (None, Some(&any), None, true),
            (None, Some(&any), Some("a"), false),
            (None, Some(&a), Some("a"), false),
            (None, Some(&a), Some("b"), true),
            (Some(&a), None, Some("a"), true),
            (Some(&a), None, Some("b"), false),
            (Some(&a), None, None, false),
            (Some(&any), None, None, false),
        ];
        for (matching, none_matching, stored, expected) in cases {
            assert_eq!(
                may_write(matching, none_matching, stored),
                expected,
                "{matching:?} {none_matching:?} {stored:?}"
            );
        }
    }

    #[test]
    fn reads() {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(10_500);
        let at = |s| Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        let (a, b, t9, t10) = (tag("a"), tag("b"), at(9), at(10));
        let cases = [
            (ReadConditions::default(), Reading::Send),
            (ReadConditions { none_matching: Some(&a), ..Default::default() }, Reading::NotModified),
            (ReadConditions { none_matching: Some(&b), ..Default::default() }, Reading::Send),
            (ReadConditions { matching: Some(&b), ..Default::default() }, Reading::Unmet),
            (
                ReadConditions { matching: Some(&a), none_matching: Some(&a), ..Default::default() },
                Reading::NotModified,
            ),
            (ReadConditions { modified_since: Some(&t10), ..Default::default() }, Reading::NotModified),
            (ReadConditions { modified_since: Some(&t9), ..Default::default() }, Reading::Send),
            (ReadConditions { unmodified_since: Some(&t9), ..Default::default() }, Reading::Unmet),
            (ReadConditions { unmodified_since: Some(&t10), ..Default::default() }, Reading::Send),
            (
                ReadConditions { none_matching: Some(&b), modified_since: Some(&t10), ..Default::default() },
                Reading::Send,
            ),
        ];
        for (index, (conditions, expected)) in cases.into_iter().enumerate() {
            assert_eq!(read(&conditions, "a", modified), expected, "case {index}");
        }
    }
}
