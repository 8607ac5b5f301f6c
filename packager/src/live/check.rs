//! What a committed segment must be, against its timeline. Pure.

use framemill_media::boxes::SegmentFacts;
use framemill_schemas::{finding::Finding, live::Timeline, rate::frames_to_ticks, spec::AAC_FRAME_SAMPLES};

use super::target::Span;
use crate::check::code;

/// Compares a segment's boxes with what its number says. Every rung is held to the same frames and the same
/// keyframes, and the sound to its own grid: so they are aligned with each other, and none drifts.
pub fn segment(facts: &SegmentFacts, timeline: &Timeline, number: u64, rendition: &str) -> Vec<Finding> {
    let at = format!("{rendition}/{number}");
    let sound = timeline.audio.iter().any(|rung| rung.name == rendition);
    let (span, samples) = if sound {
        let span = Span::sound(timeline, number);
        let samples = (span.ticks.end - span.ticks.start) / AAC_FRAME_SAMPLES;
        (span, samples)
    } else {
        (Span::picture(timeline, number), u64::from(timeline.segment_frames))
    };
    let mut findings = Vec::new();
    if facts.samples != samples {
        findings.push(Finding::error(code::FRAME_COUNT, &at, facts.samples, samples));
    }
    let words = |start, duration| format!("{duration} ticks from {start}");
    let expected = (span.ticks.start, span.ticks.end - span.ticks.start);
    if (facts.start_ticks, facts.duration_ticks) != expected {
        let measured = words(facts.start_ticks, facts.duration_ticks);
        findings.push(Finding::error(code::SEGMENT_TIME, &at, measured, words(expected.0, expected.1)));
    }
    if !facts.first_is_sync {
        let measured = "a picture that needs others";
        findings.push(Finding::error(code::FIRST_SYNC, &at, measured, "a picture that decodes alone"));
    }
    let measured: Vec<u64> = facts.keyframes.iter().map(|keyframe| keyframe.duration_ticks).collect();
    let groups = groups(timeline, number);
    if !sound && measured != groups {
        let words = |groups: &[u64]| format!("groups of {groups:?} ticks");
        findings.push(Finding::error(code::KEYFRAME_INTERVAL, &at, words(&measured), words(&groups)));
    }
    findings
}

/// Sound that is earlier than this is noticed beside the picture, milliseconds (ITU-R BT.1359-1).
const EARLY_MS: i64 = 45;
/// Sound that is later than this (the same).
const LATE_MS: i64 = 125;

/// When picture and sound of a number start, by their own word, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Starts {
    picture: Option<u64>,
    sound: Option<u64>,
}

impl Starts {
    /// Takes in a rendition; the first of each kind stands for all: each is held to the same grid.
    pub fn add(&mut self, sound: bool, start_ticks: Option<u64>) {
        let of = if sound { &mut self.sound } else { &mut self.picture };
        *of = of.or(start_ticks);
    }

    /// How far the sound lies from its place beside the picture, milliseconds: more than 0 where it is late.
    pub fn offset_ms(&self, timeline: &Timeline, number: u64) -> Option<i64> {
        let late_ms = |start: u64, span: &Span| {
            let ticks = i128::from(start) - i128::from(span.ticks.start);
            i64::try_from(ticks * 1000 / i128::from(span.timescale.max(1))).ok()
        };
        let picture = late_ms(self.picture?, &Span::picture(timeline, number))?;
        late_ms(self.sound?, &Span::sound(timeline, number))?.checked_sub(picture)
    }
}

/// What a viewer notices of it.
pub fn offset(offset_ms: i64, number: u64) -> Option<Finding> {
    let noticed = !(-EARLY_MS..=LATE_MS).contains(&offset_ms);
    noticed.then(|| {
        let words = if offset_ms < 0 { "early" } else { "late" };
        let measured = format!("sound {} ms {words}", offset_ms.unsigned_abs());
        Finding::error(code::AUDIO_OFFSET, number.to_string(), measured, "sound beside its picture")
    })
}

