//! ffprobe's description of a container, as JSON. Numbers come as text; what is not said is absent.

use std::collections::BTreeMap;

use framemill_schemas::{failure::Failure, rate::Ratio};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct Description {
    #[serde(default)]
    pub(super) streams: Vec<Stream>,
    pub(super) format: Format,
}

#[derive(Debug, Deserialize)]
pub(super) struct Format {
    pub format_name: String,
    pub start_time: Option<String>,
    pub duration: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stream {
    pub index: u32,
    pub codec_name: Option<String>,
    pub codec_type: Option<String>,
    pub pix_fmt: Option<String>,
    pub width: u32,
    pub height: u32,
    pub sample_aspect_ratio: Option<String>,
    pub field_order: Option<String>,
    pub r_frame_rate: Option<String>,
    pub nb_frames: Option<String>,
    pub time_base: Option<String>,
    pub color_transfer: Option<String>,
    pub channels: u32,
    pub disposition: BTreeMap<String, i32>,
    pub tags: BTreeMap<String, String>,
    pub side_data_list: Vec<SideData>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SideData {
    /// Degrees, counted anticlockwise; whole ones for upright turns.
    pub rotation: Option<f64>,
}

impl Format {
    /// Where the container starts; 0 where it does not say.
    pub fn start_us(&self) -> i64 {
        self.start_time.as_deref().and_then(micros).unwrap_or(0)
    }

    /// Where the container says it ends.
    pub fn end_us(&self) -> Option<i64> {
        let duration = self.duration.as_deref().and_then(micros)?;
        Some(self.start_us().saturating_add(duration))
    }
}

impl Stream {
    pub fn is(&self, kind: &str) -> bool {
        self.codec_type.as_deref() == Some(kind)
    }

    pub fn has(&self, disposition: &str) -> bool {
        self.disposition.get(disposition).is_some_and(|set| *set != 0)
    }

    /// Seconds per tick.
    pub fn time_base(&self) -> Result<Ratio, Failure> {
        self.time_base
            .as_deref()
            .and_then(Ratio::parse)
            // A clock slower than a tick a second is none; the grid's arithmetic counts on it.
            .filter(|base| base.num <= base.den)
            .ok_or_else(|| Failure::input("no-timestamps", "the source's picture track has no clock"))
    }

    pub fn is_interlaced(&self) -> bool {
        matches!(self.field_order.as_deref(), Some("tt" | "bb" | "tb" | "bt"))
    }

    /// How long its counted pictures last at its rate.
    pub fn promised_us(&self) -> Option<i64> {
        let rate = Ratio::parse(self.r_frame_rate.as_deref()?)?;
        let frames = clamp(self.nb_frames.as_deref()?.parse().ok()?);
        Some(ticks_to_us(frames, Ratio::new(rate.den, rate.num)?))
    }

    /// A tag, whatever the case of its name: containers differ.
    pub fn tag(&self, name: &str) -> Option<&str> {
        let found = self.tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }
}

/// Seconds with up to six decimals, as ffprobe writes them, in microseconds.
pub(super) fn micros(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.get(..6).unwrap_or(fraction);
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = 10_i64.pow(6 - fraction.len() as u32);
    let parts = if fraction.is_empty() { 0 } else { fraction.parse::<i64>().ok()?.checked_mul(scale)? };
    whole.parse::<i64>().ok().filter(|whole| *whole >= 0)?.checked_mul(1_000_000)?.checked_add(parts)?.checked_mul(sign)
}

/// Ticks as microseconds, to the nearest one.
pub(super) fn ticks_to_us(ticks: i64, time_base: Ratio) -> i64 {
    let (us, rest) = whole_us(ticks, time_base);
    saturate(us + i128::from(rest * 2 >= i128::from(time_base.den)))
}

/// The same, rounded up.
pub(super) fn ticks_to_us_up(ticks: i64, time_base: Ratio) -> i64 {
    let (us, rest) = whole_us(ticks, time_base);
    saturate(us + i128::from(rest != 0))
}

fn whole_us(ticks: i64, time_base: Ratio) -> (i128, i128) {
    let numerator = i128::from(ticks) * i128::from(time_base.num) * 1_000_000;
    let den = i128::from(time_base.den);
    (numerator.div_euclid(den), numerator.rem_euclid(den))
}

/// What no real source reaches, kept in range for the comparisons that refuse it.
fn saturate(us: i128) -> i64 {
    i64::try_from(us.clamp(-(1 << 60), 1 << 60)).expect("2^60 fits")
}

/// Times a source can claim, kept where arithmetic on them is safe: 2^50 ticks are years in any
/// clock that is in use.
pub(super) fn clamp(ticks: i64) -> i64 {
    const FAR: i64 = 1 << 50;
    ticks.clamp(-FAR, FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_microseconds() {
        let base = Ratio { num: 1, den: 90_000 };
        assert_eq!((ticks_to_us(1, base), ticks_to_us_up(1, base)), (11, 12));
        assert_eq!((ticks_to_us(-1, base), ticks_to_us_up(-1, base)), (-11, -11));
        assert_eq!((ticks_to_us(90, base), ticks_to_us_up(90, base)), (1000, 1000));
        assert_eq!(ticks_to_us(i64::MAX, Ratio { num: 1, den: 1 }), 1 << 60);
    }

    #[test]
    fn decimal_seconds_become_microseconds() {
        for (text, expected) in [
            ("10.000000", Some(10_000_000)),
            ("-0.021333", Some(-21_333)),
            ("1.4", Some(1_400_000)),
            ("7", Some(7_000_000)),
            ("1.1234567", Some(1_123_456)),
            ("N/A", None),
            ("", None),
            ("1.x", None),
            ("--1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(micros(text), expected, "{text}");
        }
    }
}
