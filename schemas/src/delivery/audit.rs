//! Who was let in or refused: what is kept of it, and how much at most.

use serde::{Deserialize, Serialize};

use crate::ids::Tenant;

/// Format of audit records written by this version.
pub const AUDIT_VERSION: u32 = 1;
/// Most addresses kept of one entry.
pub const AUDIT_ADDRESSES_MAX: usize = 8;
/// Most paths kept of one entry.
pub const AUDIT_PATHS_MAX: usize = 4;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Entries are found by the quarter of a day they lie in: few enough to look through thirty days of them.
const QUARTER_MS: i64 = 6 * HOUR_MS;
/// How many quarters the trail goes back.
pub const AUDIT_QUARTERS: i64 = 30 * 4;

/// One entry: bucket `audit`, by [`AuditRecord::key`]. All that came to the same for one account in one minute, where it
/// was refused, or in one hour: a flood is one entry with a count.
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

/// An address of an entry: bucket `audit-addresses`, by [`address_key`]. The server forgets it when its time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAddress {
    /// Format of this record.
    pub v: u32,
    /// The address.
    pub address: String,
}

/// The quarter of a day that a time lies in.
pub const fn audit_quarter(time_ms: i64) -> i64 {
    time_ms.div_euclid(QUARTER_MS)
}

/// Filter of the entries of a quarter, and of their addresses; of all tenants where none is named.
pub fn audited_in(tenant: Option<&Tenant>, quarter: i64) -> String {
    format!("{}.{quarter}.>", tenant.map_or("*", Tenant::as_str))
}

/// Key of an address of the entry with `key`.
pub fn address_key(key: &str, address: &str) -> String {
    format!("{key}.{}", &blake3::hash(address.as_bytes()).to_hex()[..16])
}

/// Key of the entry that an address belongs to.
pub fn entry_of(address_key: &str) -> &str {
    address_key.rsplit_once('.').map_or(address_key, |(key, _)| key)
}

impl AuditRecord {
    /// How long one entry is about.
    const fn period_ms(&self) -> i64 {
        if self.refused.is_some() { MINUTE_MS } else { HOUR_MS }
    }

    /// Whether more can come to it.
    pub const fn is_open(&self, now_ms: i64) -> bool {
        now_ms.div_euclid(self.period_ms()) <= self.first_ms.div_euclid(self.period_ms())
    }

    /// Its key: tenant, quarter, when in it, and a digest of what tells entries of one time apart.
    pub fn key(&self) -> String {
        let begins_ms = self.first_ms.div_euclid(self.period_ms()) * self.period_ms();
        let minute = begins_ms.rem_euclid(QUARTER_MS) / MINUTE_MS;
        let caller = self.caller.as_ref().map_or("", Tenant::as_str);
        let refused = self.refused.as_deref().unwrap_or_default();
        let told = [self.account.as_str(), caller, self.what.as_str(), refused].join("\0");
        let digest = blake3::hash(told.as_bytes()).to_hex();
        format!("{}.{}.{minute}.{}", self.tenant, audit_quarter(begins_ms), &digest[..32])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_same_in_one_time_is_one_entry() {
        let one = AuditRecord {
            v: AUDIT_VERSION,
            tenant: "acme".parse().unwrap(),
            account: "u1".to_owned(),
            caller: None,
            what: AuditedAct::Issue,
            refused: Some("region".to_owned()),
            paths: Vec::new(),
            session: None,
            first_ms: 3_720_001,
            last_ms: 3_720_001,
            count: 1,
        };
        assert!(one.key().starts_with("acme.0.62."), "{}", one.key());
        assert_eq!(audited_in(Some(&one.tenant), audit_quarter(one.first_ms)), "acme.0.>");
        assert_eq!(entry_of(&address_key(&one.key(), "::1")), one.key());
        assert_eq!(AuditRecord { first_ms: 3_779_999, count: 7, ..one.clone() }.key(), one.key());
        assert!(one.is_open(3_779_999) && !one.is_open(3_780_000));
        for other in [
            AuditRecord { first_ms: 3_780_000, ..one.clone() },
            AuditRecord { account: "u2".to_owned(), ..one.clone() },
            AuditRecord { refused: None, ..one.clone() },
            AuditRecord { what: AuditedAct::Renew, ..one.clone() },
        ] {
            assert_ne!(other.key(), one.key());
        }
        // What was let in is told by the hour.
        let done = AuditRecord { refused: None, ..one };
        assert_eq!(AuditRecord { first_ms: 7_199_999, ..done.clone() }.key(), done.key());
        assert!(done.key().starts_with("acme.0.60.") && done.is_open(7_199_999) && !done.is_open(7_200_000));
    }
}
