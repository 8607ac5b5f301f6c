//! How a title is cut into chunks: enough to keep the farm busy, whole segments each, and one
//! thread count for all of them.

use std::ops::Range;

use framemill_schemas::rate::{FrameGrid, frames_to_ticks};

/// Chunks per encoder slot where the title is long enough: slots of unlike speed even out. Each more
/// costs a process start, half a source group of decoding, and a rate control that begins anew.
const CHUNKS_PER_SLOT: u64 = 2;
/// Fewest segments of a chunk: each chunk pays for a process start and for decoding from the
/// keyframe before it.
const CHUNK_SEGMENTS_MIN: u64 = 2;
/// Longest chunk in milliseconds: what a crash can cost, and the bound on one record's index.
const CHUNK_MS_MAX: u64 = 60_000;
/// Most threads of one encoder: beyond that they idle, and quality falls.
const THREADS_MAX: u32 = 8;

/// The chunks of a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunking {
    /// Grid frames of each chunk, in order.
    pub ranges: Vec<Range<u64>>,
    /// Threads of each encoder.
    pub threads: u32,
}

impl Chunking {
    /// One chunk, for a source that cannot be entered in the middle.
    pub fn whole(frames: u64, slots: u32) -> Self {
        Self { ranges: std::iter::once(0..frames).collect(), threads: threads_for(1, slots) }
    }
}

/// Cuts a grid.
pub fn chunks(grid: FrameGrid, segment_frames: u32, slots: u32) -> Chunking {
    let segment_frames = u64::from(segment_frames);
    let segments = grid.frames.div_ceil(segment_frames);
    let segment_ms = frames_to_ticks(segment_frames, grid.rate, 1000).max(1);
    let segments_max = (CHUNK_MS_MAX / segment_ms).max(CHUNK_SEGMENTS_MIN);
    let wanted = (u64::from(slots) * CHUNKS_PER_SLOT).max(segments.div_ceil(segments_max));
    let count = wanted.clamp(1, (segments / CHUNK_SEGMENTS_MIN).max(1));
    // Spread the remainder over the first chunks, so that lengths differ by one segment at most
    // and the short ones come last, where they shorten the tail.
    let ranges = (0..count)
        .scan(0, |start, index| {
            let length = segments / count + u64::from(index < segments % count);
            let range = *start * segment_frames..((*start + length) * segment_frames).min(grid.frames);
            *start += length;
            Some(range)
        })
        .collect();
    Chunking { ranges, threads: threads_for(count, slots) }
}

/// Many chunks fill the slots by themselves; a short title needs threads for it.
fn threads_for(count: u64, slots: u32) -> u32 {
    let per_chunk = u64::from(slots) / count.max(1);
    u32::try_from(per_chunk).unwrap_or(THREADS_MAX).clamp(1, THREADS_MAX)
}

#[cfg(test)]
mod tests {
    use framemill_schemas::rate::Ratio;
    use proptest::prelude::*;

    use super::*;

    fn grid(frames: u64, rate: (u32, u32)) -> FrameGrid {
        FrameGrid {
            rate: Ratio::new(rate.0, rate.1).unwrap(),
            frames,
            origin_ticks: 0,
            time_base: Ratio::new(1, 90_000).unwrap(),
        }
    }

    #[test]
    fn a_minute_on_two_slots_is_four_chunks_of_one_thread() {
        let chunking = chunks(grid(1500, (25, 1)), 100, 2);
        assert_eq!(chunking.ranges, [0..400, 400..800, 800..1200, 1200..1500]);
        assert_eq!(chunking.threads, 1);
    }

    #[test]
    fn a_short_title_is_one_chunk_of_more_threads() {
        let chunking = chunks(grid(125, (25, 1)), 100, 2);
        assert_eq!(chunking, Chunking { ranges: std::iter::once(0..125).collect(), threads: 2 });
    }

    #[test]
    fn a_long_title_is_cut_by_what_a_crash_may_cost() {
        let chunking = chunks(grid(2 * 3600 * 25, (25, 1)), 100, 1);
        assert_eq!(chunking.ranges.len(), 120);
    }

    proptest! {
        #[test]
        fn chunks_cover_the_grid_in_whole_segments(frames in 1_u64..1_000_000, segment in 1_u32..2000, slots in 1_u32..200) {
            let chunking = chunks(grid(frames, (30_000, 1001)), segment, slots);
            prop_assert_eq!(chunking.ranges[0].start, 0);
            prop_assert_eq!(chunking.ranges.last().unwrap().end, frames);
            for pair in chunking.ranges.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
            }
            for range in &chunking.ranges {
                prop_assert!(range.start < range.end);
                prop_assert_eq!(range.start % u64::from(segment), 0);
            }
            prop_assert!(chunking.threads >= 1);
        }
    }
}
