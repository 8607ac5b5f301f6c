//! What an operator may set of tokens and of the audit trail.

use framemill_schemas::delivery::{LIFETIME_S_MAX, LIFETIME_S_MIN};
use serde::{Deserialize, Serialize};

/// How long addresses are kept at most, seconds: as long as the trail itself.
const ADDRESSES_S_MAX: u64 = 30 * 24 * 3600;

/// Tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenSettings {
    /// Seconds a token is valid where a request does not say.
    pub lifetime_s: u32,
    /// Most seconds a request may ask for.
    pub lifetime_s_max: u32,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self { lifetime_s: 300, lifetime_s_max: 600 }
    }
}

impl TokenSettings {
    /// The key that is out of range, and the mend.
    pub fn fault(&self) -> Option<(&'static str, String)> {
        if !(LIFETIME_S_MIN..=LIFETIME_S_MAX).contains(&self.lifetime_s_max) {
            return Some(("lifetime_s_max", format!("use {LIFETIME_S_MIN} to {LIFETIME_S_MAX} seconds")));
        }
        if !(LIFETIME_S_MIN..=self.lifetime_s_max).contains(&self.lifetime_s) {
            return Some(("lifetime_s", format!("use {LIFETIME_S_MIN} to {} seconds", self.lifetime_s_max)));
        }
        None
    }
}

/// The audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// How long viewers' addresses are kept, seconds; 0: they are not.
    pub addresses_s: u64,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { addresses_s: 24 * 3600 }
    }
}

impl AuditSettings {
    /// The key that is out of range, and the mend.
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let mend = || format!("use up to {ADDRESSES_S_MAX} seconds, or 0 for none");
        (self.addresses_s > ADDRESSES_S_MAX).then(|| ("addresses_s", mend()))
    }
}
