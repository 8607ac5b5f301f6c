//! Segments of a channel at another place: a title that is kept of a channel counts from 1 and from 0. What
//! was encoded is never touched. Pure.

use bytes::{Bytes, BytesMut};
use framemill_schemas::spec::AAC_FRAME_SAMPLES;

use crate::{
    boxes::{BoxError, SegmentFacts, children, read_fragment, read_segment, restamp},
    cutter::{CutError, sound_fragment},
};

/// Gives pictures another time and other sequence numbers.
///
/// # Errors
/// Bytes that are no media segment.
pub fn pictures(segment: &[u8], sequence: u32, start_ticks: u64) -> Result<(Bytes, SegmentFacts), BoxError> {
    let mut bytes = BytesMut::from(segment);
    restamp(&mut bytes, sequence, start_ticks)?;
    let facts = read_segment(&bytes)?;
    Ok((bytes.freeze(), facts))
}

/// The frames of a segment of sound, in their order.
///
/// # Errors
/// Bytes that are no media segment, and frames of another length than AAC has.
pub fn sound_frames(segment: &Bytes) -> Result<Vec<Bytes>, BoxError> {
    let mut frames = Vec::new();
    for (head, end) in fragments(segment)? {
        for sample in read_fragment(&segment[head..end])?.samples {
            if u64::from(sample.duration_ticks) != AAC_FRAME_SAMPLES {
                let why = format!("a frame lasts {} samples, not {AAC_FRAME_SAMPLES}", sample.duration_ticks);
                return Err(BoxError::Content { kind: "trun", why });
            }
            let start = head + sample.offset;
            frames.push(segment.slice(start..start + sample.bytes as usize));
        }
    }
    Ok(frames)
}

/// Where each `moof` begins and the `mdat` behind it ends.
fn fragments(segment: &[u8]) -> Result<Vec<(usize, usize)>, BoxError> {
    let (mut found, mut head) = (Vec::new(), None);
    for child in children(segment, 0) {
        let child = child?;
        match &child.kind {
            b"moof" => head = Some(child.offset),
            b"mdat" => found.push((head.take().ok_or(BoxError::Missing("moof"))?, child.end())),
            _ => {}
        }
    }
    if found.is_empty() { Err(BoxError::Missing("moof")) } else { Ok(found) }
}

/// A segment of these frames, as a title has it.
///
/// # Errors
/// More than a segment can hold.
pub fn sound(sequence: u32, start_ticks: u64, frames: &[Bytes]) -> Result<(Bytes, SegmentFacts), BoxError> {
    let sizes: Vec<u32> = frames.iter().map(|frame| frame.len() as u32).collect();
    let bytes = sound_fragment(sequence, start_ticks, &sizes, &frames.concat()).map_err(|error| match error {
        CutError::Boxes(error) => error,
        CutError::OffPlan(why) => BoxError::Content { kind: "moof", why },
    })?;
    let facts = read_segment(&bytes)?;
    Ok((bytes.freeze(), facts))
}

#[cfg(test)]
#[path = "keep_tests.rs"]
mod tests;
