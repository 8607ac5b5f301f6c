//! Laying the frame grid over a source's pictures.

use framemill_schemas::{
    failure::Failure,
    rate::{FrameGrid, Ratio},
};

use super::listing::Times;

/// Longest title: two days at 60 pictures a second. Beyond it, timestamps are more likely wrong
/// than the film long.
const FRAMES_MAX: u64 = 2 * 24 * 3600 * 60;

/// The grid of a source whose pictures are shown at these times.
pub(super) fn lay(times: &Times, rate: Ratio, time_base: Ratio) -> Result<FrameGrid, Failure> {
    let (Some(origin_ticks), Some((last, duration))) = (times.first, times.last) else {
        return Err(Failure::input("no-timestamps", "the source does not say when its pictures are shown"));
    };
    let mut grid = FrameGrid { rate, frames: 0, origin_ticks, time_base };
    let shown_last = grid.frame_at(last);
    // The last picture is shown as long as it says, and for one frame at least.
    let end = duration.map_or(0, |ticks| grid.frame_at(last + ticks)).max(shown_last + 1);
    grid.frames = u64::try_from(end).ok().filter(|frames| *frames <= FRAMES_MAX).ok_or_else(|| {
        Failure::input("too-long", "by its timestamps the source is longer than two days")
            .mend("remux it with timestamps that fit the film")
    })?;
    Ok(grid)
}
