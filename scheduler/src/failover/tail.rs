//! How a channel leaves the air at the end of a span: not before what was shown by then is published, and
//! with nothing that was shown after it.

use framemill_schemas::live::{ChannelRecord, ChannelState, frame_at_ms};

use super::Facts;

/// Whether a channel whose span is over still has a number to publish that ended within it.
pub(super) fn goes_on(record: &ChannelRecord, facts: &Facts<'_>) -> bool {
    let is_on = !matches!(record.state, ChannelState::Stopped | ChannelState::Scheduled | ChannelState::Starting);
    let Some(until_ms) = record.on_air.ended_ms(facts.now_ms) else { return false };
    // As long as the packager waits for a number before it declares it a gap.
    let bound_ms = i64::from(record.edition.segment_ms) * 5 / 2;
    is_on && record.is_on_air() && facts.now_ms < until_ms + bound_ms && !is_published(until_ms, facts)
}

/// Whether the last number that ends by then is in the log.
fn is_published(until_ms: i64, facts: &Facts<'_>) -> bool {
    let Some(timeline) = facts.known.timelines.last() else { return true };
    let after = timeline.number_of(frame_at_ms(until_ms, timeline.clock.rate).cast_signed());
    facts.known.log.last_key_value().is_some_and(|(number, _)| number + 1 >= after)
}
