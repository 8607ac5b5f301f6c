//! Movie fragments: times, samples, keyframes.

use framemill_schemas::index::KeyframeRange;
use mp4_atom::{Mfhd, Tfdt, Tfhd, Trun};

use super::{
    BoxError,
    walk::{Child, children, find, leaf},
};

/// Most samples of one segment: a minute at 120 pictures a second, with room to spare. A run can
/// claim four thousand million of them in a dozen bytes.
const SAMPLES_MAX: u64 = 100_000;
/// Most fragments of one segment.
const FRAGMENTS_MAX: usize = 4096;
/// `sample_is_non_sync_sample` (ISO/IEC 14496-12, clause 8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;

/// What a media segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Sequence number of its first fragment.
    pub sequence: u32,
    /// Base media decode time of its first sample.
    pub start_ticks: u64,
    /// Summed durations of its samples.
    pub duration_ticks: u64,
    /// Its samples.
    pub samples: u64,
    /// For each fragment that starts with a sync sample, the range up to the end of that sample.
    /// In sound every sample is one: the list then means nothing.
    pub keyframes: Vec<KeyframeRange>,
    /// Whether it can be decoded without what came before.
    pub first_is_sync: bool,
}

/// One `moof` with its `mdat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub sequence: u32,
    /// Where the sequence number stands in the `moof`.
    pub sequence_at: usize,
    /// Signed: an encoder's priming lies before 0, and is written as 2^64 minus its length.
    pub start_ticks: i64,
    pub duration_ticks: u64,
    pub samples: Vec<Sample>,
}

/// One sample, in the order of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub duration_ticks: u32,
    pub bytes: u32,
    /// Where it starts, counted from the first byte of the `moof`.
    pub offset: usize,
    pub sync: bool,
}

/// Reads a media segment: one or more `moof` and `mdat` pairs of one track, without a hole
/// between them. Other boxes (`styp`, `sidx`, `emsg`, `prft`) are passed over.
pub fn read_segment(bytes: &[u8]) -> Result<SegmentFacts, BoxError> {
    let mut facts: Option<SegmentFacts> = None;
    let mut marks = Vec::new();
    let mut moof: Option<Child<'_>> = None;
    let mut fragments = 0;
    for child in children(bytes, 0) {
        let child = child?;
        match &child.kind {
            b"moof" if moof.is_some() => return Err(BoxError::Missing("mdat")),
            b"moof" => moof = Some(child),
            b"mdat" => {
                let head = moof.take().ok_or(BoxError::Missing("moof"))?;
                fragments += 1;
                if fragments > FRAGMENTS_MAX {
                    return Err(BoxError::Limit("the segment has more than 4096 fragments"));
                }
                let fragment = read_fragment(&bytes[head.offset..child.end()])?;
                join(&mut facts, &mut marks, &fragment, head.offset)?;
            }
            _ => {}
        }
    }
    if moof.is_some() {
        return Err(BoxError::Missing("mdat"));
    }
    let mut facts = facts.ok_or(BoxError::Missing("moof"))?;
    facts.keyframes = close(&marks, facts.duration_ticks);
    Ok(facts)
}

/// A keyframe whose duration is not known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub offset: u64,
    pub bytes: u64,
    /// Ticks from the start of the segment.
    pub at_ticks: u64,
}

/// Gives each keyframe the ticks until the next one, or until the end of the segment.
pub(crate) fn close(marks: &[Mark], duration_ticks: u64) -> Vec<KeyframeRange> {
    let ends = marks.iter().skip(1).map(|mark| mark.at_ticks).chain([duration_ticks]);
    let range = |(mark, end): (&Mark, u64)| KeyframeRange {
        offset: mark.offset,
        bytes: mark.bytes,
        duration_ticks: end - mark.at_ticks,
    };
    marks.iter().zip(ends).map(range).collect()
}

impl Fragment {
    /// The keyframe it starts with, where it starts with one.
    pub fn mark(&self, moof_offset: u64, at_ticks: u64) -> Option<Mark> {
        let first = self.samples.first().filter(|sample| sample.sync)?;
        Some(Mark { offset: moof_offset, bytes: (first.offset as u64) + u64::from(first.bytes), at_ticks })
    }
}

