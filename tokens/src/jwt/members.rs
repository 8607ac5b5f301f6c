//! Members of a JSON object, each at most once.
//!
//! A derived reader passes over a member that it does not know, however often it comes. Which of two counts is each
//! reader's taste (RFC 7519, clause 4), so none may come twice, by whatever escapes it is written.

use std::borrow::Cow;

use serde::{
    Deserialize,
    de::{Error, MapAccess},
};

/// Most members of an object: those that are known and as many again.
const MEMBERS_MAX: usize = 32;

/// A text, copied only if it has escapes.
#[derive(Deserialize, PartialEq)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Takes an object that is being read; asks for each member that the value be taken.
pub(super) fn each<'de, A: MapAccess<'de>>(
    mut map: A,
    mut take: impl FnMut(&str, &mut A) -> Result<(), A::Error>,
) -> Result<(), A::Error> {
    let mut names: Vec<Text<'de>> = Vec::with_capacity(16);
    while let Some(name) = map.next_key::<Text<'de>>()? {
        if names.len() == MEMBERS_MAX || names.contains(&name) {
            return Err(A::Error::custom("too many members, or one twice"));
        }
        take(&name.0, &mut map)?;
        names.push(name);
    }
    Ok(())
}
