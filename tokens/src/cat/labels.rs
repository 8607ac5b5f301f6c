//! Labels of claims: RFC 8392 (clause 3.1), CTA-5007-B, and our own, below -65536 where labels are anybody's.

pub(super) const ISS: i64 = 1;
pub(super) const SUB: i64 = 2;
pub(super) const AUD: i64 = 3;
pub(super) const EXP: i64 = 4;
pub(super) const NBF: i64 = 5;
pub(super) const IAT: i64 = 6;
pub(super) const CTI: i64 = 7;
/// Proof of possession (RFC 8747).
pub(super) const CNF: i64 = 8;
/// Scopes (RFC 9200).
pub(super) const SCOPE: i64 = 9;
pub(super) const CATV: i64 = 310;
pub(super) const CATNIP: i64 = 311;
pub(super) const CATU: i64 = 312;
pub(super) const CATM: i64 = 313;
pub(super) const CATGEOISO3166: i64 = 316;
/// What a refusal is answered with, and how the token is renewed.
pub(super) const CATIF: i64 = 322;
pub(super) const CATR: i64 = 323;
/// Paths, when they are several: one `catu` cannot name two.
pub(super) const PATHS: i64 = -65_537;
/// Origins.
pub(super) const ORIGINS: i64 = -65_538;
/// Most sessions at once.
pub(super) const MAX: i64 = -65_539;
/// Which session yields.
pub(super) const YIELDS: i64 = -65_540;

/// Takes a label; returns its name, for people and refusals.
pub(crate) fn name_of(label: i64) -> Option<&'static str> {
    Some(match label {
        ISS => "iss",
        SUB => "sub",
        AUD => "aud",
        EXP => "exp",
        NBF => "nbf",
        IAT => "iat",
        CTI => "cti",
        CNF => "cnf",
        SCOPE => "scope",
        PATHS => "paths",
        ORIGINS => "ori",
        MAX => "max",
        YIELDS => "yld",
        308..=324 => return enforced(label),
        _ => return None,
    })
}

/// Takes a label; returns its name when its claim says whom to keep out: what is not built of these is refused and
/// never passed over. 300 to 307 are of watermarks (ETSI TS 104 002): who serves without looking serves unmarked. Drafts
/// of CTA-5007 had other numbers for the same restrictions, and later ones get numbers nearby, so no number there is
/// passed over.
pub(super) const fn enforced(label: i64) -> Option<&'static str> {
    Some(match label {
        AUD => "aud",
        CNF => "cnf",
        SCOPE => "scope",
        300..=307 => "watermark",
        308 => "catreplay",
        309 => "catpor",
        CATV => "catv",
        CATNIP => "catnip",
        CATU => "catu",
        CATM => "catm",
        314 => "catalpn",
        315 => "cath",
        CATGEOISO3166 => "catgeoiso3166",
        317 => "catgeocoord",
        318 => "catgeoalt",
        319 => "cattpk",
        320 => "catifdata",
        321 => "catdpop",
        CATIF => "catif",
        CATR => "catr",
        324 => "cattprint",
        256..=65_535 => "label",
        _ => return None,
    })
}
