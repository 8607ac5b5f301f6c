//! What is kept of an object beside its bytes: how long it is fresh, and its compressed form.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use framemill_schemas::object::content_type;

use crate::cache::Object;

/// Longest that a playlist or manifest is taken for fresh, whatever its origin says.
const FRESH_S_MAX: u32 = 30;
/// How long one is, when its origin says nothing.
const FRESH_S: u32 = 1;
/// How long the manifests of a title are shown when no origin answers: what they name never changes.
const STALE_TITLE_S: u32 = 24 * 3600;
/// The same of a channel, when it does not say its target duration; longer, and players would take it for stuck.
const STALE_LIVE_S: u32 = 12;
/// Smallest text that is worth compressing.
const GZIP_BYTES_MIN: usize = 256;

/// Takes what an origin sent; returns what is kept. `cache_control` is the origin's.
pub fn object(key: &str, body: Bytes, etag: String, cache_control: &str) -> Object {
    let immutable = cache_control.split(',').any(|word| word.trim() == "immutable");
    let told_s = cache_control.split(',').find_map(|word| word.trim().strip_prefix("max-age=")?.parse::<u32>().ok());
    Object {
        gzip: is_text(key).then(|| gzip(&body)).flatten(),
        content_type: content_type(key).to_owned(),
        etag,
        max_age_s: if immutable { told_s.unwrap_or(u32::MAX) } else { told_s.unwrap_or(FRESH_S).min(FRESH_S_MAX) },
        stale_s: match key.starts_with("live/") {
            true => target_duration_s(&body).map_or(STALE_LIVE_S, |target_s| target_s.saturating_mul(2)),
            false => STALE_TITLE_S,
        },
        immutable,
        age_s: 0,
        body,
    }
}

/// Whether what is under a key is a playlist or a manifest: small, and soon another.
pub fn is_text(key: &str) -> bool {
    key.ends_with(".m3u8") || key.ends_with(".mpd")
}

/// The target duration of a media playlist (RFC 8216, clause 4.3.3.1).
fn target_duration_s(body: &[u8]) -> Option<u32> {
    const TAG: &[u8] = b"#EXT-X-TARGETDURATION:";
    let head = &body[..body.len().min(1024)];
    let at = head.windows(TAG.len()).position(|window| window == TAG)? + TAG.len();
    let digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&head[at..at + digits]).ok()?.parse().ok()
}

/// The compressed form, where it is smaller.
pub fn gzip(body: &[u8]) -> Option<Bytes> {
    if body.len() < GZIP_BYTES_MIN {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::new(6));
    encoder.write_all(body).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < body.len()).then(|| compressed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_something_is_fresh_follows_from_what_it_is() {
        for (key, body, cache_control, expected) in [
            ("live/a/n/video-1.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n", "public, max-age=1", (1, 8, false)),
            ("live/a/n/master.m3u8", "#EXTM3U\n", "public, max-age=1", (1, STALE_LIVE_S, false)),
            ("live/a/n/master.m3u8", "#EXTM3U\n", "", (FRESH_S, STALE_LIVE_S, false)),
            ("live/a/n/master.m3u8", "#EXTM3U\n", "max-age=99999", (FRESH_S_MAX, STALE_LIVE_S, false)),
            ("vod/a/x/master.m3u8", "#EXTM3U\n", "public, max-age=5", (5, STALE_TITLE_S, false)),
            ("vod/a/x/g1-0/1/1.m4s", "", "public, max-age=31536000, immutable", (31_536_000, STALE_TITLE_S, true)),
        ] {
            let kept = object(key, Bytes::from(body), "e".to_owned(), cache_control);
            assert_eq!((kept.max_age_s, kept.stale_s, kept.immutable), expected, "{key} {cache_control}");
        }
    }

    #[test]
    fn playlists_are_compressed_where_it_helps_and_media_is_not() {
        let text = Bytes::from("#EXTM3U\n".repeat(100));
        assert!(object("live/a/n/x.m3u8", text.clone(), String::new(), "").gzip.unwrap().len() < 100);
        assert!(object("live/a/n/x.m3u8", Bytes::from("#EXTM3U\n"), String::new(), "").gzip.is_none());
        assert!(object("live/a/n/t1-0/1/1.m4s", text, String::new(), "").gzip.is_none());
    }
}
