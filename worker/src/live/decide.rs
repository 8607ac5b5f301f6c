//! What a replica does next: which timeline it encodes, from which number, and when another one is
//! called for. Pure.

use std::time::Duration;

use framemill_schemas::{
    live::{Edition, LiveClock, LiveSourceKind, Timeline, frame_at_ms, pts_ms},
    rate::Ratio,
};

use super::{plan::Begin, source::Seen};

/// How far a source's own clock may be from ours before its timestamps are mapped anew: a source that
/// runs 30 millionths fast takes four days for it.
const APART_MS: i64 = 10_000;
/// The same of what comes in whole segments: its last picture may be old.
const APART_IN_SEGMENTS_MS: i64 = 45_000;
/// How much longer the encoder of such a source may seem to hang.
const IN_SEGMENTS: Duration = Duration::from_secs(12);
/// How long a source must have been seen before it is chosen.
const STEADY: Duration = Duration::from_millis(500);
/// Whether the preroll of a number is there: its run begins at an entry that is shown so long before at
/// least.
const MARGIN_FRAMES: i64 = 1;

/// Whether a source can be encoded on a timeline: it comes, and its timestamps lie where the mapping puts
/// the present.
pub(super) fn fits(timeline: &Timeline, seen: &Seen, now_ms: i64) -> bool {
    let Some(last) = seen.last_pts.filter(|_| seen.flowing) else { return false };
    let bound = if timeline.origin.kind == LiveSourceKind::Hls { APART_IN_SEGMENTS_MS } else { APART_MS };
    // A timeline that follows at once on another may begin up to two segments from the present.
    let bound = bound + 2 * i64::try_from(timeline.segment_ms()).unwrap_or_default();
    apart_ms(&timeline.clock, last, now_ms).abs() <= bound
}

/// How far ahead of the present a picture lies, milliseconds.
fn apart_ms(clock: &LiveClock, pts: u64, now_ms: i64) -> i64 {
    let frame = clock.frame_of(pts, frame_at_ms(now_ms, clock.rate));
    u64::try_from(frame).map_or(i64::MAX, |frame| pts_ms(frame, clock.rate) - now_ms)
}

/// The first number that a run can begin with, of those that are wanted: `free` is the first that nobody
/// committed.
pub(super) fn first_number(timeline: &Timeline, seen: &Seen, free: u64, now_ms: i64) -> Option<u64> {
    let oldest = seen.oldest_pts?;
    let near = frame_at_ms(now_ms, timeline.clock.rate);
    let entry = timeline.clock.frame_of(oldest, near);
    Some(timeline.number_from(entry + MARGIN_FRAMES).max(timeline.first).max(free))
}

/// What makes another timeline necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// The source it is to be made from.
    pub source: usize,
    /// Where it begins.
    pub begin: Begin,
    /// Why.
    pub why: Why,
}

/// Why a timeline is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There is none.
    First,
    /// The channel is to be another one.
    Edition,
    /// The source's timestamps jumped.
    Jump,
    /// The source is lost, and another is there.
    Lost,
    /// A better source is there again.
    Better,
    /// Whoever published alone is gone.
    Owner,
    /// Nobody is left who encodes it as it was begun.
    Engine,
}

/// What is known when a turn is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub edition: &'a Edition,
    pub last: Option<&'a Timeline>,
    /// How each source is, in the edition's order.
    pub seen: &'a [Seen],
    /// Whether a peer is encoding the last timeline's source well.
    pub peer_is_fine: bool,
    /// Whether the last timeline belongs to a replica that is gone.
    pub orphaned: bool,
    /// Whether this replica encodes on another engine than the last timeline.
    pub other_engine: bool,
    /// The first number that nobody has committed.
    pub free: u64,
    pub now_ms: i64,
}

