//! Records of tenants: reading the way up the tree, and changing one at a time.
//!
//! Never here: what an account may watch; `entitle` says that.

use std::collections::{BTreeMap, HashMap};

use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    delivery::{DEPTH_MAX, TENANT_VERSION, TenantDocument, TenantRecord, accounts_of},
    field_error::FieldError,
    ids::Tenant,
    subject::{ACCOUNTS_BUCKET, TENANTS_BUCKET},
};

use super::entitle::{Level, unfounded};
use crate::access::Caller;

/// Filter of every record of the bucket.
const ALL: &str = ">";
/// Most tenants with a record.
const TENANTS_MAX: usize = 10_000;

/// Why a tenant was not changed.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// No such tenant, or not the caller's.
    #[error("there is no tenant {0}; list what there is")]
    Missing(Tenant),
    /// The caller sees it, and may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// What else there is does not allow it; the text has the mend.
    #[error("{0}")]
    Conflict(String),
    /// The document has faults.
    #[error("the tenant has faults")]
    Faults(Vec<FieldError>),
    /// The records do not answer.
    #[error(transparent)]
    Records(#[from] RecordError),
}

/// Tenant records, by tenant.
fn records(queue: &Queue) -> Records<TenantRecord> {
    queue.records(TENANTS_BUCKET)
}

/// Takes a tenant; returns it and those above it, lowest first. One without a record is at the top. Guards: a tree that
/// two changes at once made deeper than it may be, or a ring, ends at the bound.
pub async fn chain(queue: &Queue, tenant: &Tenant) -> Result<Vec<Level>, RecordError> {
    let records = records(queue);
    let mut levels: Vec<Level> = Vec::new();
    let mut next = Some(tenant.clone());
    while let Some(tenant) = next.take() {
        if levels.len() >= DEPTH_MAX || levels.iter().any(|level| level.tenant == tenant) {
            // Nobody is above a ring: what is below has what it makes itself, and nothing of others.
            levels.truncate(1);
            levels.iter_mut().for_each(|level| level.document.packages = None);
            break;
        }
        let document = records.get(tenant.as_str()).await?.map(|(record, _)| record.document).unwrap_or_default();
        next = document.parent.clone();
        levels.push(Level { tenant, document });
    }
    Ok(levels)
}

/// Whether somebody acts for the whole farm: whoever sits at the machine, and keys of the tenant `default`.
pub fn is_farms(caller: &Caller) -> bool {
    caller.sees(&Tenant::default_tenant())
}

/// Whether a tenant exists for a caller: it is its own, or one below.
pub fn sees(caller: &Caller, levels: &[Level]) -> bool {
    is_farms(caller) || levels.iter().any(|level| caller.sees(&level.tenant))
}

/// Takes a tenant that a request names, or none for the caller's own; returns the way up from it. Guards: what a caller
/// does not see does not exist.
pub async fn visible(queue: &Queue, caller: &Caller, asked: Option<&Tenant>) -> Result<Vec<Level>, TenantError> {
    let tenant = asked.cloned().or_else(|| caller.tenant.clone()).unwrap_or_else(Tenant::default_tenant);
    let levels = chain(queue, &tenant).await?;
    if sees(caller, &levels) { Ok(levels) } else { Err(TenantError::Missing(tenant)) }
}

/// Which tenants exist for a caller, as the tree was at one moment: for lists.
pub struct Seen {
    caller: Caller,
    tree: Tree,
}

impl Seen {
    /// Reads the tree, where the caller does not see everything anyway.
    pub async fn read(queue: &Queue, caller: &Caller) -> Result<Self, RecordError> {
        let tree = if is_farms(caller) { Tree(BTreeMap::new()) } else { Tree::read(queue).await? };
        Ok(Self { caller: caller.clone(), tree })
    }

    /// Whether a tenant exists for the caller.
    pub fn holds(&self, tenant: &Tenant) -> bool {
        sees(&self.caller, &self.tree.chain(tenant))
    }

