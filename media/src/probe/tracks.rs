//! Which tracks are published, and how large the picture is when shown.

use framemill_schemas::{
    failure::Failure,
    probe::{AUDIO_TRACKS_MAX, AudioTrack},
    rate::Ratio,
};

use super::describe::{Description, Stream};

/// Longest track title that is kept.
const TITLE_CHARS_MAX: usize = 120;
/// Largest side of a picture that decoders take.
const SIDE_MAX: u64 = 16_384;

/// The first picture track that is a film: not cover art, not thumbnails, not a still.
pub(super) fn picture(description: &Description) -> Result<&Stream, Failure> {
    let still =
        |stream: &Stream| ["attached_pic", "timed_thumbnails", "still_image"].iter().any(|kind| stream.has(kind));
    let found = description.streams.iter().find(|stream| stream.is("video") && !still(stream));
    let Some(stream) = found else {
        let sound = description.streams.iter().any(|stream| stream.is("audio"));
        let reason =
            if sound { "the source is not a video: it holds sound only" } else { "the source holds no picture track" };
        return Err(Failure::input("no-video", reason).mend("send a file with a picture track"));
    };
    if let Some(transfer @ ("smpte2084" | "arib-std-b67")) = stream.color_transfer.as_deref() {
        return Err(Failure::input(
            "hdr-not-taken",
            format!("the picture is HDR ({transfer}), which is not taken yet"),
        )
        .mend("convert it to SDR (BT.709) first"));
    }
    if stream.codec_name.is_none() || stream.width == 0 || stream.height == 0 {
        return Err(Failure::input("codec-not-taken", "the source's picture codec is not known")
            .mend("convert it to a common codec first"));
    }
    Ok(stream)
}

/// The size as shown: pixels made square by changing the width, then turned upright.
pub(super) fn upright_size(stream: &Stream) -> Result<(u32, u32), Failure> {
    let (width, height) = (u64::from(stream.width), u64::from(stream.height));
    let wide = pixel_shape(stream).map_or(width, |shape| {
        let (num, den) = (u64::from(shape.num), u64::from(shape.den));
        ((width * num + den / 2) / den).max(2)
    });
    let (wide, high) = if is_sideways(stream) { (height, wide) } else { (wide, height) };
    if wide > SIDE_MAX || high > SIDE_MAX {
        return Err(Failure::input("too-large", format!("the picture is {wide}x{high}"))
            .mend(format!("send one with at most {SIDE_MAX} pixels a side")));
    }
    // Both are at most SIDE_MAX.
    Ok((wide as u32, high as u32))
}

/// The shape of a pixel; one that is out of all proportion is a mistake in the file.
fn pixel_shape(stream: &Stream) -> Option<Ratio> {
    let (num, den) = stream.sample_aspect_ratio.as_deref()?.split_once(':')?;
    let shape = Ratio::new(num.parse().ok()?, den.parse().ok()?)?;
    let sane = shape.num <= shape.den.saturating_mul(5) && shape.den <= shape.num.saturating_mul(5);
    sane.then_some(shape)
}

/// Whether ffmpeg turns the picture, by whatever angle.
pub(super) fn is_turned(stream: &Stream) -> bool {
    quarters(stream).is_some_and(|quarters| quarters != 0)
}

/// Whether ffmpeg turns the picture by a quarter, either way.
fn is_sideways(stream: &Stream) -> bool {
    quarters(stream).is_some_and(|quarters| quarters % 2 == 1)
}

/// How often ffmpeg turns the picture by a quarter, 0 to 3.
fn quarters(stream: &Stream) -> Option<i64> {
    let degrees = stream.side_data_list.iter().find_map(|data| data.rotation);
    // `rotate` is what containers wrote before they had matrices, and old ffprobes repeat.
    let degrees = degrees.or_else(|| stream.tag("rotate").and_then(|text| text.parse().ok()));
    degrees.filter(|degrees| degrees.is_finite()).map(|degrees| ((degrees / 90.0).round() as i64).rem_euclid(4))
}

/// The sound tracks, in stream order.
pub(super) fn sound(description: &Description) -> Vec<AudioTrack> {
    let tracks = description.streams.iter().filter(|stream| stream.is("audio") && stream.channels > 0);
    let known = tracks.filter(|stream| stream.codec_name.as_deref().is_some_and(|name| name != "none"));
    known.take(AUDIO_TRACKS_MAX).map(track).collect()
}

fn track(stream: &Stream) -> AudioTrack {
    let title = stream
        .tag("title")
        .map(|title| title.chars().filter(|c| !c.is_control()).take(TITLE_CHARS_MAX).collect::<String>());
    AudioTrack {
        stream: stream.index,
        codec: stream.codec_name.clone().unwrap_or_default(),
        channels: stream.channels,
        language: stream.tag("language").and_then(language),
        title: title.filter(|title| !title.is_empty()),
        default: stream.has("default"),
    }
}

/// A language tag in lower case; `None` where the source says none, or nothing that is one.
fn language(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase().replace('_', "-");
    let mut parts = text.split('-');
    let primary =
        parts.next().is_some_and(|part| (2..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase()));
    let rest = parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    let says = !matches!(text.as_str(), "und" | "mul" | "zxx" | "mis");
    (primary && rest && says && text.len() <= 35).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::describe::SideData;

    #[test]
    fn languages_are_tags_or_nothing() {
        for (text, expected) in [
            ("eng", Some("eng")),
            ("EN-us", Some("en-us")),
            ("pt_BR", Some("pt-br")),
            ("und", None),
            ("English", None),
            ("e", None),
            ("en-", None),
            ("\"/>", None),
        ] {
            assert_eq!(language(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_turned_and_squared() {
        for (width, height, shape, rotation, expected) in [
            (1920, 1080, None, None, (1920, 1080)),
            (1920, 1080, Some("1:1"), Some(-90.0), (1080, 1920)),
            (1920, 1080, None, Some(180.0), (1920, 1080)),
            (1440, 1080, Some("4:3"), None, (1920, 1080)),
            (720, 576, Some("16:15"), Some(90.0), (576, 768)),
            (720, 480, Some("8:9"), None, (640, 480)),
            (720, 480, Some("0:1"), None, (720, 480)),
            (720, 480, Some("4000:1"), None, (720, 480)),
            (101, 33, None, None, (101, 33)),
        ] {
            let stream = Stream {
                width,
                height,
                sample_aspect_ratio: shape.map(str::to_owned),
                side_data_list: vec![SideData { rotation }],
                ..Stream::default()
            };
            assert_eq!(upright_size(&stream).unwrap(), expected, "{width}x{height} {shape:?} {rotation:?}");
        }
    }
}
