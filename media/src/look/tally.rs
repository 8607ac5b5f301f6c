//! Reading what the filters of a look print, line by line. Pure.

use framemill_schemas::live::Flaw;

use super::Loudness;
use crate::live::signals::timed;

/// How long after the first frame something may begin and still hold from there on, thousandths of a second: a
/// sound decoder that begins in the middle of a stream fades in.
const EDGE_MILLI: i64 = 50;
/// A picture stands still where it does so for all but this part of the time.
const AWAY_PART: i64 = 4;
/// What a look can see.
const SEEN: [Flaw; 3] = [Flaw::Black, Flaw::Frozen, Flaw::Silent];

/// What was said of one flaw, times in thousandths of a second.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    /// It was there from the first frame on.
    from_start: bool,
    /// It was said of it what cannot be read.
    garbled: bool,
    /// When it began last; nothing while it is not there.
    since: Option<i64>,
    /// When it ended last.
    until: Option<i64>,
    /// For how long it was not there in between.
    away: i64,
}

impl Extent {
    fn read(&mut self, begins: bool, time: &str) {
        match thousandths(time) {
            None => self.garbled = true,
            Some(time) if begins => {
                match self.until {
                    None => self.from_start = time <= EDGE_MILLI,
                    Some(until) => self.away = self.away.saturating_add(time.saturating_sub(until).max(0)),
                }
                self.since = Some(time);
            }
            Some(time) => (self.since, self.until) = (None, Some(time)),
        }
    }

    /// It was there all the time.
    fn holds(&self) -> bool {
        self.from_start && !self.garbled && self.since.is_some() && self.until.is_none()
    }

    /// It was there all the time but for some breath: a picture that stands still gets better from frame to frame
    /// after each keyframe, more than the filter takes for nothing. One that moves does not stand still in between.
    fn holds_mostly(&self) -> bool {
        let lasts = self.since.is_some_and(|since| self.away.saturating_mul(AWAY_PART) <= since);
        self.from_start && !self.garbled && lasts
    }
}

/// What was read so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    extents: [Extent; SEEN.len()],
    integrated: Option<i64>,
    momentary: Option<i64>,
}

impl Tally {
    /// Takes in a line. What is none of the filters' is passed over.
    pub fn read(&mut self, line: &str) {
        if let Some((signal, time)) = timed(line) {
            if let Some(at) = SEEN.iter().position(|flaw| *flaw == signal.flaw) {
                self.extents[at].read(signal.begins, time);
            }
            return;
        }
        let line = line.trim();
        if let Some(loudness) = line.strip_prefix("lavfi.r128.I=") {
            // Each says it of all so far: the last one counts.
            self.integrated = thousandths(loudness).or(self.integrated);
        } else if let Some(loudness) = line.strip_prefix("lavfi.r128.M=") {
            self.momentary = self.momentary.max(thousandths(loudness));
        }
    }

    /// What all of it is.
    pub fn flaws(&self) -> Vec<Flaw> {
        let holds = |flaw: &Flaw| {
            let extent = SEEN.iter().zip(&self.extents).find(|(seen, _)| *seen == flaw).map(|(_, extent)| extent);
            extent.is_some_and(|extent| if *flaw == Flaw::Frozen { extent.holds_mostly() } else { extent.holds() })
        };
        let black = holds(&Flaw::Black);
        SEEN.into_iter().filter(|flaw| holds(flaw) && !(black && *flaw == Flaw::Frozen)).collect()
    }

    /// How loud it is.
    pub fn loudness(&self) -> Option<Loudness> {
        let (integrated, momentary) = self.integrated.zip(self.momentary)?;
        Some(Loudness { integrated_centi: centi(integrated), momentary_centi: centi(momentary) })
    }
}

/// The gate below which nothing counts as sound, thousandths of LUFS (ITU-R BS.1770-4, annex 1).
const GATE_MILLI: i64 = -70_000;

/// Hundredths, rounded; nothing is quieter than the gate.
fn centi(thousandths: i64) -> i32 {
    let rounded = (thousandths.max(GATE_MILLI) + thousandths.signum() * 5) / 10;
    i32::try_from(rounded).unwrap_or(i32::MAX)
}

