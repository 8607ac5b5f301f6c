//! Where the sound of a title of a channel comes from. Pure.
//!
//! Sound lies on a grid of 1024 samples in a channel and in a title. The title's grid is moved so that the
//! first stretch stands exactly where it stood beside its pictures. A stretch behind a gap has another phase:
//! its frames go to the places of the grid that are nearest, at most half a frame off. At such a joint one
//! frame may have no place and is dropped, or one place no frame, and the frame before it is repeated.

use std::ops::Range;

use framemill_schemas::{
    live::Stretch,
    rate::{Ratio, frames_to_ticks},
    spec::{AAC_FRAME_SAMPLES, AUDIO_RATE, AudioSpec},
};

/// Frames of one segment of the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// The stretch, by its place.
    pub stretch: usize,
    /// The number.
    pub number: u64,
    /// Which of its frames, in the order in which the title has them.
    pub frames: Vec<usize>,
}

/// The sound of a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundPlan {
    rate: Ratio,
    segment_frames: u64,
    lead_ticks: u64,
    /// Places of the grid, all of them.
    slots: u64,
    joints: Vec<Joint>,
}

/// A stretch and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Joint {
    /// Its first place.
    slot: u64,
    /// Its first frame, since the Unix epoch.
    first: u64,
    /// How many it has.
    frames: u64,
    number: u64,
    segments: u64,
    first_frame: u64,
}

/// Samples until a frame of the picture.
fn samples(frame: u64, rate: Ratio) -> u64 {
    frames_to_ticks(frame, rate, AUDIO_RATE)
}

impl SoundPlan {
    /// The sound of these stretches.
    pub fn new(spec: &AudioSpec, stretches: &[Stretch]) -> Self {
        let (rate, segment_frames) = (spec.grid.rate, u64::from(spec.segment_frames));
        let mut joints = Vec::with_capacity(stretches.len());
        let mut segments = 0;
        for stretch in stretches {
            let (start, length) = (stretch.first_frame, stretch.segments() * segment_frames);
            let first = samples(start, rate).div_ceil(AAC_FRAME_SAMPLES);
            // From the start of the title's picture to the first frame of this stretch, as it was beside its own.
            let phase = first * AAC_FRAME_SAMPLES - samples(start, rate);
            let at = (samples(segments * segment_frames, rate) + phase).saturating_sub(spec.lead_ticks);
            joints.push(Joint {
                slot: (at + AAC_FRAME_SAMPLES / 2) / AAC_FRAME_SAMPLES,
                first,
                frames: samples(start + length, rate).div_ceil(AAC_FRAME_SAMPLES) - first,
                number: stretch.first,
                segments: stretch.segments(),
                first_frame: start,
            });
            segments += stretch.segments();
        }
        let mut plan = Self { rate, segment_frames, lead_ticks: spec.lead_ticks, slots: u64::MAX, joints };
        let end = plan.joints.last().map_or(0, |last| last.slot + last.frames);
        plan.slots = plan.first_slot(segments).min(end);
        plan
    }

    /// The first place of a segment of the title, counted from 0: the first that starts at or after it does.
    fn first_slot(&self, segment: u64) -> u64 {
        let start = samples(segment * self.segment_frames, self.rate);
        start.saturating_sub(self.lead_ticks).div_ceil(AAC_FRAME_SAMPLES).min(self.slots)
    }

    /// The places of a segment of the title, counted from 0.
    pub fn slots(&self, segment: u64) -> Range<u64> {
        self.first_slot(segment)..self.first_slot(segment + 1)
    }

    /// When a place begins, in samples.
    pub fn start_ticks(&self, slot: u64) -> u64 {
        self.lead_ticks + slot * AAC_FRAME_SAMPLES
    }

    /// What a segment of the title is made of.
    pub fn takes(&self, segment: u64) -> Vec<Take> {
        let mut takes: Vec<Take> = Vec::new();
        for slot in self.slots(segment) {
            let (stretch, number, frame) = self.frame_at(slot);
            match takes.last_mut() {
                Some(take) if (take.stretch, take.number) == (stretch, number) => take.frames.push(frame),
                _ => takes.push(Take { stretch, number, frames: vec![frame] }),
            }
        }
        takes
    }

    /// The stretch, the number and the frame of it that stands at a place.
    fn frame_at(&self, slot: u64) -> (usize, u64, usize) {
        // The later one wins where two meet; where there is a hole, the last frame before it is repeated.
        let stretch = self.joints.partition_point(|joint| joint.slot <= slot).saturating_sub(1);
        let joint = &self.joints[stretch];
        let frame = joint.first + (slot - joint.slot).min(joint.frames - 1);
        let first_of =
            |segment| samples(joint.first_frame + segment * self.segment_frames, self.rate).div_ceil(AAC_FRAME_SAMPLES);
        let (mut low, mut high) = (0, joint.segments - 1);
        while low < high {
            let middle = (low + high).div_ceil(2);
            if first_of(middle) <= frame { low = middle } else { high = middle - 1 }
        }
        let within = frame - first_of(low);
        (stretch, joint.number + low, usize::try_from(within).expect("a segment holds few frames"))
    }
}

#[cfg(test)]
#[path = "sound_tests.rs"]
mod tests;
