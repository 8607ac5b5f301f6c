//! Who was let in or refused: what is kept of it, and how much at most.

use serde::{Deserialize, Serialize};

use crate::ids::Tenant;

/// Format of audit records written by this version.
pub const AUDIT_VERSION: u32 = 1;
/// Most addresses kept of one entry.
pub const AUDIT_ADDRESSES_MAX: usize = 8;
/// Most paths kept of one entry.
pub const AUDIT_PATHS_MAX: usize = 4;
/// One entry is about one minute, so that a flood is one entry with a count.
pub const AUDIT_MINUTE_MS: i64 = 60_000;

/// One entry: bucket `audit`, by [`AuditRecord::key`]. All that came to the same for one account in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Format of this record.
    pub v: u32,
    /// Whose viewer it is.
    pub tenant: Tenant,
    /// The account.
    pub account: String,
    /// Tenant of the key that asked; `None`: whoever sat at the machine, or the viewer's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Tenant>,
    /// What was asked for.
    pub what: AuditedAct,
    /// Why it was refused; `None`: it was not. A word that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The first paths that were asked for.
    pub paths: Vec<String>,
    /// The session of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// When it happened first and last, Unix milliseconds.
    pub first_ms: i64,
    /// When it happened last, Unix milliseconds.
    pub last_ms: i64,
    /// How often.
    pub count: u64,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditedAct {
    /// A token.
    Issue,
    /// The next token of a session.
    Renew,
    /// That a session or account is let in no more.
    Revoke,
}

impl AuditedAct {
    /// As in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
        }
    }
}

/// The addresses of an entry: bucket `audit-addresses`, by the same key. The server forgets it when its time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAddresses {
    /// Format of this record.
    pub v: u32,
    /// The first of them.
    pub addresses: Vec<String>,
}

impl AuditRecord {
    /// Its key: tenant, minute, and a digest of what tells entries of a minute apart.
    pub fn key(&self) -> String {
        let minute = self.first_ms.div_euclid(AUDIT_MINUTE_MS).max(0);
        let caller = self.caller.as_ref().map_or("", Tenant::as_str);
        let refused = self.refused.as_deref().unwrap_or_default();
        let told = [self.account.as_str(), caller, self.what.as_str(), refused].join("\0");
        format!("{}.{minute}.{}", self.tenant, &blake3::hash(told.as_bytes()).to_hex()[..32])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_same_in_one_minute_is_one_entry() {
        let one = AuditRecord {
            v: AUDIT_VERSION,
            tenant: "acme".parse().unwrap(),
            account: "u1".to_owned(),
            caller: None,
            what: AuditedAct::Issue,
            refused: Some("region".to_owned()),
            paths: Vec::new(),
            session: None,
            first_ms: 120_001,
            last_ms: 120_001,
            count: 1,
        };
        assert!(one.key().starts_with("acme.2."), "{}", one.key());
        assert_eq!(AuditRecord { first_ms: 179_999, count: 7, ..one.clone() }.key(), one.key());
        for other in [
            AuditRecord { first_ms: 180_000, ..one.clone() },
            AuditRecord { account: "u2".to_owned(), ..one.clone() },
            AuditRecord { refused: None, ..one.clone() },
            AuditRecord { what: AuditedAct::Renew, ..one.clone() },
        ] {
            assert_ne!(other.key(), one.key());
        }
    }
}
