//! The first bytes of a media segment: whether they are the beginning of one.

use mp4_atom::{Mfhd, Tfdt, Tfhd};

use super::{
    BoxError,
    walk::{Header, children, find, fourcc, header, leaf},
};

/// What may stand before the first fragment (ISO/IEC 14496-12, clause 8.16; ISO/IEC 23009-1 for `emsg`).
const BEFORE: [&[u8; 4]; 8] = [b"styp", b"sidx", b"ssix", b"emsg", b"prft", b"free", b"skip", b"uuid"];

/// Takes the first bytes of what should be a media segment, cut anywhere; says whether a player could begin with them:
/// known boxes, then a `moof` that is read as far as it is there, then its `mdat`.
///
/// # Errors
/// What is not as it should be. Bytes that end before the `moof` was reached are no error: they do not show one.
pub fn check_start(bytes: &[u8]) -> Result<(), BoxError> {
    if bytes.len() < 8 {
        return Err(BoxError::Missing("moof"));
    }
    let mut at = 0;
    let mut fragment = false;
    while let Some(rest) = bytes.get(at..) {
        let found = match header(rest) {
            Header::Short => return Ok(()),
            Header::Invalid => return Err(BoxError::Size { offset: at }),
            Header::Box(found) => found,
        };
        match &found.kind {
            b"mdat" if fragment => return Ok(()),
            b"moof" if !fragment => fragment = true,
            kind if BEFORE.contains(&kind) => {}
            kind => {
                let why = format!("a {} box stands where a fragment should begin", fourcc(*kind));
                return Err(BoxError::Content { kind: "moof", why });
            }
        }
        let whole = usize::try_from(found.total_bytes).ok().and_then(|total| rest.get(found.header_bytes..total));
        let Some(body) = whole else {
            return if found.kind == *b"moof" { begins_fragment(&rest[found.header_bytes..]) } else { Ok(()) };
        };
        if found.kind == *b"moof" {
            check_fragment(body, at + found.header_bytes)?;
        }
        at += found.header_bytes + body.len();
    }
    Ok(())
}

/// A `moof` that is there as a whole.
fn check_fragment(body: &[u8], base: usize) -> Result<(), BoxError> {
    leaf::<Mfhd>(&find(body, base, "mfhd")?, "mfhd")?;
    let track = find(body, base, "traf")?;
    leaf::<Tfhd>(&find(track.body, track.body_offset, "tfhd")?, "tfhd")?;
    leaf::<Tfdt>(&find(track.body, track.body_offset, "tfdt")?, "tfdt")?;
    children(track.body, track.body_offset).try_for_each(|child| child.map(drop))
}

/// One that was cut: its first box is its header (clause 8.8.5).
fn begins_fragment(body: &[u8]) -> Result<(), BoxError> {
    match header(body) {
        Header::Short => Ok(()),
        Header::Box(found) if found.kind == *b"mfhd" => Ok(()),
        Header::Box(_) | Header::Invalid => Err(BoxError::Missing("mfhd")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], kind, body].concat()
    }

    fn moof() -> Vec<u8> {
        let tfhd = part(b"tfhd", &[0, 0x02, 0, 0, 0, 0, 0, 1]);
        let tfdt = part(b"tfdt", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let traf = part(b"traf", &[tfhd, tfdt].concat());
        part(b"moof", &[part(b"mfhd", &[0, 0, 0, 0, 0, 0, 0, 1]), traf].concat())
    }

    #[test]
    fn the_beginning_of_a_segment_wherever_it_is_cut() {
        let styp = part(b"styp", b"msdh\0\0\0\0");
        let segment = [styp, part(b"emsg", &[0; 40]), moof(), part(b"mdat", &[7; 100])].concat();
        for length in 8..=segment.len() {
            assert_eq!(check_start(&segment[..length]), Ok(()), "{length}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        let mut cut_short = moof();
        cut_short[3] -= 8;
        for (what, bytes) in [
            ("nothing", Vec::new()),
            ("text", b"<html><body>502 Bad Gateway</body></html>".to_vec()),
            ("zeroes", vec![0; 64]),
            ("noise", (0..64_u8).map(|byte| byte.wrapping_mul(151)).collect()),
            ("an init", part(b"ftyp", b"iso6\0\0\0\0")),
            ("media without a fragment", part(b"mdat", &[7; 100])),
            ("two fragments without media", [moof(), moof()].concat()),
            ("a fragment without a track", part(b"moof", &part(b"mfhd", &[0, 0, 0, 0, 0, 0, 0, 1]))),
            ("a fragment that is shorter than its boxes", cut_short),
            ("a fragment of noise that was cut", [&part(b"moof", &[9; 64])[..40]].concat()),
        ] {
            assert!(check_start(&bytes).is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = check_start(&bytes);
            let _ = check_start(&[moof(), bytes].concat());
        }
    }
}
