//! The listing of packets (or of decoded pictures): read line by line, kept within a bound.

use framemill_schemas::{failure::Failure, rate::Ratio};

use super::{
    describe::{Description, clamp, ticks_to_us},
    seek::Keyframes,
};
use crate::formats::Format;

/// A step of the clock that no broadcast makes: beyond it a recording was joined or its clock was
/// set, and what lies between is not known.
const JUMP_US: i64 = 10_000_000;
/// A step back that reordering does not explain.
const STEP_BACK_US: i64 = 1_000_000;
/// How much earlier than its container says a whole source may end: durations are rounded, and
/// some are estimates. Formats with an index say themselves that they are cut.
const END_SLACK_US: i64 = 1_000_000;
/// And this part of the whole, one in fifty.
const END_SLACK_PART: i64 = 50;

/// What the picture's timestamps mean.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub format: &'static Format,
    pub time_base: Ratio,
    pub stream: u32,
}

/// When pictures are shown, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// Pictures that are shown.
    pub count: u64,
    /// Those of them without a timestamp.
    pub missing: u64,
    /// Smallest timestamp.
    pub first: Option<i64>,
    /// Largest timestamp, and how long that picture is shown where it is said.
    pub last: Option<(i64, Option<i64>)>,
}

impl Times {
    pub fn add(&mut self, pts: Option<i64>, duration: Option<i64>) {
        self.count += 1;
        let Some(pts) = pts else {
            self.missing += 1;
            return;
        };
        self.first = Some(self.first.map_or(pts, |first| first.min(pts)));
        if self.last.is_none_or(|(last, _)| pts >= last) {
            self.last = Some((pts, duration.filter(|ticks| *ticks > 0)));
        }
    }

    /// Takes a line of the listing of decoded pictures.
    pub fn frame(&mut self, line: &str) {
        let fields = Fields::of(line);
        // Side data of a picture can take lines of its own.
        if fields.text("best_effort_timestamp").is_none() {
            return;
        }
        // Older versions call it pkt_duration.
        let duration = fields.number("duration").or(fields.number("pkt_duration"));
        // The last pictures out of a decoder may have lost their time: they follow the one before,
        // as they do when ffmpeg encodes them.
        let after_last = || self.last.and_then(|(last, duration)| last.checked_add(duration?));
        let pts = fields.number("best_effort_timestamp").or_else(after_last);
        self.add(pts, duration);
    }
}

/// What the packets of a source say.
pub(super) struct Index {
    clock: Clock,
    /// Seconds per tick of each stream, by index.
    time_bases: Vec<Option<Ratio>>,
    pub times: Times,
    pub keyframes: Keyframes,
    /// Pictures before the first keyframe.
    undecodable: u64,
    /// The last picture's place on the decoder's clock.
    previous: Option<i64>,
    /// Where the last packet of any stream ends.
    end_us: Option<i64>,
}

impl Index {
    pub fn new(description: &Description, clock: Clock) -> Self {
        let bases = description.streams.iter().map(|stream| stream.time_base().ok()).collect();
        Self {
            clock,
            time_bases: bases,
            times: Times::default(),
            keyframes: Keyframes::new(clock.format.indexed),
            undecodable: 0,
            previous: None,
            end_us: None,
        }
    }

    /// Takes a line of the listing of packets.
    pub fn packet(&mut self, line: &str) -> Result<(), Failure> {
        let fields = Fields::of(line);
        let Some(stream) = fields.number("stream_index") else { return Ok(()) };
        let (pts, dts) = (fields.number("pts"), fields.number("dts"));
        let duration = fields.number("duration");
        let base = usize::try_from(stream).ok().and_then(|index| *self.time_bases.get(index)?);
        if let (Some(at), Some(base)) = (pts.or(dts), base) {
            let end = ticks_to_us(at.saturating_add(duration.unwrap_or(0)), base);
            self.end_us = Some(self.end_us.map_or(end, |latest| latest.max(end)));
        }
        if stream != i64::from(self.clock.stream) {
            return Ok(());
        }
        self.check_step(dts.or(pts))?;
        let flags = fields.text("flags").unwrap_or_default();
        // Outside the edit list: decoded for what follows, but never shown.
        if flags.contains('D') {
            return Ok(());
        }
        let key = flags.contains('K');
        // A recording that starts inside a group of pictures: nothing of it decodes before the
        // first keyframe, so the grid starts there.
        if !key && self.times.count == 0 {
            self.undecodable += 1;
            return Ok(());
        }
        self.times.add(pts, duration);
        if let (true, Some(pts)) = (key, pts) {
            self.keyframes.add(pts);
        }
        Ok(())
    }

