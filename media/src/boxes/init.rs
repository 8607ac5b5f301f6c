//! Initialisation segments: timescale, codec string, dimensions.

use mp4_atom::Mdhd;

use super::{
    BoxError, INIT_BYTES_MAX, codec,
    walk::{Child, children, find, leaf},
};

/// What an initialisation segment says of its one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitFacts {
    /// Ticks per second.
    pub timescale: u32,
    /// Codec string (RFC 6381).
    pub codecs: String,
    /// Picture or sound.
    pub kind: TrackKind,
}

/// Picture or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackKind {
    /// Picture.
    Video {
        /// Coded width.
        width: u32,
        /// Coded height.
        height: u32,
    },
    /// Sound.
    Audio {
        /// Samples per second.
        rate: u32,
        /// Channels.
        channels: u32,
    },
}

/// Bytes of a visual sample entry before its boxes (ISO/IEC 14496-12, clause 12.1.3).
const VISUAL_ENTRY_BYTES: usize = 78;
/// Bytes of an audio sample entry before its boxes (clause 12.2.3).
const AUDIO_ENTRY_BYTES: usize = 28;
/// Version, flags and count of a sample description box.
const STSD_HEAD_BYTES: usize = 8;

/// Reads an initialisation segment (`ftyp` and `moov`) that describes exactly one track.
pub fn read_init(bytes: &[u8]) -> Result<InitFacts, BoxError> {
    if bytes.len() > INIT_BYTES_MAX {
        return Err(BoxError::Limit("the initialisation segment is larger than 1 MiB"));
    }
    let moov = find(bytes, 0, "moov")?;
    let mut tracks =
        children(moov.body, moov.body_offset).filter(|child| !matches!(child, Ok(c) if c.kind != *b"trak"));
    let track = tracks.next().ok_or(BoxError::Missing("trak"))??;
    if tracks.next().transpose()?.is_some() {
        return Err(BoxError::Limit("the initialisation segment describes more than one track"));
    }
    let mdia = find(track.body, track.body_offset, "mdia")?;
    let mdhd: Mdhd = leaf(&find(mdia.body, mdia.body_offset, "mdhd")?, "mdhd")?;
    if mdhd.timescale == 0 {
        return Err(BoxError::Content { kind: "mdhd", why: "the timescale is 0".to_owned() });
    }
    let minf = find(mdia.body, mdia.body_offset, "minf")?;
    let stbl = find(minf.body, minf.body_offset, "stbl")?;
    let stsd = find(stbl.body, stbl.body_offset, "stsd")?;
    let entries = stsd.body.get(STSD_HEAD_BYTES..).ok_or(BoxError::Size { offset: stsd.offset })?;
    let entry =
        children(entries, stsd.body_offset + STSD_HEAD_BYTES).next().ok_or(BoxError::Missing("sample entry"))??;
    let (codecs, kind) = if entry.kind == *b"mp4a" { sound(&entry)? } else { picture(&entry)? };
    Ok(InitFacts { timescale: mdhd.timescale, codecs, kind })
}

fn picture(entry: &Child<'_>) -> Result<(String, TrackKind), BoxError> {
    let (head, rest) =
        entry.body.split_at_checked(VISUAL_ENTRY_BYTES).ok_or(BoxError::Size { offset: entry.offset })?;
    let codecs = codec::of_picture(entry, rest, entry.body_offset + VISUAL_ENTRY_BYTES)?;
    Ok((codecs, TrackKind::Video { width: u16_at(head, 24), height: u16_at(head, 26) }))
}

fn sound(entry: &Child<'_>) -> Result<(String, TrackKind), BoxError> {
    let (head, rest) = entry.body.split_at_checked(AUDIO_ENTRY_BYTES).ok_or(BoxError::Size { offset: entry.offset })?;
    let esds = find(rest, entry.body_offset + AUDIO_ENTRY_BYTES, "esds")?;
    let codecs = codec::aac(&leaf(&esds, "esds")?)?;
    Ok((codecs, TrackKind::Audio { rate: u16_at(head, 24), channels: u16_at(head, 16) }))
}

/// A big-endian field of a sample entry's fixed part.
fn u16_at(head: &[u8], at: usize) -> u32 {
    u32::from(head[at]) << 8 | u32::from(head[at + 1])
}
