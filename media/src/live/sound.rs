//! Sound of a channel: AAC frames on a grid of their own that counts from the Unix epoch, grouped by
//! the number they start in. Where none came, silence stands for it. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use framemill_schemas::{
    live::Timeline,
    rate::frames_to_ticks,
    spec::{AAC_FRAME_SAMPLES, AUDIO_RATE},
};

use super::cutter::{Piece, check_timescale, sequence};
use crate::{
    boxes::read_fragment,
    cutter::{CutError, Part, Stream, off_plan, sound_fragment},
};

/// Frames that are encoded before the first that is wanted: each is decoded with the help of the one
/// before, and the first of an encoder is nothing but its start.
pub(super) const LEAD_FRAMES: u64 = 4;
/// Most frames that are kept ahead of the number that is being filled: a minute.
const AHEAD_MAX: u64 = 3000;

/// Cuts one rung of sound of one run, whose encoder counts from the start of number `first`.
pub(super) struct SoundCutter<'a> {
    timeline: &'a Timeline,
    /// Samples from the Unix epoch to where the encoder counts from.
    origin: i64,
    /// The number being filled.
    number: u64,
    /// The last number that may be given out: sound whose timestamps jumped ahead of its pictures must not
    /// leave them behind.
    allowed: u64,
    frames: BTreeMap<u64, Bytes>,
    stream: Stream,
}

/// Samples from the Unix epoch to the start of a number's pictures.
pub(super) fn origin(timeline: &Timeline, number: u64) -> u64 {
    frames_to_ticks(timeline.frames_of(number).start, timeline.clock.rate, AUDIO_RATE)
}

impl<'a> SoundCutter<'a> {
    pub fn new(timeline: &'a Timeline, first: u64) -> Self {
        let origin = origin(timeline, first).cast_signed();
        Self { timeline, origin, number: first, allowed: first + 1, frames: BTreeMap::new(), stream: Stream::default() }
    }

    /// Takes bytes, appends the pieces they finish.
    pub fn push(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        self.stream.push(bytes);
        while let Some(part) = self.stream.next()? {
            match part {
                Part::Init(init) => {
                    check_timescale(&init, AUDIO_RATE)?;
                    pieces.push(Piece::Init(init));
                }
                Part::Fragment(fragment) => self.take(&fragment.freeze())?,
            }
        }
        self.emit(None, pieces)
    }

    /// Pictures have come so far that sound up to `number` may be given out.
    pub fn allow(&mut self, number: u64, pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        self.allowed = self.allowed.max(number);
        self.emit(None, pieces)
    }

    /// Everything up to the end of `number` is wanted now: `silence` stands for frames that did not come.
    pub fn fill(&mut self, number: u64, silence: &Bytes, pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        while self.number <= number {
            self.emit(Some(silence), pieces)?;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &Bytes) -> Result<(), CutError> {
        let fragment = read_fragment(bytes)?;
        let mut at = self.origin + fragment.start_ticks;
        for sample in &fragment.samples {
            if at % AAC_FRAME_SAMPLES.cast_signed() != 0 {
                return off_plan(format!("sound off its grid, at sample {at}"));
            }
            let frame = u64::try_from(at).unwrap_or_default() / AAC_FRAME_SAMPLES;
            let wanted = self.timeline.sound_frames(self.number).start;
            if (wanted..wanted + AHEAD_MAX).contains(&frame) {
                self.frames.insert(frame, bytes.slice(sample.offset..sample.offset + sample.bytes as usize));
            }
            at += i64::from(sample.duration_ticks);
        }
        Ok(())
    }

    /// Emits numbers while all their frames are there; with `silence`, one number whether they are or not.
    fn emit(&mut self, silence: Option<&Bytes>, pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        loop {
            let wanted = self.timeline.sound_frames(self.number);
            let complete = wanted.clone().all(|frame| self.frames.contains_key(&frame));
            if silence.is_none() && (!complete || self.number > self.allowed) {
                return Ok(());
            }
            let frames = wanted.clone().map(|frame| self.frames.remove(&frame).or_else(|| silence.cloned()));
            let frames: Vec<Bytes> = frames.flatten().collect();
            let bytes = segment(self.timeline, self.number, &frames)?;
            pieces.push(Piece::Segment { number: self.number, bytes });
            self.number += 1;
            self.frames = self.frames.split_off(&wanted.end);
            if silence.is_some() {
                return Ok(());
            }
        }
    }
}

/// A segment of these frames, at its place on the timeline.
pub(super) fn segment(timeline: &Timeline, number: u64, frames: &[Bytes]) -> Result<Bytes, CutError> {
    let start = timeline.sound_frames(number).start * AAC_FRAME_SAMPLES;
    let sizes: Vec<u32> = frames.iter().map(|frame| frame.len() as u32).collect();
    let payload = frames.concat();
    Ok(sound_fragment(sequence(number, 1), start, &sizes, &payload)?.freeze())
}

/// The payload of the last frame of a stream: of an encoder that was given silence, a frame of silence.
pub(super) fn last_payload(segment: &Bytes) -> Result<Bytes, CutError> {
    let fragment = read_fragment(segment)?;
    let sample = fragment.samples.last().expect("a fragment holds a sample");
    Ok(segment.slice(sample.offset..sample.offset + sample.bytes as usize))
}

#[cfg(test)]
#[path = "sound_tests.rs"]
mod tests;