fn join(
    facts: &mut Option<SegmentFacts>,
    marks: &mut Vec<Mark>,
    fragment: &Fragment,
    offset: usize,
) -> Result<(), BoxError> {
    let start_ticks = u64::try_from(fragment.start_ticks).map_err(|_| wrong("tfdt", "the time is past 2^63 ticks"))?;
    let facts = facts.get_or_insert(SegmentFacts {
        sequence: fragment.sequence,
        start_ticks,
        duration_ticks: 0,
        samples: 0,
        keyframes: Vec::new(),
        first_is_sync: fragment.samples.first().is_some_and(|sample| sample.sync),
    });
    if facts.start_ticks.checked_add(facts.duration_ticks) != Some(start_ticks) {
        return Err(wrong("tfdt", "a fragment does not start where the one before it ends"));
    }
    marks.extend(fragment.mark(offset as u64, facts.duration_ticks));
    facts.duration_ticks += fragment.duration_ticks;
    facts.samples += fragment.samples.len() as u64;
    if facts.samples > SAMPLES_MAX {
        return Err(BoxError::Limit("the segment has more than 100000 samples"));
    }
    Ok(())
}

/// Reads one fragment; `bytes` starts at its `moof` and ends with its `mdat`.
pub(crate) fn read_fragment(bytes: &[u8]) -> Result<Fragment, BoxError> {
    let moof = find(bytes, 0, "moof")?;
    let mfhd_box = find(moof.body, moof.body_offset, "mfhd")?;
    let mfhd: Mfhd = leaf(&mfhd_box, "mfhd")?;
    let mut tracks =
        children(moof.body, moof.body_offset).filter(|child| !matches!(child, Ok(child) if child.kind != *b"traf"));
    let traf = tracks.next().ok_or(BoxError::Missing("traf"))??;
    if tracks.next().transpose()?.is_some() {
        return Err(BoxError::Limit("the fragment holds more than one track"));
    }
    let tfhd: Tfhd = leaf(&find(traf.body, traf.body_offset, "tfhd")?, "tfhd")?;
    if !tfhd.default_base_is_moof || tfhd.base_data_offset.is_some() {
        return Err(wrong("tfhd", "data offsets do not count from the fragment (default-base-is-moof)"));
    }
    let tfdt: Tfdt = leaf(&find(traf.body, traf.body_offset, "tfdt")?, "tfdt")?;
    let mut fragment = Fragment {
        sequence: mfhd.sequence_number,
        sequence_at: mfhd_box.end() - 4,
        start_ticks: tfdt.base_media_decode_time.cast_signed(),
        duration_ticks: 0,
        samples: Vec::new(),
    };
    let mut end = None;
    for child in children(traf.body, traf.body_offset) {
        let child = child?;
        if child.kind == *b"trun" {
            run(&mut fragment, &tfhd, &leaf(&child, "trun")?, &mut end, bytes.len())?;
        }
    }
    if fragment.samples.is_empty() {
        return Err(wrong("trun", "the fragment holds no samples"));
    }
    Ok(fragment)
}

/// Appends a run's samples. `end` is where the run before it ended.
fn run(
    fragment: &mut Fragment,
    tfhd: &Tfhd,
    trun: &Trun,
    end: &mut Option<usize>,
    bytes: usize,
) -> Result<(), BoxError> {
    if fragment.samples.len() as u64 + trun.samples.len() as u64 > SAMPLES_MAX {
        return Err(BoxError::Limit("the fragment has more than 100000 samples"));
    }
    let mut offset = match (trun.data_offset, *end) {
        (Some(offset), _) => usize::try_from(offset).map_err(|_| wrong("trun", "data lies before the fragment"))?,
        (None, Some(end)) => end,
        (None, None) => return Err(wrong("trun", "the first run has no data offset")),
    };
    for entry in trun.samples.iter() {
        let field = |own: Option<u32>, default: Option<u32>| own.or(default).ok_or(BoxError::Missing("sample default"));
        let size = field(entry.size, tfhd.default_sample_size)?;
        let duration = field(entry.duration, tfhd.default_sample_duration)?;
        let flags = field(entry.flags, tfhd.default_sample_flags)?;
        let sample = Sample { duration_ticks: duration, bytes: size, offset, sync: flags & NON_SYNC == 0 };
        offset = offset
            .checked_add(size as usize)
            .filter(|end| *end <= bytes)
            .ok_or_else(|| wrong("trun", "samples lie outside the fragment"))?;
        fragment.duration_ticks += u64::from(duration);
        fragment.samples.push(sample);
    }
    *end = Some(offset);
    Ok(())
}

fn wrong(kind: &'static str, why: &str) -> BoxError {
    BoxError::Content { kind, why: why.to_owned() }
}
