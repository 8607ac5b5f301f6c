//! Bitrates measured from segment indexes: what manifests declare, and what validation compares.
//! Pure integers; never reads media.

use framemill_schemas::index::SegmentIndex;

use crate::decimal::{MICROS, span_micros};

/// Bytes and length of one stretch of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its size.
    pub bytes: u64,
    /// Its length.
    pub micros: u64,
}

/// The stretches of a list of segments.
pub fn of_segments(segments: &[SegmentIndex], timescale: u32) -> Vec<Stretch> {
    segments
        .iter()
        .map(|segment| Stretch {
            bytes: segment.object.bytes,
            micros: span_micros(segment.start_ticks, segment.duration_ticks, timescale),
        })
        .collect()
}

/// The stretches of a rendition's keyframes alone, as its I-frame playlist lists them.
pub fn of_keyframes(segments: &[SegmentIndex], timescale: u32) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    for segment in segments {
        let mut start = segment.start_ticks;
        for keyframe in &segment.keyframes {
            stretches.push(Stretch {
                bytes: keyframe.bytes,
                micros: span_micros(start, keyframe.duration_ticks, timescale),
            });
            start += keyframe.duration_ticks;
        }
    }
    stretches
}

/// Target duration in whole seconds: no length, rounded to the nearest second, is above it
/// (RFC 8216, clause 4.3.3.1). Judged on the printed microseconds, as a reader sees them.
pub fn target_duration_s(stretches: impl IntoIterator<Item = Stretch>) -> u64 {
    stretches.into_iter().map(|stretch| (stretch.micros + MICROS / 2) / MICROS).max().unwrap_or(1).max(1)
}

/// Average bits per second over everything, rounded up.
pub fn average(stretches: &[Stretch]) -> u64 {
    let (bytes, micros) = stretches
        .iter()
        .fold((0_u128, 0_u128), |(bytes, micros), s| (bytes + u128::from(s.bytes), micros + u128::from(s.micros)));
    per_second(bytes, micros)
}

/// Peak bits per second: the largest bitrate of any contiguous set of segments whose length is
/// between 0.5 and 1.5 target durations (RFC 8216, clause 4.1). A title too short for any such
/// set is one set.
pub fn peak(stretches: &[Stretch], target_s: u64) -> u64 {
    let half_target = u128::from(target_s * MICROS / 2);
    let mut best = None;
    for first in 0..stretches.len() {
        let (mut bytes, mut micros) = (0_u128, 0_u128);
        for stretch in &stretches[first..] {
            bytes += u128::from(stretch.bytes);
            micros += u128::from(stretch.micros);
            if micros > 3 * half_target {
                break;
            }
            if micros >= half_target {
                best = best.max(Some(per_second(bytes, micros)));
            }
        }
    }
    best.unwrap_or_else(|| average(stretches))
}

/// How long a client must buffer, in microseconds, before it plays a stream that arrives at
/// `bandwidth` bits per second, so that every segment is there in full when its time comes,
/// whichever segment it starts at (ISO/IEC 23009-1, `@minBufferTime` and `@bandwidth`): a leaky
/// bucket filled by segments and drained at the declared rate.
pub fn min_buffer_micros(stretches: &[Stretch], bandwidth: u64) -> u64 {
    let bandwidth = u128::from(bandwidth.max(1));
    let (mut level, mut worst) = (0_u128, 0_u128);
    for stretch in stretches {
        // Bits times a million, so that draining for some microseconds stays a whole number.
        let full = level + u128::from(stretch.bytes) * 8 * u128::from(MICROS);
        worst = worst.max(full);
        level = full.saturating_sub(bandwidth * u128::from(stretch.micros));
    }
    u64::try_from(worst.div_ceil(bandwidth)).unwrap_or(u64::MAX)
}

