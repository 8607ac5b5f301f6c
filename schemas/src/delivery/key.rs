//! Keys that tokens are signed with: what verifies them, and apart from that what signs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Paths;
use crate::ids::Tenant;

/// Format of records of verifying keys.
pub const TOKEN_KEY_VERSION: u32 = 1;
/// Format of records of signing keys.
pub const SIGNING_KEY_VERSION: u32 = 1;
/// Longest key id: letters, digits, `-` and `_`.
pub const KID_CHARS_MAX: usize = 32;

/// How a key signs. A key has one algorithm, whatever a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// HMAC with SHA-256 (RFC 2104): JWT `HS256`, COSE 5, and the compact form.
    Hs256,
    /// ECDSA on P-256 with SHA-256: JWT `ES256`, COSE -7.
    Es256,
    /// Ed25519 (RFC 8032): JWT `EdDSA`, COSE -8.
    EdDsa,
}

/// What an edge has of a key: bucket `token-keys`, by key id.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKey {
    /// Format of this record.
    pub v: u32,
    /// Names the key in tokens.
    pub kid: String,
    /// Whose viewers it speaks for.
    pub tenant: Tenant,
    /// How it signs.
    pub algorithm: Algorithm,
    /// Everything that its tokens may name, whatever they say.
    pub scope: Paths,
    /// What verifies: the secret (`hs256`, 32 to 64 bytes), the uncompressed point (`es256`, 65 bytes) or the public key
    /// (`ed_dsa`, 32 bytes).
    #[serde(with = "serde_bytes")]
    pub verifies: Vec<u8>,
    /// Made, Unix milliseconds. The newest key of a tenant signs.
    pub created_ms: i64,
    /// From then on its tokens are refused, Unix milliseconds; `None`: it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_ms: Option<i64>,
}

/// The secret half: bucket `signing-keys`, by key id. Only schedulers read it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// Format of this record.
    pub v: u32,
    /// The key.
    pub kid: String,
    /// What signs: the secret (`hs256`), or PKCS #8 (RFC 5958).
    #[serde(with = "serde_bytes")]
    pub signs: Vec<u8>,
}

// Neither is ever printed.
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey")
            .field("kid", &self.kid)
            .field("tenant", &self.tenant)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}
