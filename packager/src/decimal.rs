//! Exact decimals for manifests: ticks become microseconds once, and everything that is printed
//! or compared afterwards is an integer. Never a float.

use framemill_schemas::rate::{Ratio, rescale};

/// Microseconds in a second: manifests carry six digits.
pub const MICROS: u64 = 1_000_000;

/// A time in ticks as microseconds, to nearest.
pub fn micros(ticks: u64, timescale: u32) -> u64 {
    let ticks = i64::try_from(ticks).expect("media times stay far below 2^63 ticks");
    u64::try_from(rescale(ticks, MICROS, u64::from(timescale))).expect("times are not negative")
}

/// The length of `start..start + duration` as the distance of its rounded ends. Lengths printed
/// one after another then add up to the rounded whole: rounding each by itself would let a long
/// list of AAC segments drift.
pub fn span_micros(start_ticks: u64, duration_ticks: u64, timescale: u32) -> u64 {
    micros(start_ticks + duration_ticks, timescale) - micros(start_ticks, timescale)
}

/// `4.004000`: a decimal-floating-point of RFC 8216.
pub fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / MICROS, micros % MICROS)
}

/// `PT4.004S`: an `xs:duration` without trailing zeros.
pub fn xml_duration(micros: u64) -> String {
    let text = seconds(micros);
    format!("PT{}S", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `29.970`: a frame rate with three digits (RFC 8216, FRAME-RATE).
pub fn frame_rate(rate: Ratio) -> String {
    let milli = rescale(i64::from(rate.num), 1000, u64::from(rate.den));
    format!("{}.{:03}", milli / 1000, milli % 1000)
}

/// Reads the decimal seconds of a playlist back, to microseconds; `None` for anything else than
/// digits with at most six after the point.
pub fn read_seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let micros = format!("{fraction:0<6}").parse::<u64>().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(MICROS)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_printed_with_six_digits() {
        for (ticks, timescale, text, xml) in [
            (0, 90_000, "0.000000", "PT0S"),
            (360_000, 90_000, "4.000000", "PT4S"),
            (120_120, 30_000, "4.004000", "PT4.004S"),
            (1024, 48_000, "0.021333", "PT0.021333S"),
            (192_512, 48_000, "4.010667", "PT4.010667S"),
            (900_000_000, 90_000, "10000.000000", "PT10000S"),
        ] {
            assert_eq!(seconds(micros(ticks, timescale)), text);
            assert_eq!(xml_duration(micros(ticks, timescale)), xml);
        }
    }

    #[test]
    fn rates_are_printed_with_three_digits() {
        for (num, den, text) in [
            (25, 1, "25.000"),
            (30_000, 1001, "29.970"),
            (24_000, 1001, "23.976"),
            (60_000, 1001, "59.940"),
            (1, 3, "0.333"),
        ] {
            assert_eq!(frame_rate(Ratio::new(num, den).unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for bad in ["", ".", ".5", "-1", "1e3", "4,0", "4.0000001", "99999999999999999999", "4.0 "] {
            assert_eq!(read_seconds(bad), None, "{bad:?}");
        }
        assert_eq!(read_seconds("4"), Some(4_000_000));
        assert_eq!(read_seconds("4.5"), Some(4_500_000));
    }

    proptest! {
        #[test]
        fn printed_seconds_read_back(micros in 0_u64..1 << 50) {
            prop_assert_eq!(read_seconds(&seconds(micros)), Some(micros));
        }

        #[test]
        fn lengths_add_up(parts in proptest::collection::vec(1_u64..400_000, 1..200), timescale in 1000_u32..100_000) {
            let mut start = 0;
            let mut sum = 0;
            for part in parts {
                sum += span_micros(start, part, timescale);
                start += part;
            }
            prop_assert_eq!(sum, micros(start, timescale));
        }
    }
}