    /// Whether the tenant whose objects lie at a path does. What is no tenant's is the farm's.
    pub fn holds_path(&self, path: &str) -> bool {
        let tenant = path.split('/').nth(2).and_then(|name| name.parse().ok());
        tenant.map_or_else(|| is_farms(&self.caller), |tenant| self.holds(&tenant))
    }
}

/// All tenants that have a record and that a caller sees, by name.
pub async fn list(queue: &Queue, caller: &Caller) -> Result<Vec<TenantRecord>, RecordError> {
    let tree = Tree::read(queue).await?;
    let seen = |record: &TenantRecord| sees(caller, &tree.chain(&record.tenant));
    Ok(tree.0.values().map(|(record, _)| record).filter(|record| seen(record)).cloned().collect())
}

/// The record of a tenant that a caller sees.
pub async fn get(queue: &Queue, caller: &Caller, tenant: &Tenant) -> Result<TenantRecord, TenantError> {
    visible(queue, caller, Some(tenant)).await?;
    let found = records(queue).get(tenant.as_str()).await?;
    found.map(|(record, _)| record).ok_or_else(|| TenantError::Missing(tenant.clone()))
}

/// Takes what a tenant is to be; returns its record, and whether it was made. Guards: see [`checked`].
pub async fn put(
    queue: &Queue,
    caller: &Caller,
    tenant: &Tenant,
    document: TenantDocument,
    now_ms: i64,
) -> Result<(TenantRecord, bool), TenantError> {
    let tree = Tree::read(queue).await?;
    checked(&tree, caller, tenant, &document)?;
    let record = TenantRecord { v: TENANT_VERSION, tenant: tenant.clone(), document, changed_ms: now_ms };
    let records = records(queue);
    match tree.0.get(tenant) {
        None => records.create(tenant.as_str(), &record).await?,
        Some((_, revision)) => records.update(tenant.as_str(), &record, *revision).await?,
    };
    Ok((record, !tree.0.contains_key(tenant)))
}

/// Removes a tenant's record: it is at the top of the tree then, with what it makes itself. Guards: the caller is above
/// it; nobody is below it, and it has no accounts.
pub async fn remove(queue: &Queue, caller: &Caller, tenant: &Tenant) -> Result<(), TenantError> {
    let tree = Tree::read(queue).await?;
    let levels = tree.chain(tenant);
    let found = tree.0.get(tenant).filter(|_| sees(caller, &levels));
    let Some((_, revision)) = found else { return Err(TenantError::Missing(tenant.clone())) };
    above(caller, &levels)?;
    if let Some((child, _)) = tree.0.values().find(|(record, _)| record.document.parent.as_ref() == Some(tenant)) {
        let text = format!("the tenant {} is below {tenant}; remove it first, or put it elsewhere", child.tenant);
        return Err(TenantError::Conflict(text));
    }
    let accounts = queue.records::<serde_json::Value>(ACCOUNTS_BUCKET).list(&accounts_of(tenant)).await?;
    if !accounts.is_empty() {
        let text = format!("the tenant {tenant} has {} accounts; remove them first", accounts.len());
        return Err(TenantError::Conflict(text));
    }
    Ok(records(queue).delete(tenant.as_str(), *revision).await?)
}

/// Whether a caller is above a tenant, and not the tenant itself: nobody widens what it was given.
fn above(caller: &Caller, levels: &[Level]) -> Result<(), TenantError> {
    if is_farms(caller) || levels.iter().skip(1).any(|level| caller.sees(&level.tenant)) {
        return Ok(());
    }
    let text = "a tenant's record is written by whoever is above it; use a key of the tenant above, or of `default`";
    Err(TenantError::Forbidden(text.to_owned()))
}

