//! Making a timeline: from what a channel is to be and what its source is like. Pure; whoever stores
//! the result first decides for everybody.

use framemill_schemas::{
    failure::Failure,
    ids::JobId,
    inventory::Engine,
    live::{Edition, LiveClock, SourceFormat, Timeline, Timelines, frame_at_ms},
    load::pixels_per_s,
    rate::{rescale, timescale_for},
    sizing::{fitting, sized},
    spec::{Decoder, Nvenc},
};

/// Pixels per second that one thread of an encoder is given, so that it keeps pace with time.
const PIXELS_PER_THREAD: u64 = 40_000_000;
/// Most threads of an encoder.
const THREADS_MAX: u64 = 8;
/// Numbers ahead at which everybody changes to a new edition.
const NOTICE: u64 = 2;

/// Where a new timeline begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the first number that its source has whole: `oldest` is the first picture it has.
    Now {
        /// In the source's ticks.
        oldest: u64,
        /// The last picture it has, which is being shown now.
        last: u64,
    },
    /// Where the last timeline broke off: its source, or whoever encoded it, is lost, and the tape of the one that
    /// takes over reaches back to there. As `Now` with the pictures since `recent` where it does not.
    After {
        /// The first picture on the tape, in the source's ticks.
        oldest: u64,
        /// The first one of the last seconds.
        recent: u64,
        /// The last picture it has, which is being shown now.
        last: u64,
    },
    /// A little ahead, while the last timeline goes on: `last` is shown now.
    Soon {
        /// In the source's ticks.
        last: u64,
    },
    /// A little ahead, on the clock of the last timeline.
    Ahead,
}

/// What a timeline is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a> {
    pub edition: &'a Edition,
    pub source: u32,
    pub format: &'a SourceFormat,
    pub engine: Engine,
    pub before: &'a Timelines,
    /// The first number that nobody has committed.
    pub free: u64,
    pub now_ms: i64,
    pub random: &'a str,
    /// The replica that alone can publish on it.
    pub owner: Option<JobId>,
    /// When the channel's schedule puts it on air, Unix milliseconds: nothing from before is published.
    pub not_before_ms: Option<i64>,
}

/// Makes the timeline.
pub(super) fn timeline(ground: Ground<'_>, begin: Begin) -> Result<Timeline, Failure> {
    let Ground { edition, format, before, .. } = ground;
    let rate = format.rate;
    let last = before.last();
    let nvenc = ground.engine == Engine::Nvenc;
    let rungs = fitting(&edition.ladder, format.height);
    let codec = rungs.first().map(|rung| rung.codec).expect("a ladder has a rung that fits");
    let rungs: Vec<_> =
        rungs.iter().map(|rung| sized(rung, format.width, format.height, nvenc)).collect::<Result<_, _>>()?;
    let (gop_frames, segment_frames) = edition.frames(rate);
    let now_frame = frame_at_ms(ground.now_ms, rate);
    let threads = (pixels_per_s(&rungs, rate) / PIXELS_PER_THREAD + 1).min(THREADS_MAX);
    let mut made = Timeline {
        id: last.map_or(1, |last| last.id + 1),
        random: ground.random.to_owned(),
        first: 0,
        first_frame: 0,
        edition: edition.number,
        source: ground.source,
        origin: edition.sources[ground.source as usize].clone(),
        clock: LiveClock { rate, pts: 0, frame: 0 },
        owner: ground.owner,
        format: format.clone(),
        gop_frames,
        segment_frames,
        timescale: timescale_for(rate),
        threads: threads as u32,
        codec,
        nvenc: nvenc.then_some(Nvenc { decoder: decoder(format) }),
        rungs,
        audio: edition.ladder.audio.clone(),
        made_ms: ground.now_ms,
    };
    match (begin, last) {
        (Begin::Ahead, Some(last)) => {
            begin_ahead(&mut made, last, &ground);
            made.clock = LiveClock { frame: carried_frame(last.clock.frame, last, &made), ..last.clock };
            made.clock.rate = rate;
        }
        (Begin::Soon { last: shown }, Some(last)) => {
            begin_ahead(&mut made, last, &ground);
            made.clock = LiveClock { rate, pts: shown, frame: now_frame };
        }
        (Begin::Now { oldest, last: shown }, before) => {
            begin_now(&mut made, before, ground.free, now_frame, oldest, shown)
        }
        (Begin::After { oldest, recent, last: shown }, before) => {
            if !begin_after(&mut made, before, ground.free, now_frame, oldest, shown) {
                begin_now(&mut made, before, ground.free, now_frame, recent, shown);
            }
        }
        // Nothing to be ahead of.
        (Begin::Ahead | Begin::Soon { .. }, None) => {
            made.first = now_frame / u64::from(segment_frames);
            made.first_frame = made.first * u64::from(segment_frames);
        }
    }
    if let Some(from_ms) = ground.not_before_ms {
        let first = made.number_at_ms(from_ms);
        made.first_frame = made.frames_of(first).start;
        made.first = first;
    }
    Ok(made)
}

