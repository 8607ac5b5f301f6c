//! Pictures: each group of pictures is one fragment, a segment is a whole number of them. The
//! media bytes pass through untouched; only the sequence numbers, which every process starts
//! again at 1, are rewritten to count along the title.

use bytes::BytesMut;
use framemill_schemas::{rate::frames_to_ticks, spec::TranscodeSpec};

use super::{
    CutError, Cutter, Reached, off_plan,
    stream::{Part, Stream},
};
use crate::{
    boxes::{Fragment, Mark, close, read_fragment, read_init},
    encode::{CutSegment, Piece},
};

/// Largest segment: what the store takes as one object.
const SEGMENT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Cuts one rung of one chunk.
pub(crate) struct VideoCutter<'a> {
    spec: &'a TranscodeSpec,
    start_frame: u64,
    /// The grid frame the next fragment starts with.
    frame: u64,
    /// A group that ended early: nothing may follow it.
    short: bool,
    stream: Stream,
    segment: BytesMut,
    marks: Vec<Mark>,
}

impl<'a> VideoCutter<'a> {
    /// A cutter for frames `start_frame..spec.end_frame`; the start is that of a segment.
    pub fn new(spec: &'a TranscodeSpec, start_frame: u64) -> Self {
        debug_assert_eq!(start_frame % u64::from(spec.segment_frames), 0);
        Self {
            spec,
            start_frame,
            frame: start_frame,
            short: false,
            stream: Stream::default(),
            segment: BytesMut::new(),
            marks: Vec::new(),
        }
    }

    fn ticks(&self, frame: u64) -> u64 {
        frames_to_ticks(frame, self.spec.grid.rate, self.spec.timescale)
    }

    /// The frames of the segment that is being filled, as far as this chunk goes.
    fn segment_frames(&self) -> (u64, std::ops::Range<u64>) {
        let number = self.spec.segment_of(self.frame);
        let whole = self.spec.segment_range(number);
        (number, whole.start..whole.end.min(self.spec.end_frame))
    }

    /// Checks a fragment against the plan: one whole group of pictures, at its place, starting
    /// with a picture that decodes alone.
    fn check(&mut self, fragment: &Fragment) -> Result<(), CutError> {
        let at = self.frame;
        if at >= self.spec.end_frame {
            return off_plan(format!("pictures after frame {}, the last one", self.spec.end_frame));
        }
        if self.short {
            return off_plan(format!("a keyframe inside the group before frame {at}"));
        }
        let planned = u64::from(self.spec.gop_frames).min(self.spec.end_frame - at);
        let samples = fragment.samples.len() as u64;
        if samples > planned {
            return off_plan(format!("{samples} pictures in the group at frame {at}, not {planned}"));
        }
        // A source that ends early ends inside a group: whoever counts the frames says so.
        self.short = samples < planned;
        let (start, end) = (self.ticks(at), self.ticks(at + planned));
        if fragment.start_ticks != start.cast_signed() {
            return off_plan(format!("frame {at} starts at tick {}, not {start}", fragment.start_ticks));
        }
        if !self.short && fragment.duration_ticks != end - start {
            let ticks = fragment.duration_ticks;
            return off_plan(format!("the group at frame {at} lasts {ticks} ticks, not {}", end - start));
        }
        if !fragment.samples[0].sync {
            return off_plan(format!("the group at frame {at} starts without a keyframe"));
        }
        Ok(())
    }

    fn take(&mut self, mut bytes: BytesMut, pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        let fragment = read_fragment(&bytes)?;
        self.check(&fragment)?;
        let group = self.frame / u64::from(self.spec.gop_frames);
        let sequence = u32::try_from(group + 1).map_err(|_| CutError::OffPlan("too many groups".to_owned()))?;
        bytes[fragment.sequence_at..fragment.sequence_at + 4].copy_from_slice(&sequence.to_be_bytes());
        let (number, frames) = self.segment_frames();
        let at_ticks = self.ticks(self.frame) - self.ticks(frames.start);
        self.marks.extend(fragment.mark(self.segment.len() as u64, at_ticks));
        if self.segment.len() + bytes.len() > SEGMENT_BYTES_MAX {
            return off_plan(format!("segment {number} grows beyond {SEGMENT_BYTES_MAX} bytes"));
        }
        self.segment.unsplit(bytes);
        self.frame += fragment.samples.len() as u64;
        if self.frame == frames.end {
            let start_ticks = self.ticks(frames.start);
            let duration_ticks = self.ticks(frames.end) - start_ticks;
            pieces.push(Piece::Segment(CutSegment {
                number,
                start_ticks,
                duration_ticks,
                samples: frames.end - frames.start,
                keyframes: close(&self.marks, duration_ticks),
                bytes: std::mem::take(&mut self.segment).freeze(),
            }));
            self.marks.clear();
        }
        Ok(())
    }
}

impl Cutter for VideoCutter<'_> {
    fn push(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        self.stream.push(bytes);
        while let Some(part) = self.stream.next()? {
            match part {
                Part::Init(init) => {
                    let facts = read_init(&init)?;
                    if facts.timescale != self.spec.timescale {
                        return off_plan(format!("a timescale of {}, not {}", facts.timescale, self.spec.timescale));
                    }
                    pieces.push(Piece::Init(init));
                }
                Part::Fragment(bytes) => self.take(bytes, pieces)?,
            }
        }
        Ok(())
    }

    fn reached(&self) -> Reached {
        Reached { done: self.done(), planned: self.spec.end_frame - self.start_frame }
    }

    fn done(&self) -> u64 {
        self.frame - self.start_frame
    }
}
