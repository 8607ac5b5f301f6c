//! What the segments of a part must be, from the job's spec alone: the plan, not what the
//! encoder says it did.

use framemill_schemas::{
    rate::frames_to_ticks,
    spec::{AAC_FRAME_SAMPLES, AUDIO_RATE, AudioSpec, TranscodeSpec},
};

/// One segment as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedSegment {
    /// Its number.
    pub number: u64,
    /// Where it starts.
    pub start_ticks: u64,
    /// Its length.
    pub duration_ticks: u64,
    /// Its pictures, or AAC frames.
    pub samples: u64,
}

/// The segments of a chunk.
pub fn of_chunk(spec: &TranscodeSpec) -> Vec<ExpectedSegment> {
    let ticks = |frame| frames_to_ticks(frame, spec.grid.rate, spec.timescale);
    spec.segment_numbers()
        .map(|number| {
            let frames = spec.segment_range(number);
            ExpectedSegment {
                number,
                start_ticks: ticks(frames.start),
                duration_ticks: ticks(frames.end) - ticks(frames.start),
                samples: frames.end - frames.start,
            }
        })
        .collect()
}

/// The segments of a sound track that has `frames` AAC frames: segment k holds those that start
/// inside the picture's segment k; the first one starts where the spec says.
pub fn of_sound(spec: &AudioSpec, frames: u64) -> Vec<ExpectedSegment> {
    let first_frame = |segment: u64| {
        frames_to_ticks(segment * u64::from(spec.segment_frames), spec.grid.rate, AUDIO_RATE)
            .saturating_sub(spec.lead_ticks)
            .div_ceil(AAC_FRAME_SAMPLES)
    };
    (0..)
        .map(|segment| (segment, first_frame(segment), first_frame(segment + 1).min(frames)))
        .take_while(|&(_, start, _)| start < frames)
        .map(|(segment, start, end)| ExpectedSegment {
            number: segment + 1,
            start_ticks: spec.lead_ticks + start * AAC_FRAME_SAMPLES,
            duration_ticks: (end - start) * AAC_FRAME_SAMPLES,
            samples: end - start,
        })
        .collect()
}
