//! Media time without floats: rational rates and the frame grid.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A positive ratio: a frame rate in frames per second, or a time base in seconds per tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Ratio {
    /// Numerator.
    pub num: u32,
    /// Denominator, never 0.
    pub den: u32,
}

impl Ratio {
    /// `num/den` in lowest terms; `None` where either is 0.
    pub fn new(num: u32, den: u32) -> Option<Self> {
        if num == 0 || den == 0 {
            return None;
        }
        let divisor = gcd(num, den);
        Some(Self { num: num / divisor, den: den / divisor })
    }

    /// Reads `30000/1001` or `25`, as ffmpeg writes rates and time bases.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some((num, den)) => Self::new(num.parse().ok()?, den.parse().ok()?),
            None => Self::new(text.parse().ok()?, 1),
        }
    }

    /// For a display or a report only; never for media time.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `value * mul / div`, rounded to nearest, halves away from zero; exact in 128 bits.
pub fn rescale(value: i64, mul: u64, div: u64) -> i64 {
    let product = i128::from(value) * i128::from(mul);
    let half = i128::from(div) / 2;
    let rounded = if product < 0 { (product - half) / i128::from(div) } else { (product + half) / i128::from(div) };
    i64::try_from(rounded).expect("media times stay far below 2^63 ticks")
}

/// The constant-rate sequence of frame numbers a source is mapped onto. Its origin is the
/// source's first picture; frame n is shown at n/rate; published time starts at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FrameGrid {
    /// Frames per second.
    pub rate: Ratio,
    /// Number of frames.
    pub frames: u64,
    /// The first picture's timestamp, in ticks of `time_base`.
    pub origin_ticks: i64,
    /// Seconds per tick of the source's video stream.
    pub time_base: Ratio,
}

impl FrameGrid {
    /// The grid frame at which a picture with this timestamp is first shown: the rounding of
    /// ffmpeg's `fps` filter (to nearest, halves away from zero).
    pub fn frame_at(&self, pts_ticks: i64) -> i64 {
        rescale(
            pts_ticks - self.origin_ticks,
            u64::from(self.time_base.num) * u64::from(self.rate.num),
            u64::from(self.time_base.den) * u64::from(self.rate.den),
        )
    }

    /// Length of the whole grid in ticks of `timescale`.
    pub fn duration_ticks(&self, timescale: u32) -> u64 {
        frames_to_ticks(self.frames, self.rate, timescale)
    }

    /// Length in whole milliseconds, for people.
    pub fn duration_ms(&self) -> u64 {
        frames_to_ticks(self.frames, self.rate, 1000)
    }
}

/// The time of frame `frame` in ticks of `timescale`, rounded to nearest.
pub fn frames_to_ticks(frame: u64, rate: Ratio, timescale: u32) -> u64 {
    let numerator = u128::from(frame) * u128::from(rate.den) * u128::from(timescale);
    let den = u128::from(rate.num);
    u64::try_from((numerator + den / 2) / den).expect("media times stay far below 2^63 ticks")
}

/// Timescale in which every frame of `rate` lasts a whole number of ticks, so that no segment is
/// a tick longer than its neighbour (90000 at 60000/1001 would alternate 1501 and 1502).
pub fn timescale_for(rate: Ratio) -> u32 {
    const COMMON: u32 = 90_000;
    if rate.den == 1 && COMMON.is_multiple_of(rate.num) {
        return COMMON;
    }
    // The smallest multiple of the numerator that is at least 10 kHz keeps durations precise.
    let factor = 10_000_u32.div_ceil(rate.num).max(1);
    rate.num.saturating_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(num: u32, den: u32) -> Ratio {
        Ratio::new(num, den).expect("test ratios are positive")
    }

    #[test]
    fn timescales_give_whole_ticks_per_frame() {
        for (num, den, expected) in [
            (25, 1, 90_000),
            (30, 1, 90_000),
            (50, 1, 90_000),
            (60, 1, 90_000),
            (24_000, 1001, 24_000),
            (30_000, 1001, 30_000),
            (60_000, 1001, 60_000),
            (7, 1, 10_003),
        ] {
            let rate = ratio(num, den);
            let timescale = timescale_for(rate);
            assert_eq!(timescale, expected, "{rate}");
            assert_eq!(u64::from(timescale) * u64::from(den) % u64::from(num), 0, "{rate}");
        }
    }

    #[test]
    fn frame_at_rounds_like_the_fps_filter() {
        // Matroska at 30000/1001 with millisecond stamps that start half a frame late.
        let grid = FrameGrid { rate: ratio(30_000, 1001), frames: 300, origin_ticks: 17, time_base: ratio(1, 1000) };
        for n in 0..300_i64 {
            let pts = 17 + rescale(n, 1001 * 1000, 30_000);
            assert_eq!(grid.frame_at(pts), n);
        }
    }

    #[test]
    fn rescale_rounds_halves_away_from_zero() {
        assert_eq!(rescale(1, 1, 2), 1);
        assert_eq!(rescale(-1, 1, 2), -1);
        assert_eq!(rescale(1, 1, 3), 0);
    }
}
