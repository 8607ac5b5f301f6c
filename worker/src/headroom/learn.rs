//! What experience says of predicted costs, by codec, preset and content. Pure.

use std::collections::BTreeMap;

use framemill_schemas::{ladder::VideoCodec, load::Load};

/// Weight of the newest observation, one in so many.
const WEIGHT: u64 = 8;
/// How far a prediction may be corrected, thousandths.
const LEAST: u64 = 400;
const MOST: u64 = 2500;
/// Pictures a second, in thousandths, from which content counts as fast: sport is shot so.
const FAST_MILLI: u32 = 40_000;

/// The kind of work a correction is for.
type Kind = (VideoCodec, u8, bool);

/// Corrections, thousandths of the published cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned(BTreeMap<Kind, u64>);

impl Learned {
    /// What a predicted cost is multiplied with, thousandths.
    pub fn permille(&self, codec: VideoCodec, load: &Load) -> u64 {
        self.0.get(&kind(codec, load)).copied().unwrap_or(1000)
    }

    /// A job ran while its device was measured at `measured` and predicted at `predicted` (means over its
    /// time, in any one unit): what it shared in is corrected towards that.
    pub fn observe(&mut self, codec: VideoCodec, load: &Load, measured: u64, predicted: u64) {
        let Some(ratio) = (measured * 1000).checked_div(predicted) else { return };
        let known = self.0.entry(kind(codec, load)).or_insert(1000);
        let target = (*known * ratio / 1000).clamp(LEAST, MOST);
        *known = (*known * (WEIGHT - 1) + target).div_ceil(WEIGHT).clamp(LEAST, MOST);
    }
}

fn kind(codec: VideoCodec, load: &Load) -> Kind {
    (codec, load.effort, load.rate_milli >= FAST_MILLI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_moves_towards_what_is_measured_and_only_for_its_kind() {
        let load = |effort, rate_milli| Load { effort, rate_milli, ..Load::NONE };
        let mut learned = Learned::default();
        // The device works half as hard as predicted, whatever is predicted.
        for _ in 0..60 {
            let predicted = learned.permille(VideoCodec::H264, &load(5, 25_000));
            learned.observe(VideoCodec::H264, &load(5, 25_000), 500, predicted);
        }
        let found = learned.permille(VideoCodec::H264, &load(5, 25_000));
        assert!((480..=520).contains(&found), "{found}");
        for other in [(VideoCodec::Hevc, 5, 25_000), (VideoCodec::H264, 1, 25_000), (VideoCodec::H264, 5, 50_000)] {
            assert_eq!(learned.permille(other.0, &load(other.1, other.2)), 1000);
        }
        for _ in 0..200 {
            learned.observe(VideoCodec::H264, &load(5, 25_000), 1_000_000, 1);
        }
        assert_eq!(learned.permille(VideoCodec::H264, &load(5, 25_000)), MOST);
        learned.observe(VideoCodec::Av1, &load(5, 25_000), 7, 0);
        assert_eq!(learned.permille(VideoCodec::Av1, &load(5, 25_000)), 1000, "nothing was predicted");
    }
}