/// Begins with a number that nobody has begun: whatever is committed of earlier ones still counts.
fn begin_ahead(made: &mut Timeline, last: &Timeline, ground: &Ground<'_>) {
    let current = last.number_of(frame_at_ms(ground.now_ms, last.clock.rate).cast_signed());
    made.first = (current + NOTICE).max(ground.free + 1);
    made.first_frame = carried(last, made.first, made);
}

/// Maps the picture that is shown now to the present, and begins with the very next number: what was shown when
/// the last timeline broke off. Answers whether the tape holds it.
fn begin_after(
    made: &mut Timeline,
    before: Option<&Timeline>,
    free: u64,
    now_frame: u64,
    oldest: u64,
    shown: u64,
) -> bool {
    let Some(before) = before else { return false };
    made.clock = LiveClock { rate: made.clock.rate, pts: shown, frame: now_frame };
    made.first = free.max(before.first + 1);
    made.first_frame = carried(before, made.first, made);
    made.clock.frame_of(oldest, now_frame) <= made.first_frame.cast_signed()
}

/// Maps the picture that is shown now to the present, and begins with the first number that is whole. One
/// that follows closely on what was published takes the very next number, so that none is missing.
fn begin_now(made: &mut Timeline, before: Option<&Timeline>, free: u64, now_frame: u64, oldest: u64, shown: u64) {
    made.clock = LiveClock { rate: made.clock.rate, pts: shown, frame: now_frame };
    let oldest_frame = made.clock.frame_of(oldest, now_frame);
    let segment = u64::from(made.segment_frames);
    let Some(before) = before else {
        made.first = u64::try_from(oldest_frame).unwrap_or_default().div_ceil(segment);
        made.first_frame = made.first * segment;
        return;
    };
    // The grid of what was published goes on.
    made.first = before.first.max(1);
    made.first_frame = carried(before, made.first, made);
    let whole = made.number_from(oldest_frame);
    let next = free.max(before.first + 1);
    let start = |number: u64, made: &Timeline| made.first_frame + (number - made.first) * segment;
    if whole > next + 1 {
        made.first_frame = start(whole, made);
        made.first = whole;
        return;
    }
    // Its oldest picture stands at the start of the next number, whatever the clock says: less than two
    // segments lie in between.
    made.first_frame = start(next, made);
    made.first = next;
    let ahead = made.first_frame.cast_signed() - oldest_frame;
    made.clock.frame = made.clock.frame.saturating_add_signed(ahead);
}

/// The frame at which a number of the timeline before starts, at the rate of the new one.
fn carried(before: &Timeline, number: u64, made: &Timeline) -> u64 {
    carried_frame(before.frames_of(number).start, before, made)
}

fn carried_frame(frame: u64, before: &Timeline, made: &Timeline) -> u64 {
    let (old, new) = (before.clock.rate, made.clock.rate);
    if old == new {
        return frame;
    }
    let scaled =
        rescale(frame.cast_signed(), u64::from(new.num) * u64::from(old.den), u64::from(new.den) * u64::from(old.num));
    u64::try_from(scaled).unwrap_or_default()
}

/// What decodes a source that a GPU encodes (NVIDIA's decode matrix).
fn decoder(format: &SourceFormat) -> Decoder {
    let on_gpu = format.pixels == "yuv420p" && matches!(format.codec.as_str(), "h264" | "hevc" | "mpeg2video");
    if on_gpu { Decoder::Gpu } else { Decoder::Software }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
