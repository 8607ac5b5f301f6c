//! What is recorded of an object beside its bytes: standard headers and `x-amz-meta-*`.

use std::collections::HashMap;

use crate::error::StoreError;

/// What is recorded of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Media type; empty: by the key's extension.
    pub content_type: String,
    /// Cache-Control; empty: none.
    pub cache_control: String,
    /// blake3 of the bytes, hexadecimal. Set by the store when it puts; empty on objects that
    /// something else put.
    pub digest: String,
    /// Tags that a purge names: visible ASCII without commas and spaces.
    pub tags: Vec<String>,
    /// Key of the job that made it.
    pub job_key: Option<String>,
    /// A segment's index as compact JSON.
    pub index: Option<String>,
    /// Round of the job that made it.
    pub round: u32,
    /// Revision of the record that a mutable object is a copy of.
    pub revision: Option<u64>,
}

/// Most bytes of names and values together: S3 takes 2 KB, and some stores count the prefix too.
pub const META_BYTES_MAX: usize = 1900;

const DIGEST: &str = "digest";
const TAGS: &str = "tags";
const JOB_KEY: &str = "job-key";
const INDEX: &str = "index";
const ROUND: &str = "round";
const REVISION: &str = "revision";
/// A fresh value per put: tells an attempt of ours that was answered "exists" by its own earlier
/// attempt from one that lost to somebody else.
const PUT_ID: &str = "put-id";

/// Names and values as they are sent, without the `x-amz-meta-` prefix.
pub(crate) fn to_headers(
    key: &str,
    meta: &Meta,
    digest: &str,
    put_id: &str,
) -> Result<HashMap<String, String>, StoreError> {
    let fault = |why: String| StoreError::BadMeta { key: key.to_owned(), why };
    let mut headers = HashMap::new();
    headers.insert(DIGEST.to_owned(), digest.to_owned());
    headers.insert(PUT_ID.to_owned(), put_id.to_owned());
    if !meta.tags.is_empty() {
        if let Some(tag) = meta.tags.iter().find(|tag| tag.is_empty() || tag.contains([',', ' '])) {
            return Err(fault(format!("the tag {tag:?} is empty or holds a comma or a space")));
        }
        headers.insert(TAGS.to_owned(), meta.tags.join(","));
    }
    if let Some(job_key) = &meta.job_key {
        headers.insert(JOB_KEY.to_owned(), job_key.clone());
    }
    if let Some(index) = &meta.index {
        headers.insert(INDEX.to_owned(), index.clone());
    }
    if meta.round > 0 {
        headers.insert(ROUND.to_owned(), meta.round.to_string());
    }
    if let Some(revision) = meta.revision {
        headers.insert(REVISION.to_owned(), revision.to_string());
    }
    let values = headers.iter().map(|(name, value)| (name.as_str(), value));
    for (name, value) in values.chain([("content-type", &meta.content_type), ("cache-control", &meta.cache_control)]) {
        let visible = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if !visible || value.trim() != value {
            return Err(fault(format!("{name} is not visible ASCII")));
        }
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > META_BYTES_MAX {
        return Err(fault(format!("it has {bytes} bytes, more than {META_BYTES_MAX}")));
    }
    Ok(headers)
}

/// Reads what [`to_headers`] wrote. Values that make no sense read as absent: the object may have
/// been put by something else.
pub(crate) fn from_headers(
    headers: Option<&HashMap<String, String>>,
    content_type: Option<&str>,
    cache_control: Option<&str>,
) -> Meta {
    let value = |name: &str| headers.and_then(|headers| headers.get(name));
    Meta {
        content_type: content_type.unwrap_or_default().to_owned(),
        cache_control: cache_control.unwrap_or_default().to_owned(),
        digest: value(DIGEST).cloned().unwrap_or_default(),
        tags: value(TAGS).map(|tags| tags.split(',').map(str::to_owned).collect()).unwrap_or_default(),
        job_key: value(JOB_KEY).cloned(),
        index: value(INDEX).cloned(),
        round: value(ROUND).and_then(|round| round.parse().ok()).unwrap_or(0),
        revision: value(REVISION).and_then(|revision| revision.parse().ok()),
    }
}

/// The put that wrote the object; empty where something else did.
pub(crate) fn put_id(headers: Option<&HashMap<String, String>>) -> &str {
    headers.and_then(|headers| headers.get(PUT_ID)).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Meta {
        Meta {
            content_type: "video/mp4".to_owned(),
            cache_control: "no-cache".to_owned(),
            digest: "d".to_owned(),
            tags: vec!["asset:1".to_owned(), "tenant:default".to_owned()],
            job_key: Some("k".to_owned()),
            index: Some(r#"{"n":1,"k":[[0,10]]}"#.to_owned()),
            round: 2,
            revision: Some(u64::MAX),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for meta in [full(), Meta { digest: "d".to_owned(), ..Meta::default() }] {
            let headers = to_headers("key", &meta, "d", "p").unwrap();
            assert_eq!(from_headers(Some(&headers), Some(&meta.content_type), Some(&meta.cache_control)), meta);
            assert_eq!(put_id(Some(&headers)), "p");
        }
    }

    #[test]
    fn what_no_header_can_carry_is_refused() {
        let bad: [fn(&mut Meta); 7] = [
            |m| m.tags.push("a,b".to_owned()),
            |m| m.tags.push(String::new()),
            |m| m.index = Some("\n".to_owned()),
            |m| m.job_key = Some("ø".to_owned()),
            |m| m.index = Some("x".repeat(META_BYTES_MAX)),
            |m| m.content_type = "a\r\nb: c".to_owned(),
            |m| m.job_key = Some(" padded".to_owned()),
        ];
        for spoil in bad {
            let mut meta = full();
            spoil(&mut meta);
            assert!(matches!(to_headers("key", &meta, "d", "p"), Err(StoreError::BadMeta { .. })), "{meta:?}");
        }
    }
}