/// Lengths of a number's groups of pictures, in ticks.
fn groups(timeline: &Timeline, number: u64) -> Vec<u64> {
    let frames = timeline.frames_of(number);
    let ticks = |frame| frames_to_ticks(frame, timeline.clock.rate, timeline.timescale);
    let gop = u64::from(timeline.gop_frames.max(1));
    let starts = frames.clone().step_by(usize::try_from(gop).unwrap_or(usize::MAX));
    starts.map(|start| ticks((start + gop).min(frames.end)) - ticks(start)).collect()
}

#[cfg(test)]
mod tests {
    use framemill_schemas::index::KeyframeRange;

    use super::*;
    use crate::live::sample::{FIRST, timeline};

    fn picture() -> SegmentFacts {
        let span = Span::picture(&timeline(1, FIRST), FIRST + 1);
        let keyframe = KeyframeRange { offset: 0, bytes: 100, duration_ticks: 180_000 };
        SegmentFacts {
            sequence: 1,
            start_ticks: span.ticks.start,
            duration_ticks: 360_000,
            samples: 100,
            keyframes: vec![keyframe, keyframe],
            first_is_sync: true,
        }
    }

    #[test]
    fn every_fault_is_found() {
        let timeline = timeline(1, FIRST);
        type Spoil = fn(&mut SegmentFacts);
        let cases: [(&[&str], Spoil); 6] = [
            (&[], |_| {}),
            (&[code::FRAME_COUNT], |facts| facts.samples = 99),
            (&[code::SEGMENT_TIME], |facts| facts.start_ticks += 1),
            (&[code::SEGMENT_TIME], |facts| facts.duration_ticks -= 3600),
            (&[code::FIRST_SYNC], |facts| facts.first_is_sync = false),
            (&[code::KEYFRAME_INTERVAL], |facts| _ = facts.keyframes.pop()),
        ];
        for (expected, spoil) in cases {
            let mut facts = picture();
            spoil(&mut facts);
            let findings = segment(&facts, &timeline, FIRST + 1, "360p");
            let found: Vec<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn sound_lies_on_its_own_grid() {
        let timeline = timeline(1, FIRST);
        let span = Span::sound(&timeline, FIRST + 1);
        let (start_ticks, duration_ticks) = (span.ticks.start, span.ticks.end - span.ticks.start);
        let facts = SegmentFacts { start_ticks, duration_ticks, samples: duration_ticks / 1024, ..picture() };
        assert_eq!(segment(&facts, &timeline, FIRST + 1, "stereo"), []);
        let late = SegmentFacts { start_ticks: start_ticks + 1024, ..facts };
        assert_eq!(segment(&late, &timeline, FIRST + 1, "stereo")[0].code, code::SEGMENT_TIME);
    }

    #[test]
    fn sound_away_from_its_picture_is_found_where_it_is_noticed() {
        let timeline = timeline(1, FIRST);
        let picture = Span::picture(&timeline, FIRST + 1).ticks.start;
        let sound = Span::sound(&timeline, FIRST + 1).ticks.start;
        for (picture_ms, sound_ms, expected, found) in [
            (0, 0, 0, false),
            (0, 125, 125, false),
            (0, 126, 126, true),
            (0, -45, -45, false),
            (0, -46, -46, true),
            // Both a second off: beside each other they are as they should be.
            (1000, 1000, 0, false),
            (100, 0, -100, true),
        ] {
            let mut starts = Starts::default();
            assert_eq!(starts.offset_ms(&timeline, FIRST + 1), None);
            starts.add(true, Some(sound.saturating_add_signed(sound_ms * 48)));
            starts.add(false, Some(picture.saturating_add_signed(picture_ms * 90)));
            let offset_ms = starts.offset_ms(&timeline, FIRST + 1).unwrap();
            assert_eq!((offset_ms, offset(offset_ms, FIRST + 1).is_some()), (expected, found));
        }
    }
}
