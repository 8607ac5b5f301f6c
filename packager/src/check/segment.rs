//! One segment: its boxes against the index, the index against the plan.

use framemill_media::boxes::{InitFacts, SegmentFacts};
use framemill_schemas::{
    index::{KeyframeRange, SegmentIndex},
    rate::frames_to_ticks,
    spec::TranscodeSpec,
};

use crate::check::{Findings, code, expected::ExpectedSegment};

/// Compares what a segment's boxes say with what was recorded when it was cut.
pub fn boxes(facts: &SegmentFacts, index: &SegmentIndex, at: &str, findings: &mut Findings) {
    let measured = (facts.start_ticks, facts.duration_ticks, facts.samples);
    let recorded = (index.start_ticks, index.duration_ticks, index.samples);
    if measured != recorded {
        let words = |(start, duration, samples)| format!("{samples} samples, {duration} ticks from {start}");
        findings.error(code::SEGMENT_INDEX, at, words(measured), words(recorded));
    }
    if facts.keyframes != index.keyframes {
        let words = |keyframes: &[KeyframeRange]| -> String {
            keyframes.iter().map(|k| format!("{}+{} for {} ticks; ", k.offset, k.bytes, k.duration_ticks)).collect()
        };
        findings.error(code::SEGMENT_INDEX, at, words(&facts.keyframes), words(&index.keyframes));
    }
    if !facts.first_is_sync {
        findings.error(code::FIRST_SYNC, at, "a picture that needs others", "a picture that decodes alone");
    }
}

/// Compares a segment with the plan.
pub fn plan(index: &SegmentIndex, expected: &ExpectedSegment, at: &str, findings: &mut Findings) {
    findings.equal(code::FRAME_COUNT, at, index.samples, expected.samples);
    if (index.start_ticks, index.duration_ticks) != (expected.start_ticks, expected.duration_ticks) {
        findings.error(
            code::SEGMENT_TIME,
            at,
            format!("{} ticks from {}", index.duration_ticks, index.start_ticks),
            format!("{} ticks from {}", expected.duration_ticks, expected.start_ticks),
        );
    }
}

/// Compares the numbers of a part's segments with the plan: all of them, once, in order.
pub fn numbers(segments: &[SegmentIndex], expected: &[ExpectedSegment], rendition: &str, findings: &mut Findings) {
    let numbers: Vec<u64> = segments.iter().map(|segment| segment.number).collect();
    let planned: Vec<u64> = expected.iter().map(|segment| segment.number).collect();
    if numbers == planned {
        return;
    }
    if let Some(at) = numbers.iter().zip(&planned).position(|(number, planned)| number != planned) {
        let at_segment = format!("{rendition}, segment {} of the part", at + 1);
        findings.error(code::NUMBERING, at_segment, numbers[at], planned[at]);
    } else {
        let words = |count: usize| format!("{count} segments");
        findings.error(code::NUMBERING, rendition, words(numbers.len()), words(planned.len()));
    }
}

/// Fragment numbers (`mfhd`) must rise through a rendition (ISO/IEC 14496-12, clause 8.8.5).
/// `before` is the number of the segment before, where one was read.
pub fn sequence(sequence: u32, before: Option<u32>, at: &str, findings: &mut Findings) {
    if let Some(before) = before
        && sequence <= before
    {
        findings.error(code::SEQUENCE, at, sequence, format!("more than {before}"));
    }
}

/// Keyframes of a picture segment lie one group of pictures apart.
pub fn keyframes(index: &SegmentIndex, spec: &TranscodeSpec, at: &str, findings: &mut Findings) {
    if index.number == 0 {
        return;
    }
    let frames = spec.segment_range(index.number);
    let starts: Vec<u64> = frames.clone().step_by(spec.gop_frames.max(1) as usize).collect();
    let ticks = |frame| frames_to_ticks(frame, spec.grid.rate, spec.timescale);
    let expected: Vec<u64> = starts
        .iter()
        .zip(starts.iter().skip(1).chain([&frames.end]))
        .map(|(&start, &end)| ticks(end) - ticks(start))
        .collect();
    let measured: Vec<u64> = index.keyframes.iter().map(|keyframe| keyframe.duration_ticks).collect();
    if measured != expected {
        findings.error(
            code::KEYFRAME_INTERVAL,
            at,
            format!("groups of {measured:?} ticks"),
            format!("groups of {expected:?} ticks"),
        );
    }
}

/// Compares what an init says with what was asked for. Of the codec string only the sample entry
/// is known beforehand (`expected.codecs`): the encoder chooses profile and level.
pub fn init(facts: &InitFacts, expected: &InitFacts, at: &str, findings: &mut Findings) {
    let entry = |codecs: &str| codecs.split('.').next().unwrap_or_default().to_owned();
    let words =
        |facts: &InitFacts| format!("{} at {} ticks/s, {:?}", entry(&facts.codecs), facts.timescale, facts.kind);
    if words(facts) != words(expected) {
        findings.error(code::INIT_FACTS, at, words(facts), words(expected));
    }
}
