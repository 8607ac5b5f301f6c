//! Where chunks may start.

use framemill_schemas::{
    probe::{SEEK_POINTS_MAX, SeekPoint},
    rate::FrameGrid,
};

use super::describe::ticks_to_us_up;

/// A keyframe, and the one to aim at to get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub pts: i64,
    pub aim: i64,
}

/// The keyframes of a source, thinned evenly while they come so that memory stays bounded.
pub(super) struct Keyframes {
    indexed: bool,
    previous: Option<i64>,
    kept: Vec<Key>,
    /// One of this many keyframes is kept.
    stride: u64,
    seen: u64,
}

impl Keyframes {
    /// `indexed`: whether a seek lands on the keyframe it was aimed at. Where it may land on the
    /// next one, the keyframe before is aimed at.
    pub fn new(indexed: bool) -> Self {
        Self { indexed, previous: None, kept: Vec::new(), stride: 1, seen: 0 }
    }

    pub fn add(&mut self, pts: i64) {
        let before = self.previous.replace(pts);
        let aim = if self.indexed { Some(pts) } else { before };
        let due = self.seen.is_multiple_of(self.stride);
        self.seen += 1;
        // Keyframes that do not come in the order they are shown in help nobody.
        let (true, Some(aim), true) = (due, aim, self.kept.last().is_none_or(|last| last.pts < pts)) else { return };
        self.kept.push(Key { pts, aim });
        if self.kept.len() > SEEK_POINTS_MAX {
            let mut index = 0_usize;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride *= 2;
        }
    }

    pub fn points(self) -> Vec<Key> {
        self.kept
    }
}

/// Keyframes on the grid.
pub(super) fn points(keys: &[Key], grid: &FrameGrid, start_us: i64, settle_frames: i64) -> Vec<SeekPoint> {
    let mut points: Vec<SeekPoint> = Vec::with_capacity(keys.len());
    for key in keys {
        let Ok(frame) = u64::try_from(grid.frame_at(key.pts) + settle_frames) else { continue };
        // An index is aimed at exactly: a tick less would decode a whole group more. Rounded up,
        // because a microsecond before the keyframe belongs to the group before it.
        let early_us = if key.aim == key.pts { 0 } else { SEEK_EARLY_US };
        let seek_us = ticks_to_us_up(key.aim, grid.time_base) - start_us - early_us;
        // What lies before the start is reached by not seeking.
        if seek_us > 0 && points.last().is_none_or(|last| last.frame < frame) {
            points.push(SeekPoint { frame, seek_us });
        }
    }
    points
}

/// How much before a keyframe to aim where there is no index: rounding must not pass it.
const SEEK_EARLY_US: i64 = 1000;

#[cfg(test)]
mod tests {
    use framemill_schemas::rate::Ratio;

    use super::*;

    fn grid() -> FrameGrid {
        let rate = Ratio { num: 25, den: 1 };
        FrameGrid { rate, frames: 1000, origin_ticks: 90, time_base: Ratio { num: 1, den: 90_000 } }
    }

    fn keys(indexed: bool, pts: &[i64]) -> Vec<Key> {
        let mut keyframes = Keyframes::new(indexed);
        pts.iter().for_each(|pts| keyframes.add(*pts));
        keyframes.points()
    }

    #[test]
    fn an_index_is_aimed_at_and_a_stream_one_keyframe_earlier() {
        let pts = [90, 90 + 90_000, 90 + 180_000];
        let indexed = points(&keys(true, &pts), &grid(), 1000, 0);
        assert_eq!(indexed, [SeekPoint { frame: 25, seek_us: 1_000_000 }, SeekPoint { frame: 50, seek_us: 2_000_000 }]);
        let stream = points(&keys(false, &pts), &grid(), 1000, 2);
        // The first two lead to the start of the source, which needs no seek.
        assert_eq!(stream, [SeekPoint { frame: 52, seek_us: 999_000 }]);
    }

    #[test]
    fn any_number_of_keyframes_becomes_a_bounded_number_of_points_all_over_the_source() {
        let pts: Vec<_> = (0..100_000).map(|key| key * 3600).collect();
        let kept = keys(true, &pts);
        assert!(kept.len() <= SEEK_POINTS_MAX && kept.len() > SEEK_POINTS_MAX / 4);
        assert!(kept.last().is_some_and(|last| last.pts > 99_900 * 3600));
        assert!(kept.windows(2).all(|pair| pair[1].pts - pair[0].pts == kept[1].pts - kept[0].pts));
    }
}
