//! Who may watch what: tenants in a tree, the packages each has of the one above, and the accounts they go to.

use serde::{Deserialize, Serialize};

use super::{ACCOUNT_CHARS_MAX, Paths, Region, Yields};
use crate::{
    field_error::FieldError,
    ids::{Tenant, is_name},
};

/// Format of tenant records written by this version.
pub const TENANT_VERSION: u32 = 1;
/// Format of account records written by this version.
pub const ACCOUNT_VERSION: u32 = 1;
/// Most tenants from the top of the tree to its lowest.
pub const DEPTH_MAX: usize = 8;
/// Most packages of a tenant, and of an account.
pub const PACKAGES_MAX: usize = 64;
/// Most regions of a package.
pub const REGIONS_MAX: usize = 250;
/// Longest name of a tenant or package for people.
const TITLE_CHARS_MAX: usize = 200;

/// A tenant: bucket `tenants`, by its id. One without a record has everything of its own, and nobody above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRecord {
    /// Format of this record.
    pub v: u32,
    /// Its id.
    pub tenant: Tenant,
    /// What it is.
    pub document: TenantDocument,
    /// Written, Unix milliseconds.
    pub changed_ms: i64,
}

/// Body of `PUT /v1/tenants/{id}`: what a tenant is. Every field may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantDocument {
    /// Who is above it. Of that one it has what its packages hold, and no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Tenant>,
    /// What people call it.
    pub name: String,
    /// Whether its viewers, and those of all below it, get tokens.
    pub state: Standing,
    /// What its tokens are bound to.
    pub address_binding: AddressBinding,
    /// Most sessions of an account at once, where a request does not say; 0: no limit.
    pub sessions_max: u32,
    /// Which session yields when there are more.
    pub yields: Yields,
    /// Whether an account needs a record.
    pub accounts: Accounts,
    /// What its accounts may watch. Left out: everything of its own, everywhere and always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Vec<Package>>,
}

/// What is sold together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name: a-z, 0-9 and `-`.
    pub name: String,
    /// What it holds: `/live/TENANT/CHANNEL/`, `/vod/TENANT/ASSET/`, or all below `/live/TENANT/`.
    #[schema(value_type = Vec<String>)]
    pub paths: Paths,
    /// Where it may be watched (ISO 3166-1 alpha-2); empty: everywhere.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub regions: Vec<Region>,
    /// From when, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<i64>,
    /// Until when, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
}

/// Whether a tenant or an account gets tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It does.
    #[default]
    Active,
    /// It does not, until it is active again.
    Suspended,
}

/// Whether an account needs a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accounts {
    /// It does not: one without has all packages. Whoever asks for tokens knows the accounts.
    #[default]
    Any,
    /// It does: one without gets nothing.
    Known,
}

/// What tokens are bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressBinding {
    /// The viewer's address.
    #[default]
    Exact,
    /// The network around it: /24, or /64 of IPv6.
    Prefix,
    /// Nothing.
    Off,
}

/// An account: bucket `accounts`, by [`account_key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Format of this record.
    pub v: u32,
    /// Whose it is.
    pub tenant: Tenant,
    /// Its name.
    pub account: String,
    /// What it has.
    pub document: AccountDocument,
    /// Written, Unix milliseconds.
    pub changed_ms: i64,
}

/// Body of `PUT /v1/tenants/{id}/accounts/{account}`: what an account has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountDocument {
    /// Packages of its tenant, by name. Left out: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Vec<String>>,
    /// Whether it gets tokens.
    pub state: Standing,
    /// Until when, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
    /// Most of its sessions at once; left out: as its tenant says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_max: Option<u32>,
}

/// Whether a text may name an account: 1 to [`ACCOUNT_CHARS_MAX`] of letters, digits and `-_.@`.
pub fn is_account(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= ACCOUNT_CHARS_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
}

/// Key of an account's record: a digest, since its name may hold what keys must not.
pub fn account_key(tenant: &Tenant, account: &str) -> String {
    format!("{tenant}.{}", &blake3::hash(account.as_bytes()).to_hex()[..32])
}

/// Filter of a tenant's accounts.
pub fn accounts_of(tenant: &Tenant) -> String {
    format!("{tenant}.*")
}

