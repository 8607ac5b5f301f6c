//! Where chunks may start.

use framemill_schemas::{
    probe::{SEEK_POINTS_MAX, SeekPoint},
    rate::FrameGrid,
};

use super::describe::ticks_to_us;

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
        let due = self.seen % self.stride == 0;
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
pub(super) fn points(keys: &[Key], grid: &FrameGrid, start_us: i64, interlaced: bool) -> Vec<SeekPoint> {
    // The deinterlacer looks at the picture before: the first one after a seek is not like the
    // same picture in a single run.
    let settle = if interlaced { 2 } else { 0 };
    let mut points: Vec<SeekPoint> = Vec::with_capacity(keys.len());
    for key in keys {
        let Ok(frame) = u64::try_from(grid.frame_at(key.pts) + settle) else { continue };
        let seek_us = ticks_to_us(key.aim, grid.time_base) - start_us - SEEK_EARLY_US;
        // What lies before the start is reached by not seeking.
        if seek_us > 0 && points.last().is_none_or(|last| last.frame < frame) {
            points.push(SeekPoint { frame, seek_us });
        }
    }
    points
}

/// Times are rounded to microseconds here and to ticks again in the demuxer: a little early never
/// misses the keyframe.
const SEEK_EARLY_US: i64 = 1000;