/// Takes the tree and what one tenant of it is to be; says whether it may. Guards: a new tenant is taken into the farm by
/// the farm (its name may be somebody's who has no record); a caller changes what is below it and leaves it below; no
/// ring, no tree too deep; packages hold what the parent has.
fn checked(tree: &Tree, caller: &Caller, tenant: &Tenant, document: &TenantDocument) -> Result<(), TenantError> {
    let before = tree.chain(tenant);
    match tree.0.get(tenant) {
        _ if is_farms(caller) => {}
        Some(_) if sees(caller, &before) => above(caller, &before)?,
        None if sees(caller, &before) => above(caller, &before)?,
        _ => return Err(TenantError::Missing(tenant.clone())),
    }
    document.check().map_err(TenantError::Faults)?;
    let fault = |detail: String, mend: &str| Err(TenantError::Faults(vec![FieldError::new("/parent", detail, mend)]));
    let levels = match &document.parent {
        None if !is_farms(caller) => return fault("it would be nobody's".to_owned(), "name the tenant above it"),
        None => Vec::new(),
        Some(parent) => {
            let levels = tree.chain(parent);
            if !sees(caller, &levels) {
                return fault(format!("there is no tenant {parent}"), "name a tenant that the key sees");
            }
            levels
        }
    };
    if levels.iter().any(|level| level.tenant == *tenant) {
        return fault(format!("{tenant} would be above itself"), "name a tenant that is not below it");
    }
    if levels.len() + tree.height(tenant) > DEPTH_MAX {
        return fault(format!("the tree would have more than {DEPTH_MAX} levels"), "name a tenant nearer to the top");
    }
    if tree.0.len() >= TENANTS_MAX && !tree.0.contains_key(tenant) {
        return Err(TenantError::Conflict(format!("the farm has {TENANTS_MAX} tenants; remove what is not needed")));
    }
    let faults = unfounded(tenant, document, &levels, |_| is_farms(caller));
    if faults.is_empty() { Ok(()) } else { Err(TenantError::Faults(faults)) }
}

/// Every tenant with a record, and its revision.
struct Tree(BTreeMap<Tenant, (TenantRecord, u64)>);

impl Tree {
    async fn read(queue: &Queue) -> Result<Self, RecordError> {
        let all = records(queue).list(ALL).await?;
        Ok(Self(all.into_iter().map(|(_, record, revision)| (record.tenant.clone(), (record, revision))).collect()))
    }

    /// A tenant and those above it, lowest first.
    fn chain(&self, tenant: &Tenant) -> Vec<Level> {
        let mut levels: Vec<Level> = Vec::new();
        let mut next = Some(tenant.clone());
        while let Some(tenant) = next.take().filter(|_| levels.len() <= DEPTH_MAX) {
            let document = self.0.get(&tenant).map(|(record, _)| record.document.clone()).unwrap_or_default();
            next = document.parent.clone();
            levels.push(Level { tenant, document });
        }
        levels
    }

    /// How many levels a tenant has with those below it.
    fn height(&self, tenant: &Tenant) -> usize {
        let mut below: HashMap<&Tenant, Vec<&Tenant>> = HashMap::new();
        for (record, _) in self.0.values() {
            if let Some(parent) = &record.document.parent {
                below.entry(parent).or_default().push(&record.tenant);
            }
        }
        let (mut height, mut level) = (0, vec![tenant]);
        while !level.is_empty() && height <= DEPTH_MAX {
            height += 1;
            level = level.iter().flat_map(|tenant| below.get(tenant).into_iter().flatten().copied()).collect();
        }
        height
    }
}

#[cfg(test)]
mod tests {
    use framemill_schemas::api::AccessRole;
    use serde_json::json;

    use super::*;

    /// op above a above b; loner without a record.
    fn tree() -> Tree {
        let record = |tenant: &str, document: serde_json::Value| {
            let tenant: Tenant = tenant.parse().unwrap();
            let document = serde_json::from_value(document).unwrap();
            (tenant.clone(), (TenantRecord { v: TENANT_VERSION, tenant, document, changed_ms: 0 }, 1))
        };
        Tree(BTreeMap::from([
            record("op", json!({})),
            record("a", json!({ "parent": "op", "packages": [{ "name": "p", "paths": ["/live/op/"] }] })),
            record("b", json!({ "parent": "a" })),
        ]))
    }