impl TenantDocument {
    /// Parses a file as people keep it: YAML, or JSON, which is YAML. Only `true` and `false` are such (YAML 1.2): `NO` is
    /// a country, and `off` a word. What it says is checked later.
    ///
    /// # Errors
    /// When it is no YAML.
    pub fn value_from_yaml(text: &str) -> Result<serde_json::Value, Vec<FieldError>> {
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| vec![FieldError::new("", error.to_string(), "write valid YAML, or JSON")])
    }

    /// What no type can say.
    ///
    /// # Errors
    /// Every fault, with its place.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut faults = Vec::new();
        if !is_title(&self.name) {
            faults.push(FieldError::new("/name", "too long, or with control characters", "use up to 200 characters"));
        }
        let packages = self.packages.as_deref().unwrap_or_default();
        if packages.len() > PACKAGES_MAX {
            faults.push(FieldError::new("/packages", "more than 64", "put more into one"));
        }
        for (index, package) in packages.iter().take(PACKAGES_MAX).enumerate() {
            let mut fault = |field: &str, what: &str, mend: &str| {
                faults.push(FieldError::new(format!("/packages/{index}/{field}"), what, mend));
            };
            if !is_name(&package.name) {
                fault("name", "no name", "use 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit");
            }
            if packages[..index].iter().any(|other| other.name == package.name) {
                fault("name", "the name of another package", "use each name once");
            }
            if package.regions.len() > REGIONS_MAX {
                fault("regions", "more than 250", "leave it empty for everywhere");
            }
            if let (Some(start), Some(end)) = (package.start_ms, package.end_ms)
                && end <= start
            {
                fault("end_ms", "not after the start", "name a later time");
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

impl AccountDocument {
    /// What no type can say.
    ///
    /// # Errors
    /// Every fault, with its place.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let packages = self.packages.as_deref().unwrap_or_default();
        let mut faults = Vec::new();
        if packages.len() > PACKAGES_MAX {
            faults.push(FieldError::new("/packages", "more than 64", "leave it out for all packages"));
        }
        for (index, name) in packages.iter().take(PACKAGES_MAX).enumerate() {
            if !is_name(name) {
                faults.push(FieldError::new(format!("/packages/{index}"), "no name", "name a package of the tenant"));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

fn is_title(text: &str) -> bool {
    text.chars().count() <= TITLE_CHARS_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_of_a_tenant_is_named() {
        let package = json!({ "name": "a", "paths": ["/live/acme/"] });
        for (document, pointers) in [
            (json!({}), vec![]),
            (json!({ "packages": [package] }), vec![]),
            (json!({ "name": "a\n", "packages": [package, package] }), vec!["/name", "/packages/1/name"]),
            (
                json!({ "packages": [{ "name": "A", "paths": ["/live/a/"], "start_ms": 5, "end_ms": 5 }] }),
                vec!["/packages/0/name", "/packages/0/end_ms"],
            ),
        ] {
            let read: TenantDocument = serde_json::from_value(document.clone()).unwrap();
            let found: Vec<_> = read.check().err().unwrap_or_default().into_iter().map(|fault| fault.pointer).collect();
            assert_eq!(found, pointers, "{document}");
        }
        for bad in [json!({ "packages": [{ "name": "a", "paths": [] }] }), json!({ "x": 1 })] {
            assert!(serde_json::from_value::<TenantDocument>(bad).is_err());
        }
    }

    #[test]
    fn norway_is_a_country() {
        let text = "address_binding: off\npackages: [{ name: a, paths: [/live/a/], regions: [NO, SE] }]";
        let document: TenantDocument = serde_json::from_value(TenantDocument::value_from_yaml(text).unwrap()).unwrap();
        assert_eq!(document.address_binding, AddressBinding::Off);
        assert_eq!(document.packages.unwrap()[0].regions[0].as_str(), "NO");
        assert!(TenantDocument::value_from_yaml("tenant: [").is_err());
    }

    #[test]
    fn records_are_read_back() {
        let document: TenantDocument = serde_json::from_value(json!({
            "parent": "operator", "address_binding": "prefix", "yields": "newest", "accounts": "known",
            "packages": [{ "name": "sport", "paths": ["/live/operator/sport/"], "regions": ["no"], "end_ms": 9 }]
        }))
        .unwrap();
        let record = TenantRecord { v: 1, tenant: "acme".parse().unwrap(), document, changed_ms: 1 };
        let bytes = crate::wire::encode(&record).unwrap();
        assert_eq!(crate::wire::decode_up_to::<TenantRecord>(&bytes, TENANT_VERSION).unwrap(), record);
    }

    #[test]
    fn names_of_accounts_never_reach_a_key() {
        let tenant: Tenant = "acme".parse().unwrap();
        assert!(is_account("u.1@example.net") && !is_account("") && !is_account("a b") && !is_account("ø"));
        let key = account_key(&tenant, "u.1@example.net");
        assert!(key.starts_with("acme.") && !key[5..].contains('.') && key.len() == 37, "{key}");
    }
}
