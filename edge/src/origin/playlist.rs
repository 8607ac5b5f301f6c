//! What a media playlist says of its newest segment (RFC 8216). Pure, and lenient: players read more than the farm writes,
//! and a web server may have another writer's.

use jiff::Timestamp;

/// The newest segment of a playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// Target duration, milliseconds.
    pub target_ms: i64,
    /// Whether nothing follows.
    pub ended: bool,
    /// The media sequence number after the last one that is listed.
    pub next_number: u64,
    /// When the last one ends, Unix milliseconds; `None` where no times are given.
    pub ends_ms: Option<i64>,
    /// Key of the last one that is there, where its beginning can be read: no gap, not encrypted as a whole, fragmented
    /// MP4, below the playlist's own host.
    pub key: Option<String>,
}

/// What a playlist is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// A media playlist.
    Media(Newest),
    /// A multivariant playlist: it says nothing of segments.
    Multivariant,
    /// Neither.
    Unreadable,
}

/// Reads the playlist under a key.
pub fn read(key: &str, body: &[u8]) -> Text {
    let Ok(text) = std::str::from_utf8(body) else { return Text::Unreadable };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if lines.next() != Some("#EXTM3U") {
        return Text::Unreadable;
    }
    let mut newest = Newest::default();
    let mut reader = Reader::default();
    for line in lines {
        let Some(tag) = line.strip_prefix('#') else {
            if reader.address(line) {
                newest.next_number = newest.next_number.saturating_add(1);
            }
            continue;
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match name {
            "EXT-X-STREAM-INF" | "EXT-X-I-FRAME-STREAM-INF" => return Text::Multivariant,
            "EXT-X-TARGETDURATION" => newest.target_ms = value.parse::<i64>().unwrap_or(0).saturating_mul(1000),
            "EXT-X-MEDIA-SEQUENCE" => newest.next_number = value.parse().unwrap_or(0),
            "EXT-X-ENDLIST" => newest.ended = true,
            "EXT-X-GAP" => reader.gap = true,
            "EXT-X-KEY" => reader.sealed = value.contains("METHOD=AES-128"),
            "EXT-X-PROGRAM-DATE-TIME" => {
                reader.at_us = value.parse::<Timestamp>().ok().map(Timestamp::as_microsecond);
            }
            "EXTINF" => reader.micros = Some(micros(value.split(',').next().unwrap_or(value))),
            _ => {}
        }
    }
    if newest.target_ms <= 0 {
        return Text::Unreadable;
    }
    newest.ends_ms = reader.at_us.map(|us| us.div_euclid(1000));
    newest.key = reader.last.and_then(|uri| below(key, uri));
    Text::Media(newest)
}

/// What stands before the next address.
#[derive(Default)]
struct Reader<'a> {
    /// Where the next segment begins, Unix microseconds.
    at_us: Option<i64>,
    micros: Option<i64>,
    gap: bool,
    sealed: bool,
    last: Option<&'a str>,
}

impl<'a> Reader<'a> {
    /// Takes an address; returns whether it is a segment's.
    fn address(&mut self, uri: &'a str) -> bool {
        let Some(micros) = self.micros.take() else { return false };
        self.at_us = self.at_us.map(|us| us.saturating_add(micros));
        if !std::mem::take(&mut self.gap) {
            self.last = (!self.sealed).then_some(uri);
        }
        true
    }
}

/// Seconds with a fraction, as microseconds; what is no number counts as nothing.
fn micros(text: &str) -> i64 {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits: String = part.chars().chain("000000".chars()).take(6).collect();
    let whole = whole.parse::<u32>().unwrap_or(0);
    i64::from(whole) * 1_000_000 + digits.parse::<u32>().map_or(0, i64::from)
}

/// The key of an address that is relative to a playlist's; `None` for any that leads elsewhere, or to no fragmented MP4.
fn below(playlist: &str, uri: &str) -> Option<String> {
    let (mut folder, _) = playlist.rsplit_once('/')?;
    let mut rest = uri;
    while let Some(up) = rest.strip_prefix("../") {
        (folder, rest) = (folder.rsplit_once('/')?.0, up);
    }
    let key = format!("{folder}/{rest}");
    let plain = framemill_schemas::delivery::canonical(&format!("/{key}")).is_ok();
    (plain && !rest.starts_with('/') && (key.ends_with(".m4s") || key.ends_with(".mp4"))).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "live/acme/news/video-720p.m3u8";

    fn newest(text: &str) -> Newest {
        match read(KEY, format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{text}").as_bytes()) {
            Text::Media(newest) => newest,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_last_segment_and_when_it_ends() {
        let found = newest(
            "#EXT-X-MEDIA-SEQUENCE:100\n#EXT-X-MAP:URI=\"t1-0/720p/init.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-18T11:06:40.000Z\n#EXTINF:4.000000,\nt1-0/720p/100.m4s\n\
             #EXTINF:3.5,title\nt1-0/720p/101.m4s\n",
        );
        let key = Some("live/acme/news/t1-0/720p/101.m4s".to_owned());
        let ends_ms = Some(1_795_000_000_000 + 7500);
        assert_eq!(found, Newest { target_ms: 4000, ended: false, next_number: 102, ends_ms, key });
        let ended = newest("#EXTINF:4,\n1.m4s\n#EXT-X-ENDLIST\n");
        assert_eq!((ended.ended, ended.next_number, ended.ends_ms), (true, 1, None));
        assert_eq!(newest(""), Newest { target_ms: 4000, ..Newest::default() });
    }

    #[test]
    fn a_gap_counts_for_the_time_and_not_for_the_bytes() {
        let found = newest(
            "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T01:00:00+01:00\n#EXTINF:4,\n1.m4s\n#EXT-X-GAP\n#EXTINF:4,\n2.m4s\n",
        );
        assert_eq!((found.next_number, found.ends_ms), (2, Some(8000)));
        assert_eq!(found.key.as_deref(), Some("live/acme/news/1.m4s"));
    }

    #[test]
    fn only_what_lies_with_the_playlist_and_can_be_read_has_a_key() {
        for (uri, key) in [
            ("1.m4s", Some("live/acme/news/1.m4s")),
            ("../t1-0/1.m4s", Some("live/acme/t1-0/1.m4s")),
            ("../../../../1.m4s", None),
            ("/1.m4s", None),
            ("https://cdn.example/1.m4s", None),
            ("1.m4s?token=x", None),
            ("a/../../../vod/1.m4s", None),
            ("1.ts", None),
        ] {
            assert_eq!(newest(&format!("#EXTINF:4,\n{uri}\n")).key.as_deref(), key, "{uri}");
        }
        assert_eq!(newest("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:4,\n1.m4s\n").key, None);
        assert!(newest("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n#EXTINF:4,\n1.m4s\n").key.is_some());
    }

    #[test]
    fn what_is_no_media_playlist() {
        for (text, expected) in [
            ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo.m3u8\n", Text::Multivariant),
            ("#EXTM3U\n#EXTINF:4,\n1.m4s\n", Text::Unreadable),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:-4\n", Text::Unreadable),
            ("<html>", Text::Unreadable),
            ("", Text::Unreadable),
        ] {
            assert_eq!(read(KEY, text.as_bytes()), expected, "{text}");
        }
        assert_eq!(read(KEY, &[0xff, 0xfe]), Text::Unreadable);
    }
}
