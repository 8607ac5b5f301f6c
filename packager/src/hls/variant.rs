//! Variant streams: each picture rendition with each audio group, and the order they stand in.

use std::cmp::Reverse;

use framemill_schemas::{rate::Ratio, spec::VideoRendition};

use crate::{
    bitrate::{average, peak, target_duration_s},
    decimal::frame_rate,
    hls::{Attributes, group::Group, iframe_playlist, video_playlist},
    title::{Title, Track},
};

/// Players start with the first variant they can decode. Apple's authoring rules want about
/// 2 Mbit/s there: the best rendition whose average is not above it starts at once on most lines.
pub(crate) const START_BITS_PER_S_MAX: u64 = 2_000_000;

/// The picture renditions in the order of the multivariant playlist: by codec, H.264 first
/// because everything decodes it; of one codec first the one to start with, then from best to
/// worst.
pub fn in_order(title: &Title) -> Vec<(&VideoRendition, &Track)> {
    let mut ordered: Vec<_> = title.pictures().collect();
    let bits = |track: &Track| average(&track.stretches());
    ordered.sort_by_key(|(rendition, track)| (rendition.codec, Reverse((track.size().1, bits(track)))));
    for of_codec in ordered.chunk_by_mut(|a, b| a.0.codec == b.0.codec) {
        let start =
            of_codec.iter().position(|(_, track)| bits(track) <= START_BITS_PER_S_MAX).unwrap_or(of_codec.len() - 1);
        of_codec[..=start].rotate_right(1);
    }
    ordered
}

/// One EXT-X-STREAM-INF tag with its address.
pub fn stream_inf(
    rate: Ratio,
    (rendition, track): (&VideoRendition, &Track),
    group: Option<&Group>,
    target_s: u64,
    prefix: &str,
) -> String {
    let stretches = track.stretches();
    let codecs = std::iter::once(track.facts.codecs.as_str())
        .chain(group.iter().flat_map(|g| g.codecs.iter()).map(String::as_str));
    let (width, height) = track.size();
    let mut attributes = Attributes::of("EXT-X-STREAM-INF")
        .plain("BANDWIDTH", peak(&stretches, target_s) + group.map_or(0, |group| group.peak))
        .plain("AVERAGE-BANDWIDTH", average(&stretches) + group.map_or(0, |group| group.average))
        .quoted("CODECS", &codecs.collect::<Vec<_>>().join(","))
        .plain("RESOLUTION", format_args!("{width}x{height}"))
        .plain("FRAME-RATE", frame_rate(rate));
    if let Some(group) = group {
        attributes = attributes.quoted("AUDIO", &group.id);
    }
    format!("{}{prefix}{}\n", attributes.end(), video_playlist(&rendition.name))
}

/// One EXT-X-I-FRAME-STREAM-INF tag.
pub fn iframe_stream_inf((rendition, track): (&VideoRendition, &Track), prefix: &str) -> String {
    let keyframes = track.keyframes();
    let (width, height) = track.size();
    Attributes::of("EXT-X-I-FRAME-STREAM-INF")
        .plain("BANDWIDTH", peak(&keyframes, target_duration_s(keyframes.iter().copied())))
        .plain("AVERAGE-BANDWIDTH", average(&keyframes))
        .quoted("CODECS", &track.facts.codecs)
        .plain("RESOLUTION", format_args!("{width}x{height}"))
        .quoted("URI", &format!("{prefix}{}", iframe_playlist(&rendition.name)))
        .end()
}
