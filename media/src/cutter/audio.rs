//! Sound: drops the encoder's priming packet, regroups AAC frames into segments by the time they
//! start, and writes each segment's own `moof`. The payload of a frame is never touched.

use bytes::{BufMut, BytesMut};
use framemill_schemas::{
    rate::frames_to_ticks,
    spec::{AAC_FRAME_SAMPLES, AUDIO_RATE, AudioSpec},
};
use mp4_atom::{Encode, Mfhd, Moof, Tfdt, Tfhd, Traf, Trun, TrunEntry};

use super::{
    CutError, Cutter, Reached, off_plan,
    stream::{Part, Stream},
};
use crate::{
    boxes::{Fragment, Sample, read_fragment, read_init},
    encode::{CutSegment, Piece},
};

/// Depends on nothing else: every frame of sound is a sync sample (ISO/IEC 14496-12, clause 8.8.3.1).
const SYNC_FLAGS: u32 = 0x0200_0000;
/// Largest segment of sound; a minute of 5.1 at the highest bitrate is a tenth of it.
const SEGMENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Cuts one sound track.
pub(crate) struct AudioCutter<'a> {
    spec: &'a AudioSpec,
    stream: Stream,
    /// Frames taken so far; the next one starts at this times 1024.
    frames: u64,
    /// Where the encoder's stream continues, in samples; `None` before its first fragment.
    next_start: Option<i64>,
    sizes: Vec<u32>,
    payload: BytesMut,
    number: u64,
}

/// AAC frames that cover the whole grid.
pub(crate) fn planned_frames(spec: &AudioSpec) -> u64 {
    spec.grid.duration_ticks(AUDIO_RATE).div_ceil(AAC_FRAME_SAMPLES)
}

/// First AAC frame of segment `number`: the first that starts at or after the segment does.
fn first_frame(spec: &AudioSpec, number: u64) -> u64 {
    let frame = ((number - 1) * u64::from(spec.segment_frames)).min(spec.grid.frames);
    frames_to_ticks(frame, spec.grid.rate, AUDIO_RATE).div_ceil(AAC_FRAME_SAMPLES)
}

impl<'a> AudioCutter<'a> {
    /// A cutter for the whole title.
    pub fn new(spec: &'a AudioSpec) -> Self {
        Self {
            spec,
            stream: Stream::default(),
            frames: 0,
            next_start: None,
            sizes: Vec::new(),
            payload: BytesMut::new(),
            number: 1,
        }
    }

    fn take(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        let fragment = read_fragment(bytes)?;
        let mut at = self.check_start(&fragment)?;
        for sample in &fragment.samples {
            // Priming lies before 0: kept, it would make all sound that much late.
            if at >= 0 {
                self.keep(sample, &bytes[sample.offset..sample.offset + sample.bytes as usize], pieces)?;
            }
            at += i64::from(sample.duration_ticks);
        }
        self.next_start = Some(at);
        Ok(())
    }

    fn check_start(&self, fragment: &Fragment) -> Result<i64, CutError> {
        let frame = AAC_FRAME_SAMPLES.cast_signed();
        let start = fragment.start_ticks;
        match self.next_start {
            Some(next) if next != start => off_plan(format!("sound continues at sample {start}, not {next}")),
            // Whole priming packets only, so that frames lie on multiples of 1024.
            None if start > 0 || start % frame != 0 || start < -8 * frame => {
                off_plan(format!("sound starts at sample {start}"))
            }
            _ => Ok(start),
        }
    }

