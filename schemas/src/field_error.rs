//! What is wrong with a document a user sent: all of it in one answer.

use serde::{Deserialize, Serialize};

/// One fault in a document a user sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901); empty for the whole document.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
    /// What to write instead.
    pub mend: String,
}

impl FieldError {
    /// A fault at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), mend: mend.into() }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "{at}: {}; {}", self.detail, self.mend)
    }
}

/// Deserialises a document and names every key that means nothing, instead of only the first.
///
/// `accepted` is the list shown to the user when a key is unknown.
pub fn read_strict<'de, T, D>(deserializer: D) -> Result<T, Vec<FieldError>>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| {
        if unknown.len() < FIELD_ERRORS_MAX {
            unknown.push(FieldError::new(
                pointer_of(&path.to_string()),
                "unknown key",
                "remove it, or correct its spelling",
            ));
        }
    };
    let mut track = serde_path_to_error::Track::new();
    let strict =
        serde_ignored::Deserializer::new(serde_path_to_error::Deserializer::new(deserializer, &mut track), &mut note);
    match T::deserialize(strict) {
        Ok(value) if unknown.is_empty() => Ok(value),
        Ok(_) => Err(unknown),
        Err(error) => {
            unknown.push(FieldError::new(
                pointer_of(&track.path().to_string()),
                error.to_string(),
                "see the reference of this document",
            ));
            Err(unknown)
        }
    }
}

/// Most faults listed in one answer.
pub const FIELD_ERRORS_MAX: usize = 50;

/// `video.0.height` and `video[0].height` as `/video/0/height`.
fn pointer_of(path: &str) -> String {
    let parts = path.split(['.', '[', ']', '?']).filter(|part| !part.is_empty());
    parts.fold(String::new(), |pointer, part| pointer + "/" + part)
}
