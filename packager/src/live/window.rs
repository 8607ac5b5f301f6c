//! How much of a chain a playlist shows. Pure.

use framemill_schemas::live::{Edition, Timeline};

use super::{chain::Entry, target::target_duration_s};

/// Most numbers of a playlist: a day of four-second segments. A longer time shift is cut there.
pub const NUMBERS_MAX: usize = 21_600;

/// Length of the live playlists in milliseconds. Never less than three target durations and a segment,
/// below which nothing may be taken away (RFC 8216, clause 6.2.2).
pub fn window_ms(edition: &Edition, timelines: &[impl AsRef<Timeline>]) -> u64 {
    let longest = timelines.iter().map(|timeline| timeline.as_ref().segment_ms()).max().unwrap_or_default();
    let least = 3 * target_duration_s(timelines) * 1000 + longest;
    least.max(u64::from(edition.window_s) * 1000)
}

/// Length of the playlists that reach back, in milliseconds; `None` where there are none.
pub fn timeshift_ms(edition: &Edition, timelines: &[impl AsRef<Timeline>]) -> Option<u64> {
    let shift = u64::from(edition.timeshift_s) * 1000;
    (shift > 0).then(|| shift.max(window_ms(edition, timelines)))
}

/// The last entries of a chain, as many as fit, and none from before a time off. What fits now fits with
/// one entry more at the end only from a later one on: a playlist only ever moves forwards.
pub fn suffix(entries: &[Entry], limit_ms: u64) -> &[Entry] {
    let Some(last) = entries.last() else { return entries };
    let mut length_ms = 0;
    let fits = |entry: &&Entry| {
        length_ms += entry.millis();
        entry.mark.run == last.mark.run && length_ms <= limit_ms
    };
    let shown = entries.iter().rev().take(NUMBERS_MAX).take_while(fits).count();
    &entries[entries.len() - shown..]
}
