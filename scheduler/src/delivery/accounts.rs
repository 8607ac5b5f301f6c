//! Records of accounts. A tenant that keeps its subscribers elsewhere needs none.

use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    delivery::{ACCOUNT_VERSION, AccountDocument, AccountRecord, TenantDocument, account_key, accounts_of, is_account},
    field_error::FieldError,
    ids::Tenant,
    subject::ACCOUNTS_BUCKET,
};

use super::tenants::TenantError;

/// Account records, by `account_key`.
fn records(queue: &Queue) -> Records<AccountRecord> {
    queue.records(ACCOUNTS_BUCKET)
}

/// The record of an account, if it has one.
pub async fn get(queue: &Queue, tenant: &Tenant, account: &str) -> Result<Option<AccountRecord>, RecordError> {
    Ok(records(queue).get(&account_key(tenant, account)).await?.map(|(record, _)| record))
}

/// A tenant's accounts, by name.
pub async fn list(queue: &Queue, tenant: &Tenant) -> Result<Vec<AccountRecord>, RecordError> {
    let found = records(queue).list(&accounts_of(tenant)).await?;
    let mut all: Vec<_> = found.into_iter().map(|(_, record, _)| record).collect();
    all.sort_by(|one, other| one.account.cmp(&other.account));
    Ok(all)
}

/// Takes what an account is to have; returns its record, and whether it was made. Guards: its packages are its tenant's.
pub async fn put(
    queue: &Queue,
    (tenant, above): (&Tenant, &TenantDocument),
    account: &str,
    document: AccountDocument,
    now_ms: i64,
) -> Result<(AccountRecord, bool), TenantError> {
    let faults = faults(account, &document, above);
    if !faults.is_empty() {
        return Err(TenantError::Faults(faults));
    }
    let (records, key) = (records(queue), account_key(tenant, account));
    let (tenant, account) = (tenant.clone(), account.to_owned());
    let record = AccountRecord { v: ACCOUNT_VERSION, tenant, account, document, changed_ms: now_ms };
    match records.get(&key).await? {
        None => records.create(&key, &record).await.map(|_| (record, true)),
        Some((_, revision)) => records.update(&key, &record, revision).await.map(|_| (record, false)),
    }
    .map_err(TenantError::Records)
}

/// Removes an account's record; returns whether there was one.
pub async fn remove(queue: &Queue, tenant: &Tenant, account: &str) -> Result<bool, RecordError> {
    let (records, key) = (records(queue), account_key(tenant, account));
    match records.get(&key).await? {
        None => Ok(false),
        Some((_, revision)) => records.delete(&key, revision).await.map(|()| true),
    }
}

/// Everything that is wrong with an account.
fn faults(account: &str, document: &AccountDocument, tenant: &TenantDocument) -> Vec<FieldError> {
    let mut faults = document.check().err().unwrap_or_default();
    if !is_account(account) {
        faults.push(FieldError::new(
            "",
            "this is no name of an account",
            "use 1 to 128 letters, digits, '-', '_', '.' and '@'",
        ));
    }
    let own = tenant.packages.as_deref().unwrap_or_default();
    for (index, name) in document.packages.iter().flatten().enumerate() {
        if !own.iter().any(|package| package.name == *name) {
            let detail = format!("the tenant has no package {name:?}");
            faults.push(FieldError::new(format!("/packages/{index}"), detail, "name one of the tenant's packages"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn packages_of_an_account_are_its_tenants() {
        let tenant: TenantDocument =
            serde_json::from_value(json!({ "packages": [{ "name": "sport", "paths": ["/live/a/"] }] })).unwrap();
        for (account, document, expected) in [
            ("u1", json!({}), vec![]),
            ("u1", json!({ "packages": ["sport"] }), vec![]),
            ("u1", json!({ "packages": ["sport", "films"] }), vec!["/packages/1"]),
            ("u 1", json!({}), vec![""]),
        ] {
            let document = serde_json::from_value(document).unwrap();
            let found: Vec<_> = faults(account, &document, &tenant).into_iter().map(|fault| fault.pointer).collect();
            assert_eq!(found, expected, "{account} {document:?}");
        }
    }
}
