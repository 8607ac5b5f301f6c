//! The header of a JSON web token (RFC 7515, clause 4.1): its algorithm and its key.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, Visitor},
};

use super::members::{Text, each};
use crate::Refusal;

/// Members that change what the rest means. Others that are not known (`jku`, `x5c`...) are hints and never followed.
const UNSUPPORTED: [&str; 5] = ["crit", "b64", "zip", "enc", "cty"];

/// What a header says.
#[derive(Default)]
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) kid: String,
    typ: Option<String>,
    unsupported: Option<&'static str>,
}

/// Takes JSON; returns what it says.
pub(super) fn read(json: &[u8]) -> Result<Header, Refusal> {
    let header: Header = serde_json::from_slice(json).map_err(|_| Refusal::Malformed)?;
    if let Some(member) = header.unsupported {
        return Err(Refusal::Unsupported(member));
    }
    // Another type of token with the same key is not one of these (RFC 8725, clause 3.11).
    if header.typ.as_ref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(Refusal::Malformed);
    }
    Ok(header)
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the header of a token")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        each(map, |name, map| {
            match name {
                "alg" => header.algorithm = map.next_value::<Text<'de>>()?.0.into_owned(),
                "kid" => header.kid = map.next_value::<Text<'de>>()?.0.into_owned(),
                "typ" => header.typ = Some(map.next_value::<Text<'de>>()?.0.into_owned()),
                other => {
                    if let Some(member) = UNSUPPORTED.iter().find(|member| **member == other) {
                        header.unsupported.get_or_insert(member);
                    }
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(())
        })?;
        Ok(header)
    }
}
