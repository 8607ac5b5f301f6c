//! Codec strings against their definitions, and hostile bytes.

use mp4_atom::{Avcc, Hvcc};
use proptest::prelude::*;

use super::*;

#[test]
fn codec_strings_follow_their_definitions() {
    let avc =
        Avcc { avc_profile_indication: 0x64, profile_compatibility: 0, avc_level_indication: 0x1f, ..Avcc::default() };
    assert_eq!(codec::avc(&avc), "avc1.64001f");
    let mut hevc = Hvcc {
        general_profile_idc: 1,
        general_profile_compatibility_flags: [0x60, 0, 0, 0],
        general_constraint_indicator_flags: [0xB0, 0, 0, 0, 0, 0],
        general_level_idc: 93,
        ..Hvcc::new()
    };
    assert_eq!(codec::hevc("hvc1", &hevc), "hvc1.1.6.L93.B0");
    hevc.general_tier_flag = true;
    hevc.general_profile_space = 1;
    hevc.general_constraint_indicator_flags = [0; 6];
    assert_eq!(codec::hevc("hvc1", &hevc), "hvc1.A1.6.H93");
}

/// Containers within containers, as deep as the bytes go.
#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    let mut bytes = Vec::new();
    for depth in (0..100_000_u32).rev() {
        bytes.extend_from_slice(&(8 + depth * 8).to_be_bytes());
        bytes.extend_from_slice(b"moov");
    }
    assert!(read_init(&bytes).is_err());
    assert!(read_segment(&bytes).is_err());
}

/// A run of four thousand million samples in a few bytes.
#[test]
fn a_run_that_claims_too_much_is_refused() {
    let part = |kind: &[u8; 4], body: &[u8]| {
        let mut bytes = ((body.len() + 8) as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(body);
        bytes
    };
    let tfhd = part(b"tfhd", &[0, 0x02, 0, 0x38, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0]);
    let tfdt = part(b"tfdt", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let trun = part(b"trun", &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let traf = part(b"traf", &[tfhd, tfdt, trun].concat());
    let mfhd = part(b"mfhd", &[0, 0, 0, 0, 0, 0, 0, 1]);
    let bytes = [part(b"moof", &[mfhd, traf].concat()), part(b"mdat", &[])].concat();
    assert!(matches!(read_segment(&bytes), Err(BoxError::Limit(_))), "{:?}", read_segment(&bytes));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_init(&bytes);
        let _ = read_segment(&bytes);
    }

    #[test]
    fn any_boxes_are_read_without_a_panic(
        kinds in prop::collection::vec(0_usize..14, 1..12),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        const KINDS: [&[u8; 4]; 14] = [
            b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"moof", b"traf", b"mfhd", b"tfhd", b"tfdt", b"trun", b"mdat", b"avc1",
        ];
        let mut bytes = body;
        for kind in kinds {
            let mut outer = ((bytes.len() + 8) as u32).to_be_bytes().to_vec();
            outer.extend_from_slice(KINDS[kind]);
            outer.extend_from_slice(&bytes);
            bytes = outer;
        }
        let _ = read_init(&bytes);
        let _ = read_segment(&bytes);
        bytes.extend_from_slice(b"\0\0\0\x08mdat");
        let _ = read_segment(&bytes);
    }
}
