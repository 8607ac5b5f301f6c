//! The rate of the grid.

use framemill_schemas::{probe::RateSource, rate::Ratio};

use super::{describe::Stream, listing::Times};

/// Rates that films and broadcasts have, slowest first.
const STANDARD: [(u32, u32); 14] = [
    (5, 1),
    (10, 1),
    (12, 1),
    (25, 2),
    (15, 1),
    (20, 1),
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
];

/// Millionths of a frame per second: fine enough to tell 24 from 24000/1001 apart.
type MicroHertz = u128;

fn micro_hertz(rate: Ratio) -> MicroHertz {
    u128::from(rate.num) * 1_000_000 / u128::from(rate.den)
}

/// The average rate of the pictures; `None` of fewer than two.
fn measure(times: &Times, base: Ratio) -> Option<MicroHertz> {
    let (first, (last, _)) = (times.first?, times.last?);
    let ticks = u128::try_from(last - first).ok().filter(|ticks| *ticks > 0)?;
    let frames = u128::from(times.count.saturating_sub(1));
    let rate = frames * u128::from(base.den) * 1_000_000 / (ticks * u128::from(base.num));
    (frames > 0).then_some(rate)
}

/// The rate of a source, and where it comes from: the stream's own where it is plausible, else a
/// standard rate near the measured average that drops nothing of it.
pub(super) fn choose(stream: &Stream, times: &Times, base: Ratio, interlaced: bool) -> (Ratio, RateSource) {
    let measured = measure(times, base);
    let own = stream.r_frame_rate.as_deref().and_then(Ratio::parse).map(|rate| frames_not_fields(rate, interlaced));
    if let Some(rate) = own.map(snap)
        && is_plausible(rate)
        // One that is below what is there would drop pictures.
        && measured.is_none_or(|measured| measured * 100 <= micro_hertz(rate) * 105)
    {
        return (rate, RateSource::Base);
    }
    let Some(measured) = measured else { return (Ratio { num: 25, den: 1 }, RateSource::Average) };
    let fits = |rate: &Ratio| measured * 100 <= micro_hertz(*rate) * 101;
    // 23.976 and 24 both fit 24: the nearer one is meant. Further ones would only repeat pictures.
    let fitting = standard().filter(fits).take(2);
    let nearest = fitting.min_by_key(|rate| micro_hertz(*rate).abs_diff(measured));
    (nearest.unwrap_or(Ratio { num: 60, den: 1 }), RateSource::Average)
}

fn standard() -> impl Iterator<Item = Ratio> {
    STANDARD.iter().filter_map(|(num, den)| Ratio::new(*num, *den))
}

/// Between a slide show and the fastest rate that is published.
fn is_plausible(rate: Ratio) -> bool {
    rate.num >= rate.den && u64::from(rate.num) <= 60 * u64::from(rate.den) && rate.num <= 1_000_000
}

/// Interlaced streams may state their fields: none has more than 30 frames a second.
fn frames_not_fields(rate: Ratio, interlaced: bool) -> Ratio {
    if interlaced && u64::from(rate.num) > 31 * u64::from(rate.den) {
        return Ratio::new(rate.num, rate.den.saturating_mul(2)).unwrap_or(rate);
    }
    rate
}

/// A rate within a hundredth of a percent of a standard one is that one: `2997/100` is
/// `30000/1001`.
fn snap(rate: Ratio) -> Ratio {
    let near = |standard: &Ratio| {
        let a = u64::from(rate.num) * u64::from(standard.den);
        let b = u64::from(standard.num) * u64::from(rate.den);
        a.abs_diff(b) <= b / 10_000
    };
    standard().find(near).unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(count: u64, ms: i64) -> Times {
        Times { count, missing: 0, first: Some(0), last: Some((ms, None)) }
    }

    #[test]
    fn rates_are_chosen() {
        let base = Ratio { num: 1, den: 1000 };
        use RateSource::{Average, Base};
        for (own, count, ms, interlaced, expected) in [
            ("25/1", 251, 10_000, false, ((25, 1), Base)),
            ("30000/1001", 300, 9_977, false, ((30_000, 1001), Base)),
            ("2997/100", 300, 9_977, false, ((30_000, 1001), Base)),
            ("60/1", 601, 10_000, false, ((60, 1), Base)),
            // A picture held for long does not make a film slow.
            ("30/1", 100, 10_000, false, ((30, 1), Base)),
            // Fields.
            ("50/1", 251, 10_000, true, ((25, 1), Base)),
            ("60000/1001", 300, 9_977, true, ((30_000, 1001), Base)),
            // The tick of the clock is no rate.
            ("90000/1", 294, 10_000, false, ((30_000, 1001), Average)),
            ("1000/1", 241, 10_000, false, ((24, 1), Average)),
            ("120/1", 1201, 10_000, false, ((60, 1), Average)),
            // Less than what is there.
            ("25/1", 501, 10_000, false, ((50, 1), Average)),
            ("0/0", 251, 10_000, false, ((25, 1), Average)),
            ("0/0", 1, 0, false, ((25, 1), Average)),
        ] {
            let stream = Stream { r_frame_rate: Some(own.to_owned()), ..Stream::default() };
            let (rate, source) = choose(&stream, &times(count, ms), base, interlaced);
            assert_eq!(((rate.num, rate.den), source), expected, "{own} {count} {ms}");
        }
    }
}
