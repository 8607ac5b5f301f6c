//! Whole renditions: their segments over the title, and one rendition beside another.

use framemill_schemas::{
    index::{RenditionPart, SegmentIndex},
    rate::rescale,
    spec::{AAC_FRAME_SAMPLES, AUDIO_RATE},
};

use crate::{
    check::{Findings, code},
    title::Title,
};

/// Segments follow one another without a gap, from number `first` on.
pub fn follows(segments: &[SegmentIndex], first: u64, rendition: &str, findings: &mut Findings) {
    for (segment, number) in segments.iter().zip(first..) {
        if segment.number != number {
            findings.error(code::NUMBERING, format!("{rendition}/{number}"), segment.number, number);
            return;
        }
    }
    for pair in segments.windows(2) {
        let end = pair[0].start_ticks + pair[0].duration_ticks;
        findings.equal(code::CONTINUITY, &format!("{rendition}/{}", pair[1].number), pair[1].start_ticks, end);
    }
}

/// Parts of one rendition share one init.
pub fn one_init<'a>(parts: impl IntoIterator<Item = &'a RenditionPart>, rendition: &str, findings: &mut Findings) {
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else { return };
    for part in parts {
        if (&part.init.key, &part.init.digest) != (&first.init.key, &first.init.digest) {
            let number = part.segments.first().map_or(0, |segment| segment.number);
            findings.error(
                code::INIT_SHARED,
                format!("{rendition}, from segment {number}"),
                format!("{} of {}", part.init.key, part.init.digest),
                format!("{} of {}", first.init.key, first.init.digest),
            );
        }
    }
}

/// Where the keyframes of a segment lie, from the title's start.
fn keyframe_starts(segment: &SegmentIndex) -> Vec<u64> {
    let mut start = segment.start_ticks;
    let mut starts = Vec::with_capacity(segment.keyframes.len());
    for keyframe in &segment.keyframes {
        starts.push(start);
        start += keyframe.duration_ticks;
    }
    starts
}

/// Keyframes lie at the same times in every picture rendition: players switch there. All share
/// one timescale.
pub fn keyframes_align(renditions: &[(&str, &[SegmentIndex])], findings: &mut Findings) {
    let Some(((reference, segments), others)) = renditions.split_first() else { return };
    for (rendition, other) in others {
        if other.len() != segments.len() {
            let words = |count: usize| format!("{count} segments");
            findings.error(code::KEYFRAME_ALIGNMENT, *rendition, words(other.len()), words(segments.len()));
        }
        for (segment, other) in segments.iter().zip(*other) {
            let (expected, measured) = (keyframe_starts(segment), keyframe_starts(other));
            if measured != expected {
                findings.error(
                    code::KEYFRAME_ALIGNMENT,
                    format!("{rendition}/{}", other.number),
                    format!("keyframes at ticks {measured:?}"),
                    format!("keyframes at ticks {expected:?}, as {reference} has them"),
                );
            }
        }
    }
}

/// Sound is there, and starts and ends with the picture to within one AAC frame. `picture_ticks` is the
/// length of the picture in samples of sound.
pub fn audio_length(segments: &[SegmentIndex], picture_ticks: u64, rendition: &str, findings: &mut Findings) {
    let Some((first, last)) = segments.first().zip(segments.last()) else {
        findings.error(code::AUDIO_PRESENT, rendition, "no segment", "sound as long as the picture");
        return;
    };
    // Where exactly, its own plan says: sound of a channel lies on a grid of its own.
    if first.start_ticks >= AAC_FRAME_SAMPLES {
        let expected = "starts with the picture, to within one frame";
        findings.error(code::AUDIO_LENGTH, rendition, format!("starts at {}", first.start_ticks), expected);
    }
    let end = last.start_ticks + last.duration_ticks;
    if end.abs_diff(picture_ticks) > AAC_FRAME_SAMPLES {
        let millis = |ticks| rescale(ticks as i64, 1000, u64::from(AUDIO_RATE));
        findings.error(
            code::AUDIO_LENGTH,
            rendition,
            format!("ends at {} ms", millis(end)),
            format!("{} ms, to within one frame of {AAC_FRAME_SAMPLES} samples", millis(picture_ticks)),
        );
    }
}

/// Every check on the indexes of a whole title.
pub fn whole(title: &Title, findings: &mut Findings) {
    let spec = &title.spec;
    for (name, track) in title.tracks() {
        follows(&track.segments, 1, name, findings);
    }
    for (rendition, track) in title.pictures() {
        let frames: u64 = track.segments.iter().map(|segment| segment.samples).sum();
        findings.equal(code::FRAME_COUNT, &rendition.name, frames, spec.grid.frames);
        findings.equal(code::INIT_FACTS, &rendition.name, track.facts.timescale, spec.timescale);
        let start = track.segments.first().map_or(0, |segment| segment.start_ticks);
        findings.equal(code::CONTINUITY, &rendition.name, start, 0);
    }
    let pictures: Vec<(&str, &[SegmentIndex])> =
        title.pictures().map(|(rendition, track)| (rendition.name.as_str(), track.segments.as_slice())).collect();
    keyframes_align(&pictures, findings);
    for (rendition, track) in title.sounds() {
        audio_length(&track.segments, spec.grid.duration_ticks(AUDIO_RATE), &rendition.name, findings);
    }
}
