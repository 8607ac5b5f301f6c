//! Media and I-frame playlists of one rendition. They lie in the generation's folder, beside the
//! rendition's own folder, and their addresses are relative to that.

use framemill_schemas::index::SegmentIndex;

use crate::{
    bitrate::target_duration_s,
    decimal::{seconds, span_micros},
    hls::VERSION,
    title::Track,
};

/// Writes a media playlist. `target_s` is the title's: the same in all of its playlists.
pub fn media(rendition: &str, track: &Track, target_s: u64) -> String {
    let mut out = head(rendition, track, target_s, "");
    for segment in &track.segments {
        let micros = span_micros(segment.start_ticks, segment.duration_ticks, track.facts.timescale);
        out += &format!("#EXTINF:{},\n{}\n", seconds(micros), address(rendition, segment));
    }
    out + "#EXT-X-ENDLIST\n"
}

/// Writes an I-frame playlist: every keyframe by byte range (RFC 8216, clause 4.3.3.6). A length
/// is the time until the next keyframe.
pub fn iframes(rendition: &str, track: &Track) -> String {
    let target_s = target_duration_s(track.keyframes());
    let mut out = head(rendition, track, target_s, "#EXT-X-I-FRAMES-ONLY\n");
    for segment in &track.segments {
        let mut start = segment.start_ticks;
        for keyframe in &segment.keyframes {
            let micros = span_micros(start, keyframe.duration_ticks, track.facts.timescale);
            out += &format!(
                "#EXTINF:{},\n#EXT-X-BYTERANGE:{}@{}\n{}\n",
                seconds(micros),
                keyframe.bytes,
                keyframe.offset,
                address(rendition, segment)
            );
            start += keyframe.duration_ticks;
        }
    }
    out + "#EXT-X-ENDLIST\n"
}

fn head(rendition: &str, track: &Track, target_s: u64, more: &str) -> String {
    format!(
        "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target_s}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n{more}#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"{rendition}/{}\"\n",
        track.segments.first().map_or(1, |segment| segment.number),
        file_name(&track.init.key),
    )
}

fn address(rendition: &str, segment: &SegmentIndex) -> String {
    format!("{rendition}/{}", file_name(&segment.object.key))
}

/// The last part of a key: names come from the index, so that a playlist names what is stored.
fn file_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}