/// Whether another timeline is necessary, and which. A replica that alone has lost its source changes
/// nothing: what its peer sees is what the channel shows.
pub(super) fn turn(facts: &Facts<'_>) -> Option<Turn> {
    let Facts { edition, last, seen, .. } = *facts;
    let Some(last) = last else { return best(seen).and_then(|source| now(seen, source, Why::First)) };
    if last.edition != edition.number {
        let kept = edition.sources.iter().position(|source| *source == last.origin);
        let fitting = kept.filter(|kept| seen.get(*kept).is_some_and(|seen| fits(last, seen, facts.now_ms)));
        return match fitting {
            // On the same clock nothing is missing in between.
            Some(source) if goes_on(last, facts) => Some(Turn { source, begin: Begin::Ahead, why: Why::Edition }),
            // Until the other source is there, the one before goes on.
            None => best(seen).and_then(|source| soon(seen, source, Why::Edition, facts.peer_is_fine)),
            // It was changed off air: nothing goes on until then.
            Some(source) => now(seen, source, Why::Edition),
        };
    }
    let current = last.source as usize;
    let flowing = seen.get(current).is_some_and(|seen| seen.flowing);
    if flowing && facts.orphaned {
        return after(seen, current, Why::Owner);
    }
    let return_after = Duration::from_secs(edition.return_after_s.into());
    let better = seen.iter().take(current).position(|seen| is_ready(seen) && seen.steady >= return_after);
    if let Some(better) = better {
        return soon(seen, better, Why::Better, flowing || facts.peer_is_fine);
    }
    if facts.peer_is_fine {
        return None;
    }
    if flowing && facts.other_engine && fits(last, &seen[current], facts.now_ms) {
        return Some(Turn { source: current, begin: Begin::Ahead, why: Why::Engine });
    }
    if flowing && !fits(last, &seen[current], facts.now_ms) && is_ready(&seen[current]) {
        return now(seen, current, Why::Jump);
    }
    if !flowing {
        return best(seen).and_then(|source| after(seen, source, Why::Lost));
    }
    None
}

/// Whether the last timeline is being published: its numbers reach near the present.
fn goes_on(last: &Timeline, facts: &Facts<'_>) -> bool {
    let late_ms = if last.origin.kind == LiveSourceKind::Hls { APART_IN_SEGMENTS_MS } else { APART_MS };
    let behind_ms = facts.now_ms - last.time_ms(facts.free.max(last.first)).start;
    behind_ms <= late_ms + 4 * i64::try_from(last.segment_ms()).unwrap_or_default()
}

/// The best source that is there.
fn best(seen: &[Seen]) -> Option<usize> {
    seen.iter().position(is_ready)
}

fn is_ready(seen: &Seen) -> bool {
    seen.flowing && seen.format.is_some() && seen.steady >= STEADY
}

fn now(seen: &[Seen], source: usize, why: Why) -> Option<Turn> {
    let seen = seen.get(source)?;
    let begin = Begin::Now { oldest: seen.recent_pts?, last: seen.last_pts? };
    seen.format.as_ref()?;
    Some(Turn { source, begin, why })
}

/// The same, from where the last timeline broke off.
fn after(seen: &[Seen], source: usize, why: Why) -> Option<Turn> {
    let turn = now(seen, source, why)?;
    let Begin::Now { oldest: recent, last } = turn.begin else { return Some(turn) };
    Some(Turn { begin: Begin::After { oldest: seen[source].oldest_pts?, recent, last }, ..turn })
}

/// The same, a little ahead where the last timeline still `goes_on`.
fn soon(seen: &[Seen], source: usize, why: Why, goes_on: bool) -> Option<Turn> {
    let turn = now(seen, source, why)?;
    match turn.begin {
        Begin::Now { last, .. } if goes_on => Some(Turn { begin: Begin::Soon { last }, ..turn }),
        _ => Some(turn),
    }
}

/// How late the last picture of a number may come out of the encoder: it looks ahead, and works in
/// pieces.
fn slack(timeline: &Timeline) -> Duration {
    let usual = Duration::from_millis(timeline.segment_ms()).max(Duration::from_secs(3));
    // What comes in whole segments comes many pictures at a time.
    if timeline.origin.kind == LiveSourceKind::Hls { usual + IN_SEGMENTS } else { usual }
}

/// Whether the source has had a number whole for so long that the encoder must have given it.
pub(super) fn is_overdue(timeline: &Timeline, number: u64, seen: &Seen, waited: Duration, now_ms: i64) -> bool {
    let Some(last) = seen.last_pts.filter(|_| seen.flowing) else { return false };
    let near = frame_at_ms(now_ms, timeline.clock.rate);
    let frames = timeline.frames_of(number);
    let behind = timeline.clock.frame_of(last, near) - frames.end.cast_signed();
    let slack = slack(timeline);
    let slack_frames = frames_in(slack, timeline.clock.rate);
    behind > slack_frames && waited > slack
}

fn frames_in(time: Duration, rate: Ratio) -> i64 {
    frame_at_ms(i64::try_from(time.as_millis()).unwrap_or(i64::MAX), rate).cast_signed()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
