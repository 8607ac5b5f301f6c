//! What a diagnosis reads of playlists (RFC 8216). Pure.

/// The first media playlist that a multivariant playlist names, where it is a plain name beside it.
pub fn first_media(text: &str) -> Option<&str> {
    let name = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    framemill_schemas::object::is_plain_path(name).then_some(name)
}

/// The last number of a media playlist: its first (clause 4.3.3.2) and how many segments it lists.
pub fn last_number(text: &str) -> Option<u64> {
    const FIRST: &str = "#EXT-X-MEDIA-SEQUENCE:";
    if !text.starts_with("#EXTM3U") {
        return None;
    }
    let first: u64 = text.lines().find_map(|line| line.strip_prefix(FIRST))?.trim().parse().ok()?;
    let listed = text.lines().filter(|line| line.starts_with("#EXTINF:")).count() as u64;
    first.checked_add(listed.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playlists_tell_their_last_number_and_nothing_else_does() {
        let playlist = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:5\n#EXTINF:4.0,\nt1/5.m4s\n#EXTINF:4.0,\nt1/6.m4s\n";
        for (text, expected) in [
            (playlist, Some(6)),
            ("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:5\n", None),
            ("#EXTM3U\n#EXTINF:4.0,\nx\n", None),
            ("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x\n#EXTINF:4.0,\n", None),
            ("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:1,\na\n#EXTINF:1,\nb\n", None),
            ("<html>", None),
        ] {
            assert_eq!(last_number(text), expected, "{text}");
        }
        let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo-720p.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nb.m3u8\n";
        assert_eq!(first_media(master), Some("video-720p.m3u8"));
        for other in ["#EXTM3U\n", "#EXTM3U\nhttps://elsewhere.example/x.m3u8\n", "#EXTM3U\n../x.m3u8\n"] {
            assert_eq!(first_media(other), None, "{other}");
        }
    }
}
