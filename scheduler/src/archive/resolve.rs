//! From a span of time to numbers of a channel. Pure.
//!
//! Numbers that nobody made, and filler, are left out: the title closes up over them. A title has one rate,
//! one set of renditions and one init for each, so a span in which one of them changes has to be split.

use std::collections::BTreeMap;

use framemill_schemas::live::{
    Commit, Committed, Cut, HOLE_MAX, LeftOut, LeftOutWhy, SPAN_SEGMENTS_MAX, STRETCHES_MAX, Stretch, Timeline,
    folder_of,
};

use crate::plan::TITLE_MS_MAX;

/// Most moments that a refusal names.
const MOMENTS_MAX: usize = 16;

/// What a channel knows of the time around a span.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Every timeline that its numbers lie on, by its id.
    pub timelines: BTreeMap<u32, Timeline>,
    /// What became of its numbers: those around the span, and the newest.
    pub commits: BTreeMap<u64, Commit>,
    /// Numbers below it were folded: what is missing there is missing for ever.
    pub floor: u64,
    /// The first number that is kept.
    pub oldest: u64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it starts, Unix milliseconds.
    pub from_ms: i64,
    /// Where it ends.
    pub to_ms: i64,
    /// Whether nothing will be added to the channel within it: it is off air, and the span lies in the past.
    pub closed: bool,
}

/// Why a span cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its end is still to come.
    #[error("the span is not over: the channel has come to {}; ask again later, or for an earlier end", time(*.0))]
    InFuture(i64),
    /// It starts before what is kept.
    #[error("the span is not kept: the channel keeps {} to {}; ask for what lies in between", time(*.from_ms), time(*.to_ms))]
    NotKept {
        /// Where what is kept starts, Unix milliseconds.
        from_ms: i64,
        /// Where it ends.
        to_ms: i64,
    },
    /// Nothing was published in it.
    #[error("the span is empty: nothing of the source was published in it; look at `framemill event tail` for why")]
    Empty,
    /// More than a title may have.
    #[error(
        "the span has {0} segments, more than the {SPAN_SEGMENTS_MAX} or the twelve hours of a title; keep it in parts"
    )]
    TooLong(u64),
    /// It is in too many pieces.
    #[error("the span is in more than {STRETCHES_MAX} pieces; keep it in parts")]
    InPieces,
    /// A title cannot go on there.
    #[error("the span changes its size, its rate, its encoder or its renditions; split it at {}", moments(.0))]
    Changes(Vec<i64>),
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

fn moments(all: &[i64]) -> String {
    let named: Vec<_> = all.iter().take(MOMENTS_MAX).map(|ms| time(*ms)).collect();
    let more = if all.len() > MOMENTS_MAX { " and later" } else { "" };
    format!("{}{more}", named.join(", "))
}

/// What a number is to a title.
enum Number<'a> {
    Kept { timeline: &'a Timeline, commit: &'a Commit },
    Left(LeftOutWhy),
}

impl Known {
    fn timeline_of(&self, number: u64) -> Option<&Timeline> {
        self.timelines.values().rfind(|timeline| timeline.first <= number)
    }

    /// When a number starts and ends.
    fn time_of(&self, number: u64) -> Option<(i64, i64)> {
        let time = self.timeline_of(number)?.time_ms(number);
        Some((time.start, time.end))
    }

    /// The last number that everything before it is known of. Few missing numbers may still come.
    fn newest(&self) -> Option<u64> {
        let mut newest = None;
        for &number in self.commits.keys() {
            let missing = newest.map_or(0, |before: u64| number - before - 1);
            if number >= self.floor && (1..=HOLE_MAX).contains(&missing) {
                break;
            }
            newest = Some(number);
        }
        newest
    }

    /// A commit on an older timeline is ignored, and one without every rendition publishes nothing.
    fn look<'a>(&'a self, number: u64, commit: &'a Commit) -> Number<'a> {
        let Some(timeline) = self.timeline_of(number) else { return Number::Left(LeftOutWhy::Gap) };
        let whole = commit.timeline == timeline.id && commit.what.tracks().len() == timeline.renditions().count();
        match commit.what {
            Committed::Segment { .. } if whole => Number::Kept { timeline, commit },
            Committed::Filler { .. } if whole => Number::Left(LeftOutWhy::Filler),
            _ => Number::Left(LeftOutWhy::Gap),
        }
    }
}

/// The numbers that a span means, rounded outwards to whole segments. `folder` is the channel's.
///
/// # Errors
/// Why it cannot be kept, with the mend.
pub fn resolve(known: &Known, folder: &str, span: Span) -> Result<(Cut, (u64, u64)), Refusal> {
    let newest = known.newest().ok_or(Refusal::Empty)?;
    let (kept_from_ms, oldest_ends_ms) = known.time_of(known.oldest).ok_or(Refusal::Empty)?;
    let (_, kept_to_ms) = known.time_of(newest).ok_or(Refusal::Empty)?;
    // Before its very first number there was nothing: a schedule's span begins up to a segment sooner.
    let is_first = known.timeline_of(known.oldest).is_some_and(|timeline| timeline.first == known.oldest);
    let sooner_ms = if is_first { oldest_ends_ms - kept_from_ms } else { 0 };
    if span.from_ms < kept_from_ms - sooner_ms {
        return Err(Refusal::NotKept { from_ms: kept_from_ms, to_ms: kept_to_ms });
    }
    if span.to_ms > kept_to_ms && !span.closed {
        return Err(Refusal::InFuture(kept_to_ms));
    }
    let within =
        |number: &u64| known.time_of(*number).is_some_and(|(start, end)| end > span.from_ms && start < span.to_ms);
    let decided = || known.commits.range(..=newest).map(|(number, _)| *number);
    let first = decided().find(within).ok_or(Refusal::Empty)?;
    let last = decided().rfind(within).ok_or(Refusal::Empty)?;
    let cut = Cutting::default().all(known, folder, first..=last)?;
    Ok((cut, (first, last)))
}