/// A decimal number as ffmpeg prints it, in thousandths; nothing for what is none (`-inf`, `nan`), or has an
/// exponent.
fn thousandths(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let fraction = fraction.bytes().chain([b'0'; 3]).take(3).fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    Some(sign * whole.checked_mul(1000)?.checked_add(fraction)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn only_what_holds_from_the_first_frame_to_the_last_is_a_flaw() {
        use Flaw::{Black, Frozen, Silent};
        let cases: [(&[&str], &[Flaw]); 13] = [
            (&[], &[]),
            (&["frame:0 pts:0 pts_time:0", "lavfi.black_start=0"], &[Black]),
            (&["lavfi.black_start=0", "lavfi.freezedetect.freeze_start=0"], &[Black]),
            (&["lavfi.freezedetect.freeze_start=0"], &[Frozen]),
            (&["lavfi.black_start=0", "lavfi.black_end=3.96", "lavfi.freezedetect.freeze_start=0"], &[Frozen]),
            (&["lavfi.black_start=0.08"], &[]),
            (&["lavfi.freezedetect.freeze_start=0", "lavfi.freezedetect.freeze_duration=2"], &[Frozen]),
            (&["lavfi.freezedetect.freeze_start=0", "lavfi.freezedetect.freeze_end=2"], &[]),
            (
                &[
                    "lavfi.freezedetect.freeze_start=0",
                    "lavfi.freezedetect.freeze_end=0.8",
                    "lavfi.freezedetect.freeze_start=1.2",
                    "lavfi.freezedetect.freeze_end=2",
                    "lavfi.freezedetect.freeze_start=2",
                ],
                &[Frozen],
            ),
            (
                &[
                    "lavfi.freezedetect.freeze_start=0",
                    "lavfi.freezedetect.freeze_end=0.4",
                    "lavfi.freezedetect.freeze_start=2",
                ],
                &[],
            ),
            (&["lavfi.freezedetect.freeze_start=x"], &[]),
            (&["lavfi.silence_start=0.0213333"], &[Silent]),
            (&["lavfi.silence_start=0", "lavfi.silence_end=1", "lavfi.silence_start=1.4"], &[]),
        ];
        for (lines, expected) in cases {
            assert_eq!(tally(lines).flaws(), expected, "{lines:?}");
        }
    }

    #[test]
    fn loudness_is_the_last_integrated_and_the_loudest_momentary() {
        let of = |lines| tally(lines).loudness().map(|found| (found.integrated_centi, found.momentary_centi));
        assert_eq!(of(&["lavfi.r128.M=-120.691"]), None);
        let lines = ["lavfi.r128.M=-120.691", "lavfi.r128.I=-70.000", "lavfi.r128.M=-20.004", "lavfi.r128.I=-23.456"];
        assert_eq!(of(&lines), Some((-2346, -2000)));
        assert_eq!(of(&["lavfi.r128.I=-70.000", "lavfi.r128.M=-163.524", "lavfi.r128.I=nan"]), Some((-7000, -7000)));
    }

    proptest! {
        #[test]
        fn any_decimal_is_read_to_the_thousandth(value in -10_000_000_i64..10_000_000, digits in 3_usize..6) {
            let sign = if value < 0 { "-" } else { "" };
            let (whole, rest) = (value.abs() / 1000, value.abs() % 1000);
            let text = format!("{sign}{whole}.{rest:03}{}", "7".repeat(digits - 3));
            prop_assert_eq!(thousandths(&text), Some(value));
        }

        #[test]
        fn no_words_upset_it(lines in prop::collection::vec(".{0,40}", 0..20)) {
            let mut tally = Tally::default();
            lines.iter().for_each(|line| tally.read(line));
            let _ = (tally.flaws(), tally.loudness());
        }

        #[test]
        fn no_value_of_a_key_upsets_it(key in 0..8_usize, value in "[-+0-9.einfa]{0,24}") {
            let keys = ["lavfi.black_start=", "lavfi.black_end=", "lavfi.freezedetect.freeze_start=",
                "lavfi.freezedetect.freeze_end=", "lavfi.silence_start=", "lavfi.silence_end=",
                "lavfi.r128.I=", "lavfi.r128.M="];
            let mut tally = Tally::default();
            tally.read(&format!("{}{value}", keys[key]));
            prop_assert!(tally.flaws().len() <= 1);
        }
    }
}
