//! Base64url without padding (RFC 4648, clause 5), in its one form: no padding, no white space, and no bits left over,
//! so that no two texts are one token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::Refusal;

/// Takes text; returns the bytes.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Malformed)
}

/// Takes bytes; returns their text.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