/// A cut that is being made.
#[derive(Default)]
struct Cutting {
    cut: Option<Cut>,
    left_out: Vec<LeftOut>,
    changes: Vec<i64>,
    /// What the numbers before were like, as far as a title cares.
    like: Option<Like>,
}

/// What has to stay the same.
#[derive(PartialEq, Eq)]
struct Like {
    grid: (framemill_schemas::rate::Ratio, u32, u32, u32),
    pictures: Vec<(String, u32, u32)>,
    sound: Vec<(String, u8)>,
    inits: Vec<String>,
}

impl Like {
    fn of(timeline: &Timeline, commit: &Commit) -> Self {
        Self {
            grid: (timeline.clock.rate, timeline.gop_frames, timeline.segment_frames, timeline.timescale),
            pictures: timeline.rungs.iter().map(|rung| (rung.name.clone(), rung.width, rung.height)).collect(),
            sound: timeline.audio.iter().map(|rung| (rung.name.clone(), rung.channels)).collect(),
            inits: commit.what.tracks().iter().map(|track| track.init.clone()).collect(),
        }
    }
}

impl Cutting {
    fn all(mut self, known: &Known, folder: &str, numbers: std::ops::RangeInclusive<u64>) -> Result<Cut, Refusal> {
        let mut before: Option<u64> = None;
        for (&number, commit) in known.commits.range(numbers) {
            let Some((start_ms, end_ms)) = known.time_of(number) else { continue };
            let missing = before.map_or(0, |before| number - before - 1);
            if missing > 0 {
                let ended_ms = before.and_then(|before| known.time_of(before)).map_or(start_ms, |(_, end)| end);
                self.leave_out(LeftOutWhy::Gap, missing, ended_ms, start_ms);
            }
            match known.look(number, commit) {
                Number::Left(why) => self.leave_out(why, 1, start_ms, end_ms),
                Number::Kept { timeline, commit } => self.keep(folder, timeline, commit)?,
            }
            before = Some(number);
        }
        if !self.changes.is_empty() {
            return Err(Refusal::Changes(self.changes));
        }
        if self.left_out.len() > STRETCHES_MAX {
            return Err(Refusal::InPieces);
        }
        let cut = Cut { left_out: self.left_out, ..self.cut.ok_or(Refusal::Empty)? };
        let segments = cut.segments();
        // Rounding outwards may add a segment at each end.
        let length_ms = cut.grid().duration_ms();
        let spare_ms = length_ms / segments.max(1) * 2;
        if segments > SPAN_SEGMENTS_MAX || length_ms > TITLE_MS_MAX + spare_ms {
            return Err(Refusal::TooLong(segments));
        }
        Ok(cut)
    }

    fn leave_out(&mut self, why: LeftOutWhy, segments: u64, from_ms: i64, to_ms: i64) {
        match self.left_out.last_mut() {
            Some(last) if last.why == why && last.to_ms == from_ms => {
                last.segments += segments;
                last.to_ms = to_ms;
            }
            _ => self.left_out.push(LeftOut { why, segments, from_ms, to_ms }),
        }
    }

    fn keep(&mut self, folder: &str, timeline: &Timeline, commit: &Commit) -> Result<(), Refusal> {
        let number = commit.number;
        let like = Like::of(timeline, commit);
        if self.like.as_ref().is_some_and(|before| *before != like) {
            self.changes.push(timeline.time_ms(number).start);
        }
        let cut = self.cut.get_or_insert_with(|| Cut {
            rate: timeline.clock.rate,
            gop_frames: timeline.gop_frames,
            segment_frames: timeline.segment_frames,
            timescale: timeline.timescale,
            codec: timeline.codec,
            rungs: timeline.rungs.clone(),
            audio: timeline.audio.clone(),
            inits: like.inits.clone(),
            stretches: Vec::new(),
            left_out: Vec::new(),
            bytes: 0,
            from_ms: timeline.time_ms(number).start,
            to_ms: 0,
        });
        cut.to_ms = timeline.time_ms(number).end;
        cut.bytes += commit.what.tracks().iter().map(|track| track.bytes).sum::<u64>();
        let pieces = cut.stretches.len();
        match cut.stretches.last_mut() {
            Some(stretch) if stretch.timeline == timeline.id && stretch.last + 1 == number => stretch.last = number,
            _ if pieces == STRETCHES_MAX => return Err(Refusal::InPieces),
            _ => cut.stretches.push(Stretch {
                timeline: timeline.id,
                folder: format!("{folder}/{}", folder_of(timeline)),
                first: number,
                last: number,
                first_frame: timeline.frames_of(number).start,
            }),
        }
        self.like = Some(like);
        Ok(())
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
