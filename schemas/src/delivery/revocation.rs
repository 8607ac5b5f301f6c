//! Sessions and accounts that are let in no more, whatever their tokens say.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::Tenant;

/// Format of revocation records written by this version.
pub const REVOCATION_VERSION: u32 = 1;
/// How long a revocation is kept: longer than any token is valid.
pub const REVOCATION_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// A revocation: bucket `revocations`, by [`Revocation::key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Format of this record.
    pub v: u32,
    /// Whose viewer it is.
    pub tenant: Tenant,
    /// What is revoked.
    pub revoked: Revoked,
    /// Tokens issued until then are refused, Unix milliseconds.
    pub until_ms: i64,
}

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// One session.
    Session(String),
    /// Every session that an account has now.
    Account(String),
}

impl Revocation {
    /// Its key in the bucket: a digest, since names of accounts may hold what keys must not.
    pub fn key(&self) -> String {
        let (kind, name) = match &self.revoked {
            Revoked::Session(name) => ("session", name),
            Revoked::Account(name) => ("account", name),
        };
        let digest = blake3::hash(name.as_bytes()).to_hex();
        format!("{}.{kind}.{}", self.tenant, &digest[..32])
    }
}
