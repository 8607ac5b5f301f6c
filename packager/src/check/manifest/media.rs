//! Media and I-frame playlists against the index.

use framemill_schemas::index::{KeyframeRange, SegmentIndex};
use m3u8_rs::{MediaPlaylist, MediaPlaylistType};

use crate::{
    check::{Findings, code, manifest::resolve},
    decimal::{MICROS, micros, read_seconds, span_micros},
    hls::VERSION,
    title::Track,
};

/// What one entry of a playlist must be.
struct Entry<'a> {
    micros: u64,
    segment: &'a SegmentIndex,
    keyframe: Option<KeyframeRange>,
}

/// Checks a media playlist that lies in `folder`; `target_s` is the title's target duration.
pub fn media(bytes: &[u8], at: &str, folder: &str, track: &Track, target_s: u64, findings: &mut Findings) {
    let entries: Vec<_> = track
        .segments
        .iter()
        .map(|segment| Entry {
            micros: span_micros(segment.start_ticks, segment.duration_ticks, track.facts.timescale),
            segment,
            keyframe: None,
        })
        .collect();
    let Some(playlist) = check(bytes, at, folder, track, &entries, findings) else { return };
    findings.equal(code::TARGET_DURATION, at, playlist.target_duration, target_s);
    if playlist.i_frames_only {
        findings.error(code::MANIFEST_RULE, at, "EXT-X-I-FRAMES-ONLY", "a media playlist");
    }
}

/// Checks an I-frame playlist that lies in `folder`.
pub fn iframes(bytes: &[u8], at: &str, folder: &str, track: &Track, findings: &mut Findings) {
    let mut entries = Vec::new();
    for segment in &track.segments {
        let mut start = segment.start_ticks;
        for keyframe in &segment.keyframes {
            let micros = span_micros(start, keyframe.duration_ticks, track.facts.timescale);
            entries.push(Entry { micros, segment, keyframe: Some(*keyframe) });
            start += keyframe.duration_ticks;
        }
    }
    let Some(playlist) = check(bytes, at, folder, track, &entries, findings) else { return };
    if !playlist.i_frames_only {
        findings.error(code::MANIFEST_RULE, at, "no EXT-X-I-FRAMES-ONLY", "an I-frame playlist");
    }
}

