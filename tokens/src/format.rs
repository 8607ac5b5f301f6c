//! The three formats, and which one a text is in. Never here: whether it is any good.

use std::borrow::Cow;

use framemill_schemas::delivery::Algorithm;
use serde::{Deserialize, Serialize};

use crate::{Refusal, base64url};

/// Longest token, in the form in which it comes. Longer ones are refused before anything is read.
pub const TOKEN_CHARS_MAX: usize = 4096;

/// A format of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A signed JSON web token in its compact serialisation (RFC 7519; RFC 7515, clause 7.1).
    Jwt,
    /// Fields with an HMAC-SHA256, in the long form that delivery networks take (`st=..~exp=..~acl=..~hmac=..`).
    Compact,
    /// A Common Access Token (CTA-5007-B): a CBOR web token (RFC 8392), base64url.
    Cat,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Jwt, Self::Compact, Self::Cat];

    /// Its name in metrics and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Compact => "compact",
            Self::Cat => "cat",
        }
    }

    /// Whether tokens of this format can be signed so.
    pub const fn takes(self, algorithm: Algorithm) -> bool {
        !matches!((self, algorithm), (Self::Compact, Algorithm::Es256 | Algorithm::EdDsa))
    }
}

/// A token whose format is known.
pub(crate) enum Shape<'a> {
    /// Three parts with dots between them.
    Jwt(&'a str),
    /// Its plain text.
    Compact(Cow<'a, str>),
    /// CBOR.
    Cat(Vec<u8>),
}

/// Takes a token as it came; tells its format by its letters. A dot is in JWTs alone, a `~` in compact tokens alone;
/// what has neither is base64url, of CBOR or of a compact token (see [`path_form`]). The first byte tells those two
/// apart: what begins a compact token would begin a text in CBOR, and no token is one.
pub(crate) fn recognise(token: &str) -> Result<Shape<'_>, Refusal> {
    if token.is_empty() {
        return Err(Refusal::Missing);
    }
    if token.len() > TOKEN_CHARS_MAX {
        return Err(Refusal::Oversized);
    }
    if token.bytes().any(|byte| byte == b'~') {
        return Ok(Shape::Compact(Cow::Borrowed(token)));
    }
    if token.bytes().any(|byte| byte == b'.') {
        return Ok(Shape::Jwt(token));
    }
    let bytes = base64url::decode(token)?;
    if bytes.starts_with(b"st=") || bytes.starts_with(b"exp=") {
        return Ok(Shape::Compact(Cow::Owned(String::from_utf8(bytes).map_err(|_| Refusal::Malformed)?)));
    }
    Ok(Shape::Cat(bytes))
}

/// Takes a token; returns it in the form that stands in a path (`/t/<token>/live/...`) as one part. A compact token
/// has slashes, so it is base64url of itself there; the others are as they are. Both forms of a compact token verify.
pub fn path_form(token: &str) -> Cow<'_, str> {
    if token.contains('~') { Cow::Owned(base64url::encode(token.as_bytes())) } else { Cow::Borrowed(token) }
}
