//! Common Access Tokens (CTA-5007-B): CBOR web tokens (RFC 8392) in COSE (RFC 9052), `COSE_Mac0` with an HMAC or
//! `COSE_Sign1` with a signature, with or without the tags of either, base64url.
//!
//! The envelope is read here and not by the crate `coset`: that reads headers and the countersignatures in them before
//! anything is proved, each inside the bytes of the other, so that a token of 4096 characters nests hundreds of
//! readers on the stack. It checks what is written here in the tests instead.

mod claims;
mod labels;
mod more;
mod network;

use ciborium::Value;
use framemill_schemas::delivery::{Algorithm, Claims};

use crate::{More, Refusal, base64url, cbor, said::Said};

pub(crate) use labels::name_of as claim_name;
pub(crate) use more::labels_of;

/// Tags: a CBOR web token (RFC 8392, clause 6), and what it is in (RFC 9052, clause 2).
const TAG_CWT: u64 = 61;
const TAG_MAC0: u64 = 17;
const TAG_SIGN1: u64 = 18;
/// Parameters of headers (RFC 9052, clause 3.1).
const HEADER_ALGORITHM: i64 = 1;
const HEADER_CRITICAL: i64 = 2;
const HEADER_KID: i64 = 4;

/// A token taken apart. Nothing that it says is read.
pub(crate) struct Parts {
    /// Its key; empty when it names none.
    pub(crate) kid: String,
    /// What it says its algorithm is; `None`: none of ours.
    pub(crate) algorithm: Option<Algorithm>,
    /// What is signed (RFC 9052, clauses 4.4 and 6.3).
    pub(crate) message: Vec<u8>,
    /// What proves it.
    pub(crate) signed: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Parts {
    /// Takes a token apart.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut value = cbor::read(bytes)?;
        if let Value::Tag(TAG_CWT, inner) = value {
            value = *inner;
        }
        let tag = match value {
            Value::Tag(tag @ (TAG_MAC0 | TAG_SIGN1), inner) => {
                value = *inner;
                Some(tag)
            }
            _ => None,
        };
        let Value::Array(items) = value else { return Err(Refusal::Malformed) };
        let Ok([Value::Bytes(protected), Value::Map(unprotected), Value::Bytes(payload), Value::Bytes(signed)]) =
            <[Value; 4]>::try_from(items)
        else {
            return Err(Refusal::Malformed);
        };
        let inside = if protected.is_empty() { Header::default() } else { Header::read_bytes(&protected)? };
        let outside = Header::read(&unprotected)?;
        // What stands outside of what is signed is anybody's. Only the key's id may: another one proves nothing.
        if outside.algorithm.is_some() || unprotected.len() > usize::from(outside.kid.is_some()) {
            return Err(Refusal::Malformed);
        }
        let kid = match (inside.kid, outside.kid) {
            (Some(one), Some(other)) if one != other => return Err(Refusal::Malformed),
            (one, other) => one.or(other).unwrap_or_default(),
        };
        let algorithm = inside.algorithm.and_then(algorithm_of);
        let kind = algorithm.map(tag_of);
        if tag.is_some() && tag != kind {
            return Err(Refusal::Algorithm);
        }
        let message = to_be_signed(kind.unwrap_or(TAG_SIGN1), &protected, &payload);
        Ok(Self { kid, algorithm, message, signed, payload })
    }

    /// What it says. Asked for once the signature is good.
    pub(crate) fn said(&self) -> Result<Said, Refusal> {
        claims::read(&self.payload)
    }
}

#[derive(Default)]
struct Header {
    algorithm: Option<i64>,
    kid: Option<String>,
}

impl Header {
    fn read_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        match cbor::read(bytes)? {
            Value::Map(entries) => Self::read(&entries),
            _ => Err(Refusal::Malformed),
        }
    }

    fn read(entries: &[(Value, Value)]) -> Result<Self, Refusal> {
        let mut header = Self::default();
        for (label, value) in entries {
            match (label.as_integer().and_then(|label| label.try_into().ok()), value) {
                // What has to be understood is not (RFC 9052, clause 3.1).
                (Some(HEADER_CRITICAL), _) => return Err(Refusal::Unsupported("crit")),
                (Some(HEADER_ALGORITHM), Value::Integer(number)) => {
                    header.algorithm = Some(i64::try_from(*number).map_err(|_| Refusal::Malformed)?);
                }
                // Names of algorithms are none of ours.
                (Some(HEADER_ALGORITHM), Value::Text(_)) => header.algorithm = Some(0),
                (Some(HEADER_KID), Value::Bytes(kid)) => {
                    header.kid = Some(String::from_utf8(kid.clone()).map_err(|_| Refusal::UnknownKey)?);
                }
                (Some(HEADER_ALGORITHM | HEADER_KID), _) => return Err(Refusal::Malformed),
                _ => {}
            }
        }
        Ok(header)
    }
}

/// The algorithm of a number (RFC 9053, clauses 2.1, 2.2 and 3.1).
const fn algorithm_of(number: i64) -> Option<Algorithm> {
    match number {
        5 => Some(Algorithm::Hs256),
        -7 => Some(Algorithm::Es256),
        -8 => Some(Algorithm::EdDsa),
        _ => None,
    }
}

const fn number_of(algorithm: Algorithm) -> i64 {
    match algorithm {
        Algorithm::Hs256 => 5,
        Algorithm::Es256 => -7,
        Algorithm::EdDsa => -8,
    }
}

const fn tag_of(algorithm: Algorithm) -> u64 {
    match algorithm {
        Algorithm::Hs256 => TAG_MAC0,
        Algorithm::Es256 | Algorithm::EdDsa => TAG_SIGN1,
    }
}

/// `MAC_structure` or `Sig_structure` with nothing from outside (RFC 9052, clauses 4.4 and 6.3).
pub(crate) fn to_be_signed(tag: u64, protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let context = if tag == TAG_MAC0 { "MAC0" } else { "Signature1" };
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    cbor::write(&Value::Array(vec![Value::Text(context.to_owned()), bytes(protected), bytes(&[]), bytes(payload)]))
}

/// A token without its signature.
pub(crate) struct Unsigned {
    /// What has to be signed.
    pub(crate) message: Vec<u8>,
    protected: Vec<u8>,
    payload: Vec<u8>,
    tag: u64,
}

impl Unsigned {
    /// Takes claims.
    pub(crate) fn new(kid: &str, algorithm: Algorithm, claims: &Claims, more: &More, issued_s: i64) -> Self {
        let protected = cbor::write(&Value::Map(vec![
            (HEADER_ALGORITHM.into(), number_of(algorithm).into()),
            (HEADER_KID.into(), Value::Bytes(kid.as_bytes().to_vec())),
        ]));
        let payload = cbor::write(&claims::write(claims, more, issued_s));
        let tag = tag_of(algorithm);
        Self { message: to_be_signed(tag, &protected, &payload), protected, payload, tag }
    }

    /// Takes what proves it; returns the token, with both tags.
    pub(crate) fn token(self, signed: Vec<u8>) -> String {
        let cose = Value::Array(vec![
            Value::Bytes(self.protected),
            Value::Map(Vec::new()),
            Value::Bytes(self.payload),
            Value::Bytes(signed),
        ]);
        let tagged = Value::Tag(TAG_CWT, Box::new(Value::Tag(self.tag, Box::new(cose))));
        base64url::encode(&cbor::write(&tagged))
    }
}
