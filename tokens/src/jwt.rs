//! JSON web tokens (RFC 7519) in the compact serialisation of signed ones (RFC 7515, clause 7.1).
//!
//! Straight over `ring`, `serde_json` and `base64`, and not over the crate `jsonwebtoken`: that finds its cryptography
//! through one global of the process, boxes a verifier and builds a map of header members for each token, and lets a
//! member that it does not know come twice. It checks what is written here in the tests instead.

mod claims;
mod header;
mod members;

use framemill_schemas::delivery::{Algorithm, Claims};

use crate::{Refusal, base64url, said::Said};

/// A token taken apart. Nothing that it says is read.
pub(crate) struct Parts<'a> {
    /// Its key; empty when it names none.
    pub(crate) kid: String,
    /// What it says its algorithm is; `None`: none of ours.
    pub(crate) algorithm: Option<Algorithm>,
    /// What is signed.
    pub(crate) message: &'a [u8],
    /// What proves it.
    pub(crate) signed: Vec<u8>,
    payload: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes a token apart.
    pub(crate) fn read(token: &'a str) -> Result<Self, Refusal> {
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signed), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        let said = header::read(&base64url::decode(header)?)?;
        let signed_at = header.len() + 1 + payload.len();
        Ok(Self {
            kid: said.kid,
            algorithm: algorithm_of(&said.algorithm),
            message: &token.as_bytes()[..signed_at],
            signed: base64url::decode(signed)?,
            payload,
        })
    }

    /// What it says. Asked for once the signature is good.
    pub(crate) fn said(&self) -> Result<Said, Refusal> {
        claims::read(&base64url::decode(self.payload)?)
    }
}

/// The algorithm of a name (RFC 7518, clause 3.1; RFC 8037, clause 3.1). `none` has none.
fn algorithm_of(name: &str) -> Option<Algorithm> {
    match name {
        "HS256" => Some(Algorithm::Hs256),
        "ES256" => Some(Algorithm::Es256),
        "EdDSA" => Some(Algorithm::EdDsa),
        _ => None,
    }
}

pub(crate) const fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Hs256 => "HS256",
        Algorithm::Es256 => "ES256",
        Algorithm::EdDsa => "EdDSA",
    }
}

/// Takes claims; returns what has to be signed.
pub(crate) fn message(kid: &str, algorithm: Algorithm, claims: &Claims, issued_s: i64) -> String {
    let header = serde_json::json!({ "alg": name_of(algorithm), "kid": kid, "typ": "JWT" });
    let payload = claims::write(claims, issued_s);
    format!("{}.{}", base64url::encode(header.to_string().as_bytes()), base64url::encode(payload.as_bytes()))
}

/// Takes what was signed and what proves it; returns the token.
pub(crate) fn token(message: &str, signed: &[u8]) -> String {
    format!("{message}.{}", base64url::encode(signed))
}
