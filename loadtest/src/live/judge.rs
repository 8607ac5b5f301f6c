//! Whether what viewers got is one unbroken stream: every number once, every picture once, sound without a
//! hole. The same judge condemns the control, which is cut the naive way.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;
use framemill_schemas::{finding::Finding, spec::AAC_FRAME_SAMPLES};
use serde::Serialize;

use super::{
    boxes::{self, Stretch},
    pictures::{self, breaks},
    viewer::{Kept, Seen, Track},
};

/// What was judged, and how it was.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Renditions.
    pub renditions: usize,
    /// Numbers from the first to the last, in each of them.
    pub numbers: u64,
    /// Numbers that no playlist named.
    pub missing_numbers: u64,
    /// Numbers that were gaps.
    pub gaps: u64,
    /// Discontinuities.
    pub discontinuities: u64,
    /// Pictures of all renditions.
    pub pictures: u64,
    /// Pictures that are missing.
    pub missing_pictures: u64,
    /// Pictures that are shown again.
    pub repeated_pictures: u64,
    /// Segments of the picture with more or fewer pictures than the others.
    pub odd_lengths: u64,
    /// Samples of sound.
    pub samples: u64,
    /// Of these, those that lie in silence.
    pub silent_samples: u64,
    /// Everything that should not be.
    pub findings: Vec<Finding>,
}

/// What is allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leave {
    /// Whether gaps are: where nobody was there to encode.
    pub gaps: bool,
    /// Whether discontinuities are: where a source began anew.
    pub breaks: bool,
}

/// Judges everything that a viewer saw, whose pictures begin anew after `numbers`.
pub async fn judge(ffmpeg: &Path, seen: &Seen, numbers: u64, leave: Leave) -> Result<Verdict> {
    let mut verdict = Verdict { renditions: seen.tracks.len(), ..Verdict::default() };
    if seen.tracks.is_empty() {
        verdict.found("nothing-seen", "the channel", "no rendition", "at least one");
    }
    for (name, track) in &seen.tracks {
        verdict.count(name, track, leave);
        let mut before: Option<Ends> = None;
        for stretch in stretches(track) {
            let times = verdict.times(name, track, &stretch)?;
            let shown = verdict.decode(ffmpeg, name, track, &stretch, numbers, times.samples).await?;
            let ends = Ends { breaks: stretch[0].entry.breaks, times, shown };
            if let Some(before) = before.filter(|before| before.breaks == ends.breaks) {
                verdict.over_gap(name, before, ends, numbers);
            }
            before = Some(ends);
        }
    }
    Ok(verdict)
}

/// How a stretch begins and ends.
#[derive(Clone, Copy, Debug)]
struct Ends {
    breaks: u64,
    times: Stretch,
    shown: Option<(u64, u64)>,
}

/// Segments without a gap or a discontinuity between them.
fn stretches(track: &Track) -> Vec<Vec<&Kept>> {
    let mut stretches: Vec<Vec<&Kept>> = Vec::new();
    let mut before: Option<&Kept> = None;
    for kept in track.segments.values() {
        let follows = before.is_some_and(|before| {
            before.entry.number + 1 == kept.entry.number
                && before.entry.breaks == kept.entry.breaks
                && !before.entry.gap
        });
        if kept.path.is_some() {
            match stretches.last_mut().filter(|_| follows) {
                Some(stretch) => stretch.push(kept),
                None => stretches.push(vec![kept]),
            }
        }
        before = Some(kept);
    }
    stretches
}

impl Verdict {
    fn found(&mut self, code: &str, at: &str, measured: impl ToString, expected: impl ToString) {
        self.findings.push(Finding::error(code, at, measured, expected));
    }

    /// Every number once, and nothing in between.
    fn count(&mut self, name: &str, track: &Track, leave: Leave) {
        let (Some(first), Some(last)) = (track.segments.keys().next(), track.segments.keys().next_back()) else {
            return self.found("nothing-seen", name, "no segment", "at least one");
        };
        let spanned = last - first + 1;
        let missing = spanned - track.segments.len() as u64;
        if missing > 0 {
            self.found("number-missing", name, format!("{missing} of {spanned}"), "every number");
        }
        let gaps = track.segments.values().filter(|kept| kept.entry.gap).count() as u64;
        if gaps > 0 && !leave.gaps {
            let which: Vec<_> =
                track.segments.values().filter(|kept| kept.entry.gap).map(|kept| kept.entry.number).collect();
            self.found("gap", name, format!("{which:?}"), "no gap");
        }
        let breaks: BTreeSet<u64> = track.segments.values().map(|kept| kept.entry.breaks).collect();
        let broken = breaks.len() as u64 - 1;
        if broken > 0 && !leave.breaks {
            self.found("discontinuity", name, broken, "none");
        }
        let inits: BTreeSet<_> =
            track.segments.values().filter(|kept| !kept.entry.gap).map(|kept| &kept.entry.init).collect();
        if inits.len() > 1 && !leave.breaks {
            self.found("init-changes", name, format!("{inits:?}"), "one init");
        }
        self.numbers = self.numbers.max(spanned);
        self.missing_numbers = self.missing_numbers.max(missing);
        self.gaps = self.gaps.max(gaps);
        self.discontinuities = self.discontinuities.max(broken);
    }