fn check(
    bytes: &[u8],
    at: &str,
    folder: &str,
    track: &Track,
    entries: &[Entry<'_>],
    findings: &mut Findings,
) -> Option<MediaPlaylist> {
    let Ok(playlist) = m3u8_rs::parse_media_playlist_res(bytes) else {
        findings.error(code::MANIFEST_SYNTAX, at, "not a media playlist", "RFC 8216");
        return None;
    };
    head(&playlist, at, track, findings);
    map(&playlist, at, folder, track, findings);
    let words = |count: usize| format!("{count} entries");
    if playlist.segments.len() != entries.len() {
        findings.error(code::MANIFEST_URI, at, words(playlist.segments.len()), words(entries.len()));
    }
    for (n, (found, entry)) in playlist.segments.iter().zip(entries).enumerate() {
        let at = format!("{at}, entry {}", n + 1);
        if resolve(folder, &found.uri).as_deref() != Some(&entry.segment.object.key) {
            findings.error(code::MANIFEST_URI, &at, &found.uri, &entry.segment.object.key);
        }
        byte_range(found.byte_range.as_ref().map(|range| (range.length, range.offset)), entry, &at, findings);
    }
    durations(bytes, &playlist, at, track, entries, findings);
    Some(playlist)
}

fn head(playlist: &MediaPlaylist, at: &str, track: &Track, findings: &mut Findings) {
    if playlist.version.is_none_or(|version| version < VERSION as usize) {
        findings.error(
            code::MANIFEST_RULE,
            at,
            format!("version {:?}", playlist.version),
            format!("version {VERSION}"),
        );
    }
    if playlist.playlist_type != Some(MediaPlaylistType::Vod) {
        findings.error(code::MANIFEST_RULE, at, format!("type {:?}", playlist.playlist_type), "type VOD");
    }
    if !playlist.independent_segments {
        findings.error(code::MANIFEST_RULE, at, "no EXT-X-INDEPENDENT-SEGMENTS", "independent segments");
    }
    let first = track.segments.first().map_or(0, |segment| segment.number);
    findings.equal(code::MANIFEST_RULE, at, playlist.media_sequence, first);
    if !playlist.end_list {
        findings.error(code::ENDLIST, at, "no EXT-X-ENDLIST", "a playlist that ends");
    }
}

/// The init stands before the first segment and is never changed.
fn map(playlist: &MediaPlaylist, at: &str, folder: &str, track: &Track, findings: &mut Findings) {
    let maps: Vec<_> = playlist.segments.iter().filter_map(|segment| segment.map.as_ref()).collect();
    let first = playlist.segments.first().and_then(|segment| segment.map.as_ref());
    let is_right = first
        .is_some_and(|map| resolve(folder, &map.uri).as_deref() == Some(&track.init.key) && map.byte_range.is_none());
    if !is_right || maps.iter().any(|map| Some(*map) != first) {
        let found = maps.iter().map(|map| map.uri.as_str()).collect::<Vec<_>>().join(", ");
        findings.error(code::MANIFEST_URI, at, format!("EXT-X-MAP of {found:?}"), &track.init.key);
    }
}

fn byte_range(found: Option<(u64, Option<u64>)>, entry: &Entry<'_>, at: &str, findings: &mut Findings) {
    let expected = entry.keyframe.map(|keyframe| (keyframe.bytes, Some(keyframe.offset)));
    let words = |range: Option<(u64, Option<u64>)>| match range {
        Some((bytes, offset)) => format!("{bytes} bytes at {}", offset.unwrap_or(0)),
        None => "no byte range".to_owned(),
    };
    if found != expected {
        findings.error(code::BYTERANGE, at, words(found), words(expected));
    }
    if let Some((bytes, offset)) = found
        && offset.unwrap_or(0).saturating_add(bytes) > entry.segment.object.bytes
    {
        let most = format!("within {} bytes", entry.segment.object.bytes);
        findings.error(code::BYTERANGE, at, words(found), most);
    }
}

/// Lengths are read from the text, because the reader keeps them as 32-bit floats.
fn durations(
    bytes: &[u8],
    playlist: &MediaPlaylist,
    at: &str,
    track: &Track,
    entries: &[Entry<'_>],
    findings: &mut Findings,
) {
    let text = String::from_utf8_lossy(bytes);
    let lengths: Vec<Option<u64>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:"))
        .map(|rest| read_seconds(rest.split(',').next().unwrap_or(rest)))
        .collect();
    for (n, (found, entry)) in lengths.iter().zip(entries).enumerate() {
        if *found != Some(entry.micros) {
            let at = format!("{at}, entry {}", n + 1);
            findings.error(code::MANIFEST_DURATION, at, format!("{found:?} us"), format!("{} us", entry.micros));
        }
    }
    let longest = lengths.iter().flatten().max().copied().unwrap_or(0);
    if (longest + MICROS / 2) / MICROS > playlist.target_duration {
        findings.error(
            code::TARGET_DURATION,
            at,
            format!("a length of {longest} us"),
            format!("at most {} s, rounded", playlist.target_duration),
        );
    }
    let whole = track.segments.first().zip(track.segments.last()).map_or(0, |(first, last)| {
        let at = |ticks| micros(ticks, track.facts.timescale);
        at(last.start_ticks + last.duration_ticks).saturating_sub(at(first.start_ticks))
    });
    let sum = lengths.iter().flatten().fold(0_u64, |sum, &length| sum.saturating_add(length));
    if sum != whole {
        findings.error(code::MANIFEST_DURATION, at, format!("{sum} us in all"), format!("{whole} us"));
    }
}
