//! Giving a segment another place in time: sequence numbers and decode times are overwritten where
//! they stand, and nothing else changes.

use super::{
    BoxError,
    walk::{children, find},
};

/// Gives the fragments of a segment consecutive sequence numbers from `sequence` on, and moves their
/// decode times so that the first is `start_ticks`.
///
/// Fails for fragments whose decode time has only 32 bits (ISO/IEC 14496-12, clause 8.8.12).
pub fn restamp(bytes: &mut [u8], sequence: u32, start_ticks: u64) -> Result<(), BoxError> {
    let mut places = Vec::new();
    for child in children(bytes, 0) {
        let child = child?;
        if child.kind == *b"moof" {
            places.push(place(child.body, child.body_offset)?);
        }
    }
    let first = places.first().ok_or(BoxError::Missing("moof"))?.1;
    let moved_by = start_ticks.wrapping_sub(u64::from_be_bytes(at(bytes, first)));
    for ((sequence_at, time_at), sequence) in places.into_iter().zip(sequence..) {
        bytes[sequence_at..sequence_at + 4].copy_from_slice(&sequence.to_be_bytes());
        let time = u64::from_be_bytes(at(bytes, time_at)).wrapping_add(moved_by);
        bytes[time_at..time_at + 8].copy_from_slice(&time.to_be_bytes());
    }
    Ok(())
}

fn at(bytes: &[u8], offset: usize) -> [u8; 8] {
    bytes[offset..offset + 8].try_into().expect("the place was found in these bytes")
}

/// Where a fragment's sequence number and decode time stand.
fn place(moof: &[u8], base: usize) -> Result<(usize, usize), BoxError> {
    const FULL_BOX_BYTES: usize = 4;
    let short = |kind| BoxError::Content { kind, why: "it is too short".to_owned() };
    let mfhd = find(moof, base, "mfhd")?;
    if mfhd.body.len() != FULL_BOX_BYTES + 4 {
        return Err(short("mfhd"));
    }
    let traf = find(moof, base, "traf")?;
    let tfdt = find(traf.body, traf.body_offset, "tfdt")?;
    if tfdt.body.first() != Some(&1) || tfdt.body.len() != FULL_BOX_BYTES + 8 {
        return Err(BoxError::Content { kind: "tfdt", why: "its time has not 64 bits".to_owned() });
    }
    Ok((mfhd.body_offset + FULL_BOX_BYTES, tfdt.body_offset + FULL_BOX_BYTES))
}