    fn keep(&mut self, sample: &Sample, payload: &[u8], pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        let planned = planned_frames(self.spec);
        if self.frames >= planned {
            return off_plan(format!("sound after frame {planned}, the last one"));
        }
        // Only the last frame may be shorter: it ends with the picture.
        let whole = u64::from(sample.duration_ticks) == AAC_FRAME_SAMPLES;
        if !whole && self.frames + 1 != planned {
            return off_plan(format!("sound frame {} holds {} samples", self.frames, sample.duration_ticks));
        }
        if self.payload.len() + payload.len() > SEGMENT_BYTES_MAX {
            return off_plan(format!("segment {} grows beyond {SEGMENT_BYTES_MAX} bytes", self.number));
        }
        self.sizes.push(sample.bytes);
        self.payload.extend_from_slice(payload);
        self.frames += 1;
        if self.frames == first_frame(self.spec, self.number + 1).min(planned) {
            self.emit(pieces)?;
        }
        Ok(())
    }

    fn emit(&mut self, pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        let samples = self.sizes.len() as u64;
        let start_ticks = (self.frames - samples) * AAC_FRAME_SAMPLES;
        let sequence = u32::try_from(self.number).map_err(|_| CutError::OffPlan("too many segments".to_owned()))?;
        let bytes = sound_fragment(sequence, start_ticks, &self.sizes, &self.payload)?;
        pieces.push(Piece::Segment(CutSegment {
            number: self.number,
            start_ticks,
            duration_ticks: samples * AAC_FRAME_SAMPLES,
            samples,
            keyframes: Vec::new(),
            bytes: bytes.freeze(),
        }));
        self.sizes.clear();
        self.payload.clear();
        self.number += 1;
        Ok(())
    }
}

/// Writes one fragment of sound.
pub(crate) fn sound_fragment(
    sequence: u32,
    start_ticks: u64,
    sizes: &[u32],
    payload: &[u8],
) -> Result<BytesMut, CutError> {
    let entries = sizes.iter().map(|size| TrunEntry { size: Some(*size), ..TrunEntry::default() }).collect();
    let mut moof = Moof {
        mfhd: Mfhd { sequence_number: sequence },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id: 1,
                default_base_is_moof: true,
                default_sample_duration: Some(AAC_FRAME_SAMPLES as u32),
                default_sample_flags: Some(SYNC_FLAGS),
                ..Tfhd::default()
            },
            tfdt: Some(Tfdt { base_media_decode_time: start_ticks }),
            trun: vec![Trun { data_offset: Some(0), samples: mp4_atom::TrunSamples::Explicit(entries) }],
            ..Traf::default()
        }],
    };
    let written = |moof: &Moof| {
        let mut bytes = Vec::new();
        moof.encode(&mut bytes).map(|()| bytes).map_err(|error| CutError::OffPlan(error.to_string()))
    };
    // The offset of the data is the size of the box that says it: written once to learn it.
    const MDAT_HEADER_BYTES: usize = 8;
    let data_offset = written(&moof)?.len() + MDAT_HEADER_BYTES;
    moof.traf[0].trun[0].data_offset = i32::try_from(data_offset).ok();
    let head = written(&moof)?;
    let mut bytes = BytesMut::with_capacity(data_offset + payload.len());
    bytes.extend_from_slice(&head);
    bytes.put_u32((MDAT_HEADER_BYTES + payload.len()) as u32);
    bytes.extend_from_slice(b"mdat");
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

impl Cutter for AudioCutter<'_> {
    fn push(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<(), CutError> {
        self.stream.push(bytes);
        while let Some(part) = self.stream.next()? {
            match part {
                Part::Init(init) => {
                    let facts = read_init(&init)?;
                    if facts.timescale != AUDIO_RATE {
                        return off_plan(format!("a timescale of {}, not {AUDIO_RATE}", facts.timescale));
                    }
                    pieces.push(Piece::Init(init));
                }
                Part::Fragment(bytes) => self.take(&bytes, pieces)?,
            }
        }
        Ok(())
    }

    fn reached(&self) -> Reached {
        Reached { done: self.done(), planned: planned_frames(self.spec) * AAC_FRAME_SAMPLES }
    }

    fn done(&self) -> u64 {
        self.frames * AAC_FRAME_SAMPLES
    }
}