fn per_second(bytes: u128, micros: u128) -> u64 {
    let bits = bytes * 8 * u128::from(MICROS);
    u64::try_from(bits.div_ceil(micros.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stretches(list: &[(u64, u64)]) -> Vec<Stretch> {
        list.iter().map(|&(bytes, millis)| Stretch { bytes, micros: millis * 1000 }).collect()
    }

    #[test]
    fn bandwidths() {
        struct Case {
            what: &'static str,
            list: &'static [(u64, u64)],
            target_s: u64,
            peak: u64,
            average: u64,
            min_buffer_micros: u64,
        }
        for case in [
            Case {
                what: "constant: one segment must be there before it plays",
                list: &[(500_000, 4000), (500_000, 4000), (500_000, 4000)],
                target_s: 4,
                peak: 1_000_000,
                average: 1_000_000,
                min_buffer_micros: 4_000_000,
            },
            Case {
                what: "one heavy segment is the peak by itself",
                list: &[(500_000, 4000), (1_000_000, 4000), (500_000, 4000)],
                target_s: 4,
                peak: 2_000_000,
                average: 1_333_334,
                min_buffer_micros: 4_000_000,
            },
            Case {
                what: "a short last segment counts only together with the one before",
                list: &[(500_000, 4000), (100_000, 200)],
                target_s: 4,
                peak: 1_142_858,
                average: 1_142_858,
                // 4,000,000 bits at 1,142,858 bits a second, for the first; the second asks for less.
                min_buffer_micros: 3_499_998,
            },
            Case {
                what: "a segment of exactly half the target is a set of its own",
                list: &[(500_000, 4000), (500_000, 2000), (250_000, 4000)],
                target_s: 4,
                peak: 2_000_000,
                average: 1_000_000,
                min_buffer_micros: 2_000_000,
            },
            Case {
                what: "a title shorter than any set is one set",
                list: &[(10_000, 200)],
                target_s: 1,
                peak: 400_000,
                average: 400_000,
                min_buffer_micros: 200_000,
            },
            Case {
                what: "small segments: three of them are 1.5 targets, four are not",
                list: &[(100, 1000), (100, 1000), (400, 1000), (100, 1000)],
                target_s: 2,
                peak: 3_200,
                average: 1_400,
                min_buffer_micros: 1_000_000,
            },
            Case { what: "nothing", list: &[], target_s: 1, peak: 0, average: 0, min_buffer_micros: 0 },
        ] {
            let list = stretches(case.list);
            let found = peak(&list, case.target_s);
            assert_eq!(found, case.peak, "peak: {}", case.what);
            assert_eq!(average(&list), case.average, "average: {}", case.what);
            assert_eq!(min_buffer_micros(&list, found), case.min_buffer_micros, "buffer: {}", case.what);
        }
    }

    #[test]
    fn target_durations_round_half_up() {
        for (micros, target) in [(1, 1), (4_499_999, 4), (4_500_000, 5), (4_010_667, 4), (60_000_000, 60)] {
            assert_eq!(target_duration_s([Stretch { bytes: 0, micros }]), target, "{micros}");
        }
        assert_eq!(target_duration_s([]), 1);
    }

    proptest! {
        /// A client that waits `min_buffer_micros` and then plays never runs dry, wherever it starts.
        #[test]
        fn the_declared_bandwidth_is_honest(
            list in proptest::collection::vec((1_u64..1_000_000, 200_000_u64..8_000_000), 1..40),
        ) {
            let list: Vec<_> = list.into_iter().map(|(bytes, micros)| Stretch { bytes, micros }).collect();
            let bandwidth = peak(&list, target_duration_s(list.iter().copied()));
            let wait = u128::from(min_buffer_micros(&list, bandwidth));
            for start in 0..list.len() {
                let (mut bits, mut due) = (0_u128, wait);
                for stretch in &list[start..] {
                    bits += u128::from(stretch.bytes) * 8;
                    prop_assert!(bits * u128::from(MICROS) <= u128::from(bandwidth) * due);
                    due += u128::from(stretch.micros);
                }
            }
        }

        #[test]
        fn the_peak_is_no_set_s_bitrate_less(
            list in proptest::collection::vec((1_u64..1_000_000, 200_000_u64..8_000_000), 1..20),
        ) {
            let list: Vec<_> = list.into_iter().map(|(bytes, micros)| Stretch { bytes, micros }).collect();
            let target = target_duration_s(list.iter().copied());
            let found = peak(&list, target);
            for first in 0..list.len() {
                for last in first..list.len() {
                    let micros: u64 = list[first..=last].iter().map(|s| s.micros).sum();
                    if 2 * micros >= target * MICROS && 2 * micros <= 3 * target * MICROS {
                        prop_assert!(average(&list[first..=last]) <= found);
                    }
                }
            }
        }
    }
}
