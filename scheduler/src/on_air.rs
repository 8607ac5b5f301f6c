//! What a channel's schedule asks for at a time, and how early replicas begin for it. Pure.

use framemill_schemas::{
    failure::{Class, Failure},
    live::{ChannelRecord, Edition, LiveSourceKind, OnAir, OnAirChange, Wanted, rfc3339},
};

/// How long before a span replicas are placed, beside two segments: one that begins before they do, and one
/// that must be whole. It is for being claimed, opening the source and describing it, and the encoder.
const LEAD_MS: i64 = 15_000;
/// As much earlier where the first source comes in whole segments, of which three are read first.
const LEAD_IN_SEGMENTS_MS: i64 = 15_000;

/// How long before a span a channel is put on air, so that its first segment is there by then.
pub fn lead_ms(edition: &Edition) -> i64 {
    let in_segments = edition.sources.first().is_some_and(|source| source.kind == LiveSourceKind::Hls);
    let in_segments_ms = if in_segments { LEAD_IN_SEGMENTS_MS } else { 0 };
    LEAD_MS + in_segments_ms + 2 * i64::from(edition.segment_ms)
}

/// Whether it is to be on air: its operator wants it, and so does its schedule, now or in a moment.
pub fn is_due(channel: &ChannelRecord, now_ms: i64) -> bool {
    channel.wanted == Wanted::Running && channel.on_air.holds(now_ms, lead_ms(&channel.edition))
}

/// What the schedule does next. One that is stopped stays off air whatever it says.
pub fn next(channel: &ChannelRecord, now_ms: i64) -> Option<OnAirChange> {
    channel.on_air.next(now_ms).filter(|_| channel.wanted == Wanted::Running)
}

/// Why a channel is off air that its operator wants on air. The words stay the same until the next span.
pub fn off_air(channel: &ChannelRecord, now_ms: i64) -> Failure {
    match channel.on_air.next(now_ms) {
        Some(next) => Failure::new(Class::Transient, "scheduled", format!("off air until {}", rfc3339(next.at_ms)))
            .mend("wait; or give it another schedule (`on_air`) with framemill channel apply"),
        None => {
            let ended = channel.on_air.ended_ms(now_ms).map_or_else(String::new, rfc3339);
            Failure::new(Class::Input, "schedule-over", format!("off air: its schedule ended {ended}"))
                .mend("give it another schedule (`on_air`), or none, with framemill channel apply")
        }
    }
}

/// What of a schedule is taken and may not be meant.
pub fn notes(on_air: &OnAir, now_ms: i64) -> Vec<String> {
    let over = on_air.is_over(now_ms);
    let note = "all spans of its schedule are past: started or not, it stays off air";
    over.then(|| note.to_owned()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use framemill_schemas::live::{LiveSource, SpanDocument};

    use super::*;
    use crate::ops::sample::channel;

    pub(crate) fn schedule(from: &str, until: &str) -> OnAir {
        let span = SpanDocument { from: Some(from.to_owned()), until: Some(until.to_owned()) };
        OnAir::check(&[span], 4000, &mut Vec::new())
    }

    #[test]
    fn replicas_begin_before_a_span_by_what_getting_on_air_takes() {
        let mut edition = channel(Wanted::Running).edition;
        edition.segment_ms = 4000;
        assert_eq!(lead_ms(&edition), 23_000);
        edition.sources[0] = LiveSource::parse("https://head.example/live.m3u8", false).unwrap();
        assert_eq!(lead_ms(&edition), 38_000);
    }

    #[test]
    fn a_stopped_channel_stays_off_whatever_its_schedule_says() {
        let on_air = schedule("1970-01-01T01:00:00Z", "1970-01-01T02:00:00Z");
        for (wanted, now_ms, due, next_on, code) in [
            (Wanted::Running, 0, false, Some(true), "scheduled"),
            (Wanted::Running, 3_600_000, true, Some(false), "scheduled"),
            (Wanted::Running, 7_200_000, false, None, "schedule-over"),
            (Wanted::Stopped, 3_600_000, false, None, "scheduled"),
            (Wanted::Retired, 3_600_000, false, None, "scheduled"),
        ] {
            let channel = ChannelRecord { on_air: on_air.clone(), ..channel(wanted) };
            assert_eq!(is_due(&channel, now_ms), due, "{wanted:?} {now_ms}");
            assert_eq!(next(&channel, now_ms).map(|next| next.on), next_on, "{wanted:?} {now_ms}");
            assert_eq!(off_air(&channel, now_ms).code, code, "{wanted:?} {now_ms}");
        }
        let scheduled = ChannelRecord { on_air, ..channel(Wanted::Running) };
        assert_eq!(off_air(&scheduled, 0).reason, "off air until 1970-01-01T01:00:00Z");
        assert_eq!(off_air(&scheduled, 7_200_000).reason, "off air: its schedule ended 1970-01-01T02:00:00Z");
        assert_eq!((notes(&scheduled.on_air, 7_199_999).len(), notes(&scheduled.on_air, 7_200_000).len()), (0, 1));
    }
}