    fn caller(tenant: &str) -> Caller {
        match tenant {
            "" => Caller::local(),
            tenant => Caller { tenant: Some(tenant.parse().unwrap()), role: AccessRole::Admin },
        }
    }

    #[test]
    fn a_caller_sees_itself_and_what_is_below() {
        let tree = tree();
        for (who, seen) in [
            ("", "op a b loner"),
            ("default", "op a b loner"),
            ("op", "op a b"),
            ("a", "a b"),
            ("b", "b"),
            ("loner", "loner"),
        ] {
            let all = ["op", "a", "b", "loner"].into_iter();
            let found: Vec<_> =
                all.filter(|tenant| sees(&caller(who), &tree.chain(&tenant.parse().unwrap()))).collect();
            assert_eq!(found.join(" "), seen, "{who}");
        }
    }

    #[test]
    fn a_tenant_is_changed_by_whoever_is_above_it() {
        let package = |path: &str| json!([{ "name": "p", "paths": [path] }]);
        let below_op = json!({ "parent": "op" });
        for (who, tenant, document, expected) in [
            ("", "new", json!({}), "good"),
            ("", "new", json!({ "packages": package("/live/x/") }), "good"),
            ("default", "op", json!({ "parent": "b" }), "/parent"),
            ("op", "a", below_op.clone(), "good"),
            ("op", "a", json!({}), "/parent"),
            ("op", "a", json!({ "parent": "loner" }), "/parent"),
            ("op", "a", json!({ "parent": "b" }), "/parent"),
            ("op", "b", json!({ "parent": "a", "packages": package("/live/op/x/") }), "good"),
            ("op", "b", json!({ "parent": "a", "packages": package("/live/loner/") }), "/packages/0/paths/0"),
            ("a", "b", json!({ "parent": "a" }), "good"),
            // What it may not.
            ("op", "op", json!({}), "forbidden"),
            ("a", "a", below_op, "forbidden"),
            ("op", "new", json!({ "parent": "op" }), "missing"),
            ("op", "loner", json!({ "parent": "op" }), "missing"),
            ("b", "a", json!({}), "missing"),
        ] {
            let document: TenantDocument = serde_json::from_value(document).unwrap();
            let found = match checked(&tree(), &caller(who), &tenant.parse().unwrap(), &document) {
                Ok(()) => "good".to_owned(),
                Err(TenantError::Missing(_)) => "missing".to_owned(),
                Err(TenantError::Forbidden(_)) => "forbidden".to_owned(),
                Err(TenantError::Faults(faults)) => faults[0].pointer.clone(),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(found, expected, "{who} {tenant} {document:?}");
        }
    }

    #[test]
    fn a_tree_has_a_bound() {
        let mut tree = tree();
        let below = |tree: &Tree, parent: &str| {
            let document = TenantDocument { parent: Some(parent.parse().unwrap()), ..TenantDocument::default() };
            checked(tree, &caller(""), &"new".parse().unwrap(), &document).is_ok()
        };
        let mut last = "b".to_owned();
        for depth in 4..=DEPTH_MAX {
            assert!(below(&tree, &last), "{depth}");
            let tenant: Tenant = format!("t{depth}").parse().unwrap();
            let document = TenantDocument { parent: Some(last.parse().unwrap()), ..TenantDocument::default() };
            let record = TenantRecord { v: TENANT_VERSION, tenant: tenant.clone(), document, changed_ms: 0 };
            last = tenant.to_string();
            tree.0.insert(tenant, (record, 1));
        }
        assert!(!below(&tree, &last));
        // Nor is it pushed down from above.
        let document = TenantDocument { parent: Some("loner".parse().unwrap()), ..TenantDocument::default() };
        assert!(checked(&tree, &caller(""), &"op".parse().unwrap(), &document).is_err());
    }
}
