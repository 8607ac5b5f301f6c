//! Tags for a cache in front that purges by them: a header that it reads, and keeps to itself. Pure.
//!
//! Only proxies that are trusted get it. A viewer who comes directly never sees one; one behind such a proxy sees what
//! that lets through.

use framemill_schemas::delivery::tags_of;
use hyper::{
    HeaderMap, StatusCode,
    header::{HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};

/// Which header the cache in front reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TagHeader {
    /// Varnish with its module of that name; a space between tags.
    #[serde(rename = "xkey")]
    Xkey,
    /// Fastly; a space between tags.
    #[serde(rename = "Surrogate-Key")]
    SurrogateKey,
    /// Cloudflare; a comma between tags.
    #[serde(rename = "Cache-Tag")]
    CacheTag,
}

impl TagHeader {
    const fn name(self) -> HeaderName {
        match self {
            Self::Xkey => HeaderName::from_static("xkey"),
            Self::SurrogateKey => HeaderName::from_static("surrogate-key"),
            Self::CacheTag => HeaderName::from_static("cache-tag"),
        }
    }

    const fn separator(self) -> &'static str {
        match self {
            Self::Xkey | Self::SurrogateKey => " ",
            Self::CacheTag => ",",
        }
    }

    /// Adds the tags of an object to what is answered of it: that it is not there is kept too. Refusals are kept by
    /// nobody.
    pub fn add(self, key: &str, status: StatusCode, headers: &mut HeaderMap) {
        let is_kept = status.is_success() || matches!(status, StatusCode::NOT_MODIFIED | StatusCode::NOT_FOUND);
        if !is_kept {
            return;
        }
        let tags = tags_of(key).join(self.separator());
        // Tags are visible ASCII; a key that this farm does not write has none.
        if let Some(value) = HeaderValue::try_from(tags).ok().filter(|value| !value.is_empty()) {
            headers.insert(self.name(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cache_gets_tags_as_it_reads_them() {
        let key = "live/acme/news/master.m3u8";
        let spaced = "object:live/acme/news/master.m3u8 tenant:acme channel:acme/news";
        for (name, header, key, status, expected) in [
            ("xkey", TagHeader::Xkey, key, 200, Some(spaced.to_owned())),
            ("surrogate-key", TagHeader::SurrogateKey, key, 404, Some(spaced.to_owned())),
            ("cache-tag", TagHeader::CacheTag, key, 304, Some(spaced.replace(' ', ","))),
            ("xkey", TagHeader::Xkey, key, 403, None),
            ("xkey", TagHeader::Xkey, key, 502, None),
            ("xkey", TagHeader::Xkey, "live/x", 404, None),
        ] {
            let mut headers = HeaderMap::new();
            header.add(key, StatusCode::from_u16(status).unwrap(), &mut headers);
            let found = headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(found, expected, "{header:?} {key} {status}");
        }
        assert_eq!(serde_json::to_string(&TagHeader::CacheTag).unwrap(), "\"Cache-Tag\"");
    }
}