    /// Whether any picture says that it decodes alone.
    pub fn has_keyframes(&self) -> bool {
        self.times.count > 0
    }

    /// Whether there is no picture at all.
    pub fn is_empty(&self) -> bool {
        self.times.count == 0 && self.undecodable == 0
    }

    fn check_step(&mut self, at: Option<i64>) -> Result<(), Failure> {
        let Some(at) = at else { return Ok(()) };
        let before = self.previous.replace(at);
        let (true, Some(before)) = (self.clock.format.may_jump, before) else { return Ok(()) };
        let step_us = ticks_to_us(at.saturating_sub(before), self.clock.time_base);
        if (-STEP_BACK_US..=JUMP_US).contains(&step_us) {
            return Ok(());
        }
        let first_us =
            self.times.first.map_or(0, |first| ticks_to_us(before.saturating_sub(first), self.clock.time_base));
        Err(Failure::input(
            "timestamp-jump",
            format!(
                "the source's clock jumps by {} s, {} s into the picture",
                step_us / 1_000_000,
                first_us.max(0) / 1_000_000
            ),
        )
        .mend("cut the recording there, or remux it with continuous timestamps"))
    }

    /// Whether the source is all there: what its container promises has come.
    pub fn check(&self, description: &Description, stderr: &str) -> Result<(), Failure> {
        let cut = |reason: String| {
            Failure::input("source-truncated", reason)
                .mend("upload the whole file again; it is shorter than it says")
                .evidence(stderr)
        };
        if ["partial file", "ended prematurely", "truncat"].iter().any(|sign| stderr.contains(sign)) {
            return Err(cut("the source is cut off in the middle".to_owned()));
        }
        if self.clock.format.demuxer == "asf" && description.format.end_us().is_none() {
            // Its demuxer believes the header's duration only where the header's size is right too.
            return Err(cut(
                "the source is cut off, or was never finished: its header does not fit its size".to_owned()
            ));
        }
        let start_us = description.format.start_us();
        let (promised, end) = match (self.promise(description), self.end_us) {
            (Some(promised), Some(end)) => (promised.saturating_sub(start_us), end.saturating_sub(start_us)),
            _ => return Ok(()),
        };
        let slack = END_SLACK_US + promised / END_SLACK_PART;
        if end < promised.saturating_sub(slack) {
            let (has, says) = (end.max(0) / 1000, promised / 1000);
            return Err(cut(format!("the source ends after {has} ms, its index says {says} ms")));
        }
        Ok(())
    }

    /// Where the container says the source ends; `None` of recordings, which promise nothing:
    /// their duration is estimated from what is there.
    fn promise(&self, description: &Description) -> Option<i64> {
        if matches!(self.clock.format.demuxer, "mpegts" | "mpeg") {
            return None;
        }
        let container = description.format.end_us();
        // AVI's duration is corrected to what is there; the count in its header is not.
        let picture = description.streams.iter().find(|stream| stream.index == self.clock.stream);
        let counted = picture.filter(|_| self.clock.format.demuxer == "avi").and_then(|stream| stream.promised_us());
        container.max(counted)
    }
}

/// The fields of a line: `key=value|key=value`.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn of(line: &'a str) -> Self {
        Self(line.trim_end())
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.0.split('|').filter_map(|field| field.split_once('=')).find(|(name, _)| *name == key).map(|(_, text)| text)
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.text(key)?.parse().ok().map(clamp)
    }
}
