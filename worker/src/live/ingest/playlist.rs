//! What an HLS playlist says of the segments to fetch next (RFC 8216). Pure.

use framemill_schemas::failure::Failure;
use m3u8_rs::{MediaPlaylist, MediaSegment, Playlist};
use reqwest::Url;

/// Segments before the end of the playlist at which reading begins.
const BEGIN_BEHIND: usize = 3;

/// A playlist that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Read {
    /// It names others: this one is to be read.
    Variant(Url),
    /// It names segments.
    Segments(Listed),
}

/// The segments of a playlist.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listed {
    /// Those that are to be fetched, in order.
    pub next: Vec<Piece>,
    /// Sequence number behind the last of the playlist.
    pub end: u64,
    /// Longest a segment is, seconds.
    pub target_s: u64,
    /// Whether nothing follows.
    pub ended: bool,
}

/// A segment to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where.
    pub url: Url,
    /// Its initialisation segment, where it is a fragment of an MP4.
    pub init: Option<Url>,
}

/// Reads a playlist that was at `url`. `from`: the sequence number to go on with; nothing to begin near
/// the end.
pub(super) fn read(shown: &str, url: &Url, bytes: &[u8], from: Option<u64>) -> Result<Read, Failure> {
    let refused = |why: &str| Failure::input("source-not-hls", format!("{shown}: {why}"));
    let playlist = m3u8_rs::parse_playlist_res(bytes).map_err(|_| refused("what is there is no HLS playlist"))?;
    match playlist {
        Playlist::MasterPlaylist(master) => {
            let variants = master.variants.iter().filter(|variant| !variant.is_i_frame);
            let best =
                variants.max_by_key(|variant| variant.bandwidth).ok_or_else(|| refused("it names no variant"))?;
            Ok(Read::Variant(joined(url, &best.uri).ok_or_else(|| refused("a variant has no address"))?))
        }
        Playlist::MediaPlaylist(media) => segments(url, &media, from).map(Read::Segments).map_err(refused),
    }
}

fn segments(url: &Url, media: &MediaPlaylist, from: Option<u64>) -> Result<Listed, &'static str> {
    let start = media.media_sequence;
    let end = start + media.segments.len() as u64;
    let near_end = media.segments.len().saturating_sub(BEGIN_BEHIND);
    // One whose numbers begin again is another one.
    let from = from.filter(|from| *from <= end).map_or(near_end, |from| from.saturating_sub(start) as usize);
    let mut next = Vec::new();
    let mut init = None;
    for (index, segment) in media.segments.iter().enumerate() {
        // Said once, it holds for all that follow.
        if let Some(map) = &segment.map {
            init = Some(joined(url, &map.uri).ok_or("an initialisation segment has no address")?);
        }
        if index < from {
            continue;
        }
        check(segment)?;
        let url = joined(url, &segment.uri).ok_or("a segment has no address")?;
        next.push(Piece { url, init: init.clone() });
    }
    Ok(Listed { next, end, target_s: media.target_duration.clamp(1, 60), ended: media.end_list })
}

fn check(segment: &MediaSegment) -> Result<(), &'static str> {
    if segment.key.as_ref().is_some_and(|key| key.method != m3u8_rs::KeyMethod::None) {
        return Err("it is encrypted, which is not read; give an address without encryption");
    }
    if segment.byte_range.is_some() {
        return Err("its segments are parts of one file, which is not read; give an address with files of their own");
    }
    Ok(())
}

fn joined(url: &Url, uri: &str) -> Option<Url> {
    url.join(uri).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str, from: Option<u64>) -> Listed {
        let url = Url::parse("http://h/a/live.m3u8").unwrap();
        match read("it", &url, text.as_bytes(), from).unwrap() {
            Read::Segments(listed) => listed,
            Read::Variant(url) => panic!("{url}"),
        }
    }

    const MEDIA: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:100\n#EXTINF:4,\n0.ts\n#EXTINF:4,\n\
                         1.ts\n#EXTINF:4,\n2.ts\n#EXTINF:4,\n/3.ts\n#EXTINF:4,\nhttp://k/4.ts\n";

    #[test]
    fn segments_are_fetched_once_each_from_near_the_end_on() {
        for (from, expected) in [
            (None, &["http://h/a/2.ts", "http://h/3.ts", "http://k/4.ts"][..]),
            (Some(104), &["http://k/4.ts"]),
            (Some(105), &[]),
            (Some(50), &["http://h/a/0.ts", "http://h/a/1.ts", "http://h/a/2.ts", "http://h/3.ts", "http://k/4.ts"]),
            // Its numbers began again.
            (Some(9000), &["http://h/a/2.ts", "http://h/3.ts", "http://k/4.ts"]),
        ] {
            let listed = listed(MEDIA, from);
            let urls: Vec<_> = listed.next.iter().map(|piece| piece.url.as_str()).collect();
            assert_eq!((urls.as_slice(), listed.end, listed.target_s), (expected, 105, 4), "{from:?}");
        }
    }

    #[test]
    fn fragments_name_their_init() {
        let text = MEDIA.replace("#EXTINF:4,\n0.ts", "#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:4,\n0.ts");
        let inits: Vec<_> = listed(&text, None).next.into_iter().filter_map(|piece| piece.init).collect();
        assert_eq!(inits.len(), 3);
        assert_eq!(inits[0].as_str(), "http://h/a/i.mp4");
    }

    #[test]
    fn the_best_variant_is_read() {
        let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=9\nhigh.m3u8\n";
        let url = Url::parse("https://h/a/m.m3u8").unwrap();
        assert_eq!(read("it", &url, text.as_bytes(), None).unwrap(), Read::Variant(url.join("high.m3u8").unwrap()));
    }

    #[test]
    fn what_is_not_read_is_said() {
        let url = Url::parse("https://h/a/m.m3u8").unwrap();
        let key = MEDIA.replace("#EXTINF:4,\n1", "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:4,\n1");
        let range = MEDIA.replace("#EXTINF:4,\n/3", "#EXT-X-BYTERANGE:5@0\n#EXTINF:4,\n/3");
        let file = MEDIA.replace("http://k/4.ts", "file:///etc/passwd");
        for text in ["no playlist", "", &key, &range, &file] {
            assert_eq!(read("it", &url, text.as_bytes(), Some(0)).unwrap_err().code, "source-not-hls", "{text}");
        }
    }
}