    /// What comes after a gap is as much later as the gap is long.
    fn over_gap(&mut self, name: &str, before: Ends, after: Ends, numbers: u64) {
        let (Some((_, last)), Some((first, _))) = (before.shown, after.shown) else { return };
        let ticks = before.times.ticks / before.times.samples.max(1);
        let gap = after.times.start.saturating_sub(before.times.start + before.times.ticks) / ticks.max(1);
        let expected = (last + 1 + gap) % numbers;
        if first != expected {
            self.found("pictures-after-gap", name, first, expected);
        }
    }

    /// Each segment starts where the one before ended, and is as long as its playlist says; returns them as
    /// one.
    fn times(&mut self, name: &str, track: &Track, stretch: &[&Kept]) -> Result<Stretch> {
        let (mut ends, mut usual) = (None, None);
        let mut whole: Option<Stretch> = None;
        for kept in stretch {
            let (Some(path), Some(init)) = (&kept.path, track.inits.get(&kept.entry.init)) else { continue };
            let number = kept.entry.number;
            let read = boxes::init(&std::fs::read(init)?).and_then(|init| {
                Ok((init, boxes::stretch(&std::fs::read(path).map_err(|error| error.to_string())?, init)?))
            });
            let (init, times) = match read {
                Ok(read) => read,
                Err(why) => {
                    self.found("segment-broken", &format!("{name} {number}"), why, "fragments");
                    continue;
                }
            };
            if let Some(ends) = ends.filter(|ends| *ends != times.start) {
                self.found("time-jumps", &format!("{name} {number}"), times.start, ends);
            }
            if let Some(usual) = usual.filter(|usual| !track.is_sound && *usual != times.samples) {
                self.odd_lengths += 1;
                self.found("odd-length", &format!("{name} {number}"), times.samples, usual);
            }
            usual = Some(times.samples);
            ends = Some(times.start + times.ticks);
            let before = whole.unwrap_or(Stretch { start: times.start, ticks: 0, samples: 0 });
            whole =
                Some(Stretch { ticks: before.ticks + times.ticks, samples: before.samples + times.samples, ..before });
            let micros = times.ticks * 1_000_000 / u64::from(init.timescale.max(1));
            if micros.abs_diff(kept.entry.micros) > 2 {
                let measured = format!("{micros} us");
                self.found(
                    "length-differs",
                    &format!("{name} {number}"),
                    measured,
                    format!("{} us", kept.entry.micros),
                );
            }
        }
        Ok(whole.unwrap_or(Stretch { start: 0, ticks: 0, samples: 0 }))
    }

    /// It decodes without a complaint, and pictures count on; returns the first and the last of them.
    async fn decode(
        &mut self,
        ffmpeg: &Path,
        name: &str,
        track: &Track,
        stretch: &[&Kept],
        numbers: u64,
        samples: u64,
    ) -> Result<Option<(u64, u64)>> {
        let Some(first) = stretch.first() else { return Ok(None) };
        let files: Vec<_> = track
            .inits
            .get(&first.entry.init)
            .into_iter()
            .chain(stretch.iter().filter_map(|kept| kept.path.as_ref()))
            .cloned()
            .collect();
        let decoded = pictures::decode(ffmpeg, &files, track.is_sound).await?;
        let at = format!("{name} from {}", first.entry.number);
        if let Some(complaint) = decoded.complaint {
            self.found("decode", &at, complaint, "a stream without faults");
        }
        self.pictures += decoded.numbers.len() as u64;
        self.samples += decoded.samples;
        self.silent_samples += decoded.silent;
        let (got, told) = match track.is_sound {
            true => (decoded.samples, samples * AAC_FRAME_SAMPLES),
            false => (decoded.numbers.len() as u64, samples),
        };
        if got != told {
            self.found("decoded-count", &at, got, told);
        }
        let mut shown = 0;
        for (position, expected, number) in breaks(&decoded.numbers, numbers) {
            let ahead = (number + numbers - expected) % numbers;
            let (missing, repeated) = if ahead < numbers / 2 { (ahead, 0) } else { (0, numbers - ahead) };
            self.missing_pictures += missing;
            self.repeated_pictures += repeated;
            shown += 1;
            if shown <= SHOWN_MAX {
                let measured = format!("{number} at picture {position}: {missing} missing, {repeated} repeated");
                self.found("pictures", &at, measured, expected);
            }
        }
        Ok(decoded.numbers.first().copied().zip(decoded.numbers.last().copied()))
    }
}

/// Breaks that are told one by one of a stretch.
const SHOWN_MAX: u32 = 5;
