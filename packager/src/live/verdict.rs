//! What a look at a segment says of it. Pure.

use framemill_media::look::Look;
use framemill_schemas::{
    finding::{Finding, Severity},
    live::{Committed, Flaw, RenditionSample, SeenFlaw},
};

use super::inspect::Sample;
use crate::check::code;

/// What came of decoding a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// It was decoded to its end.
    Whole(Look),
    /// A strict decoder refuses it, and says why.
    Refused(String),
}

/// Longest part of a decoder's words in a finding: they are said again every second.
const WORDS_MAX: usize = 300;

/// What is found, and what is said of the rendition from now on. `before`: its sample before this one.
pub fn judge(
    sample: &Sample,
    index: usize,
    decoded: &Decoded,
    before: Option<&RenditionSample>,
    at_ms: i64,
) -> (RenditionSample, Vec<Finding>) {
    let Sample { commit, timeline } = sample;
    let rendition = timeline.renditions().nth(index).unwrap_or_default();
    let sound = index >= timeline.rungs.len();
    let at = format!("{rendition}/{}", commit.number);
    let mut findings = Vec::new();
    let mut said = RenditionSample {
        rendition: rendition.to_owned(),
        sound,
        number: commit.number,
        at_ms,
        fault: None,
        seen: Vec::new(),
        loudness_lufs_centi: None,
        loudest_lufs_centi: None,
    };
    match decoded {
        Decoded::Refused(evidence) => {
            let words: String = evidence.trim().chars().take(WORDS_MAX).collect();
            findings.push(Finding::error(code::UNDECODABLE, at, words, "a segment without a fault"));
        }
        Decoded::Whole(look) => {
            let expected = if sound {
                let frames = timeline.sound_frames(commit.number);
                frames.end - frames.start
            } else {
                u64::from(timeline.segment_frames)
            };
            if look.frames != expected {
                let measured = format!("{} frames out of the decoder", look.frames);
                findings.push(Finding::error(code::FRAME_COUNT, &at, measured, expected));
            }
            said.loudness_lufs_centi = look.loudness.map(|loudness| loudness.integrated_centi);
            said.loudest_lufs_centi = look.loudness.map(|loudness| loudness.momentary_centi);
            for flaw in look.flaws.iter().copied().filter(|flaw| is_due(sample, *flaw)) {
                let samples = before.map_or(0, |before| before.streak(flaw)).saturating_add(1);
                said.seen.push(SeenFlaw { flaw, samples });
                if let Some((code, expected)) = words(flaw) {
                    findings.push(Finding::warning(code, &at, "all of the segment", expected));
                }
            }
        }
    }
    said.fault = findings.iter().find(|found| found.severity == Severity::Error).map(|found| found.code.clone());
    (said, findings)
}

/// Whether something is a flaw here: filler is dark and silent, and so is the sound of a source that has none.
fn is_due(sample: &Sample, flaw: Flaw) -> bool {
    let filler = matches!(sample.commit.what, Committed::Filler { .. });
    !filler && (flaw != Flaw::Silent || sample.timeline.format.sound.is_some())
}

fn words(flaw: Flaw) -> Option<(&'static str, &'static str)> {
    match flaw {
        Flaw::Black => Some((code::BLACK, "a picture")),
        Flaw::Frozen => Some((code::FROZEN, "a picture that moves")),
        Flaw::Silent => Some((code::SILENT, "sound")),
        Flaw::Late => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use framemill_media::look::Loudness;

    use super::*;
    use crate::live::sample::{FIRST, commit, timeline};

    fn sample(letter: char, has_sound: bool) -> Sample {
        let mut timeline = timeline(1, FIRST);
        timeline.format.sound = has_sound.then(|| "aac".to_owned());
        Sample { commit: commit(1, FIRST, letter), timeline: Arc::new(timeline) }
    }

    fn look(frames: u64, flaws: &[Flaw]) -> Decoded {
        let loudness = Some(Loudness { integrated_centi: -2300, momentary_centi: -2000 });
        Decoded::Whole(Look { frames, flaws: flaws.to_vec(), loudness })
    }

    #[test]
    fn every_fault_is_found_where_it_is_one() {
        let sounds = {
            let frames = timeline(1, FIRST).sound_frames(FIRST);
            frames.end - frames.start
        };
        let refused = || Decoded::Refused("[error] broken".to_owned());
        type Expected = (&'static [&'static str], Option<&'static str>);
        let cases: [(char, bool, usize, Decoded, Expected); 10] = [
            ('s', true, 0, look(100, &[]), (&[], None)),
            ('s', true, 0, look(99, &[]), (&[code::FRAME_COUNT], Some(code::FRAME_COUNT))),
            ('s', true, 1, look(100, &[Flaw::Black]), (&[code::BLACK], None)),
            ('s', true, 1, look(1, &[Flaw::Frozen]), (&[code::FRAME_COUNT, code::FROZEN], Some(code::FRAME_COUNT))),
            ('s', true, 2, look(sounds, &[Flaw::Silent]), (&[code::SILENT], None)),
            ('s', false, 2, look(sounds, &[Flaw::Silent]), (&[], None)),
            ('s', true, 2, look(100, &[]), (&[code::FRAME_COUNT], Some(code::FRAME_COUNT))),
            ('f', true, 0, look(100, &[Flaw::Black]), (&[], None)),
            ('f', true, 2, look(sounds, &[Flaw::Silent]), (&[], None)),
            ('f', true, 0, refused(), (&[code::UNDECODABLE], Some(code::UNDECODABLE))),
        ];
        for (letter, has_sound, index, decoded, (codes, fault)) in cases {
            let (said, findings) = judge(&sample(letter, has_sound), index, &decoded, None, 7);
            let found: Vec<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
            assert_eq!((found.as_slice(), said.fault.as_deref()), (codes, fault), "{letter} {index} {decoded:?}");
            assert_eq!((said.sound, said.number, said.at_ms), (index == 2, FIRST, 7));
        }
    }

    #[test]
    fn samples_in_a_row_are_counted_and_a_good_one_ends_the_row() {
        let sample = sample('s', true);
        let mut before = None;
        for (flaws, black, frozen) in [
            (&[Flaw::Black][..], 1, 0),
            (&[Flaw::Black], 2, 0),
            (&[Flaw::Frozen], 0, 1),
            (&[], 0, 0),
            (&[Flaw::Black], 1, 0),
        ] {
            let (said, _) = judge(&sample, 0, &look(100, flaws), before.as_ref(), 0);
            assert_eq!((said.streak(Flaw::Black), said.streak(Flaw::Frozen)), (black, frozen));
            before = Some(said);
        }
    }
}
