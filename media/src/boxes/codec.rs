//! RFC 6381 codec strings, computed from the decoder configuration, never typed by hand.

use mp4_atom::{Av1c, Avcc, Esds, Hvcc};

use super::{
    BoxError,
    walk::{Child, find, leaf},
};

/// `avc1.PPCCLL` (ISO/IEC 14496-15, Annex E).
pub(super) fn avc(config: &Avcc) -> String {
    format!(
        "avc1.{:02x}{:02x}{:02x}",
        config.avc_profile_indication, config.profile_compatibility, config.avc_level_indication
    )
}

/// `hvc1.<space><profile>.<compatibility>.<tier><level>.<constraints>` (ISO/IEC 14496-15, Annex E).
pub(super) fn hevc(tag: &str, config: &Hvcc) -> String {
    let space = match config.general_profile_space {
        1 => "A",
        2 => "B",
        3 => "C",
        _ => "",
    };
    // The flags are written with the first one as the lowest bit, without leading zeros.
    let compatibility = u32::from_be_bytes(config.general_profile_compatibility_flags).reverse_bits();
    let tier = if config.general_tier_flag { 'H' } else { 'L' };
    let mut text =
        format!("{tag}.{space}{}.{compatibility:X}.{tier}{}", config.general_profile_idc, config.general_level_idc);
    let constraints = &config.general_constraint_indicator_flags;
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        text.push_str(&format!(".{byte:X}"));
    }
    text
}

/// `av01.P.LLT.DD` (AV1 in ISO-BMFF, clause 5); the optional fields have their default values in
/// what is published here (4:2:0, BT.709 or unspecified).
pub(super) fn av1(config: &Av1c) -> String {
    let depth = match (config.high_bitdepth, config.twelve_bit) {
        (true, true) => 12,
        (true, false) => 10,
        (false, _) => 8,
    };
    let tier = if config.seq_tier_0 { 'H' } else { 'M' };
    format!("av01.{}.{:02}{tier}.{depth:02}", config.seq_profile, config.seq_level_idx_0)
}

/// `mp4a.40.<audio object type>`.
pub(super) fn aac(config: &Esds) -> Result<String, BoxError> {
    let fault = |why: &str| BoxError::Content { kind: "esds", why: why.to_owned() };
    let decoder = &config.es_desc.dec_config;
    if decoder.object_type_indication != 0x40 {
        return Err(fault("the sound is not MPEG-4 audio"));
    }
    let specific = decoder.dec_specific.as_ref().ok_or_else(|| fault("no decoder configuration"))?;
    Ok(format!("mp4a.40.{}", specific.profile))
}

/// Codec string of a visual sample entry's children.
pub(super) fn of_picture(entry: &Child<'_>, children: &[u8], base: usize) -> Result<String, BoxError> {
    match &entry.kind {
        b"avc1" => Ok(avc(&leaf(&find(children, base, "avcC")?, "avcC")?)),
        tag @ (b"hvc1" | b"hev1") => {
            let tag = std::str::from_utf8(&tag[..]).expect("both tags are ASCII");
            Ok(hevc(tag, &leaf(&find(children, base, "hvcC")?, "hvcC")?))
        }
        b"av01" => Ok(av1(&leaf(&find(children, base, "av1C")?, "av1C")?)),
        other => {
            Err(BoxError::Content { kind: "stsd", why: format!("the codec {} is not taken", other.escape_ascii()) })
        }
    }
}
