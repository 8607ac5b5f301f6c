//! Pictures of a channel: each group is one fragment, a segment is a whole number of them, and both
//! are given their place on the channel's timeline. Pure: bytes in, segments out.

use bytes::{Bytes, BytesMut};
use framemill_schemas::live::Timeline;

use crate::{
    boxes::{read_fragment, read_init, restamp},
    cutter::{CutError, Part, Stream, off_plan},
};

/// Largest segment of a channel.
const SEGMENT_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A piece of a rendition, before anybody knows which.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Init(Bytes),
    Segment { number: u64, bytes: Bytes },
}

/// Cuts one rung of one run, whose encoder counts from the start of number `first`.
pub(super) struct PictureCutter<'a> {
    timeline: &'a Timeline,
    first: u64,
    /// Groups taken so far.
    groups: u64,
    stream: Stream,
    segment: BytesMut,
}

impl<'a> PictureCutter<'a> {
    pub fn new(timeline: &'a Timeline, first: u64) -> Self {
        Self { timeline, first, groups: 0, stream: Stream::default(), segment: BytesMut::new() }
    }

    /// Takes bytes, appends the pieces they finish.
    pub fn push(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        self.stream.push(bytes);
        while let Some(part) = self.stream.next()? {
            match part {
                Part::Init(init) => {
                    check_timescale(&init, self.timeline.timescale)?;
                    pieces.push(Piece::Init(init));
                }
                Part::Fragment(fragment) => self.take(fragment, pieces)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: BytesMut, pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        self.check(&bytes)?;
        let per_segment = self.groups_of_segment();
        let number = self.first + self.groups / per_segment;
        if self.segment.len() + bytes.len() > SEGMENT_BYTES_MAX {
            return off_plan(format!("segment {number} grows beyond {SEGMENT_BYTES_MAX} bytes"));
        }
        self.segment.unsplit(bytes);
        self.groups += 1;
        if self.groups.is_multiple_of(per_segment) {
            let mut bytes = std::mem::take(&mut self.segment);
            place(&mut bytes, self.timeline, number)?;
            pieces.push(Piece::Segment { number, bytes: bytes.freeze() });
        }
        Ok(())
    }

    fn groups_of_segment(&self) -> u64 {
        u64::from(self.timeline.segment_frames / self.timeline.gop_frames)
    }

    /// One whole group at its place, starting with a picture that decodes alone. The encoder's own times
    /// begin at 0.
    fn check(&self, bytes: &[u8]) -> Result<(), CutError> {
        let fragment = read_fragment(bytes)?;
        let (at, gop) = (self.groups, u64::from(self.timeline.gop_frames));
        let samples = fragment.samples.len() as u64;
        if samples != gop {
            return off_plan(format!("{samples} pictures in group {at} of the run, not {gop}"));
        }
        let start = self.groups * gop * self.frame_ticks();
        if fragment.start_ticks != start.cast_signed() || fragment.duration_ticks != gop * self.frame_ticks() {
            let (from, long) = (fragment.start_ticks, fragment.duration_ticks);
            return off_plan(format!("group {at} of the run starts at tick {from} and lasts {long}, not from {start}"));
        }
        if !fragment.samples[0].sync {
            return off_plan(format!("group {at} of the run starts without a keyframe"));
        }
        Ok(())
    }

    /// Ticks of a frame: whole, because the timescale was chosen so.
    fn frame_ticks(&self) -> u64 {
        let rate = self.timeline.clock.rate;
        u64::from(self.timeline.timescale) * u64::from(rate.den) / u64::from(rate.num)
    }
}

/// Gives a segment of pictures its place on the timeline.
pub(super) fn place(bytes: &mut [u8], timeline: &Timeline, number: u64) -> Result<(), CutError> {
    let groups = u64::from(timeline.segment_frames / timeline.gop_frames);
    Ok(restamp(bytes, sequence(number, groups), timeline.picture_ticks(number).start)?)
}

/// Sequence number of a number's first fragment: it only has to rise, and may begin again after a century.
pub(super) fn sequence(number: u64, fragments: u64) -> u32 {
    (number.wrapping_mul(fragments) & u64::from(u32::MAX >> 1)) as u32
}

/// Refuses an init of another clock than was asked for.
pub(super) fn check_timescale(init: &[u8], wanted: u32) -> Result<(), CutError> {
    let found = read_init(init)?.timescale;
    if found == wanted { Ok(()) } else { off_plan(format!("a timescale of {found}, not {wanted}")) }
}

#[cfg(test)]
#[path = "cutter_tests.rs"]
mod tests;
