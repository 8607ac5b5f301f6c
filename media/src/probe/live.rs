//! What a channel's source is like, from its first seconds.

use framemill_schemas::{failure::Failure, live::SourceFormat, rate::Ratio};

use super::{describe::Description, listing::Times, rate, tracks};

/// Takes the description of a stream and the times of its first pictures: how many, and the first and the
/// last time one is shown, in ticks of `time_base`.
pub(crate) fn live_format(
    description: &Description,
    pictures: (u64, i64, i64),
    time_base: Ratio,
) -> Result<SourceFormat, Failure> {
    let video = tracks::picture(description)?;
    let (count, first, last) = pictures;
    let times = Times { count, missing: 0, first: Some(first), last: Some((last, None)) };
    let interlaced = video.is_interlaced();
    let (rate, _) = rate::choose(video, &times, time_base, interlaced);
    let (width, height) = tracks::upright_size(video)?;
    Ok(SourceFormat {
        codec: video.codec_name.clone().unwrap_or_default(),
        pixels: video.pix_fmt.clone().unwrap_or_default(),
        width,
        height,
        rate,
        interlaced,
        sound: tracks::sound(description).into_iter().next().map(|track| track.codec),
    })
}
