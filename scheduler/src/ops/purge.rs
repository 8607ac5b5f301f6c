//! `POST /v1/purges`, and its `retry`.

use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    delivery::{PURGE_VERSION, Purge, PurgeCause, PurgeId, PurgeRequest, PurgeStatus, TAGS_MAX, check_tag},
    field_error::FieldError,
    ids::{AssetId, Tenant},
};
use uuid::Uuid;

use super::{OpError, now_ms};
use crate::{
    access::Caller,
    purges::{Owner, again, owner_of, purges, states},
    view::View,
};

/// What a request for a purge is made of.
pub struct PurgeParts<'a> {
    /// The body.
    pub request: PurgeRequest,
    /// Who asks.
    pub caller: &'a Caller,
    /// What makes the same request, sent again, the same purge.
    pub idempotency_key: Option<&'a str>,
}

/// A purge that was asked for.
#[derive(Clone, Debug)]
pub struct Requested {
    /// The record.
    pub purge: Purge,
    /// Its place in the order of purges.
    pub sequence: u64,
    /// Whether it was asked for before, with the same key.
    pub before: bool,
}

/// Takes a request; returns the purge, written. Edges follow that by themselves.
/// Guards: every tag names objects of one tenant, which the caller sees.
pub async fn request_purge(queue: &Queue, view: &View, parts: PurgeParts<'_>) -> Result<Requested, OpError> {
    let PurgeParts { request, caller, idempotency_key } = parts;
    let mut tags = request.tags;
    check_form(&tags)?;
    let mut owners = Vec::with_capacity(tags.len());
    for tag in &tags {
        owners.push(resolve(queue, view, tag).await?);
    }
    let named = caller.tenant.as_ref().or(request.tenant.as_ref());
    let tenant = tenant_of(&tags, &owners, named, caller.tenant.is_some()).map_err(OpError::Refused)?;
    let mut seen = std::collections::HashSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
    // The key makes the id, so that the record itself is what the key stands for.
    let id = match idempotency_key {
        Some(key) => PurgeId::derive(&format!("key/{tenant}\n{key}")),
        None => PurgeId::new(Uuid::now_v7()),
    };
    let cause = if request.refuse { PurgeCause::Takedown } else { PurgeCause::Request };
    let refuse = request.refuse;
    write(queue, Purge { v: PURGE_VERSION, id, tenant, tags, refuse, cause, requested_ms: now_ms() }).await
}

/// Writes a purge, unless it is there: then it was asked for with the same key.
async fn write(queue: &Queue, purge: Purge) -> Result<Requested, OpError> {
    let (records, key) = (purges(queue), purge.id.to_string());
    match records.create(&key, &purge).await {
        Ok(sequence) => {
            tracing::info!(purge = key, sequence, tenant = %purge.tenant, tags = purge.tags.len(), "purge asked for");
            Ok(Requested { purge, sequence, before: false })
        }
        Err(RecordError::Exists) => match records.get(&key).await? {
            Some((there, sequence)) if (&there.tags, there.refuse) == (&purge.tags, purge.refuse) => {
                Ok(Requested { purge: there, sequence, before: true })
            }
            Some(_) => Err(OpError::OtherBody),
            None => Err(OpError::Conflict("the Idempotency-Key has just expired; send the request again".to_owned())),
        },
        Err(error) => Err(error.into()),
    }
}

/// Has every cache that was given up purged again; returns the purge's status, and its revision.
/// Guards: there is one, and the purge is known to every edge or on its way there.
pub async fn retry_purge(queue: &Queue, id: PurgeId) -> Result<(PurgeStatus, u64), OpError> {
    let (records, key) = (states(queue), id.to_string());
    let found: Option<(PurgeStatus, u64)> = records.get(&key).await?;
    let Some((next, revision)) = found.and_then(|(status, revision)| Some((again(&status)?, revision))) else {
        let text = "no cache was given up for this purge; `purge show` says what each answered";
        return Err(OpError::Conflict(text.to_owned()));
    };
    match records.update(&key, &next, revision).await {
        Ok(revision) => Ok((next, revision)),
        Err(RecordError::Fenced) => {
            Err(OpError::Conflict("the purge has just changed; send the request again".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// What can be said of tags without asking anybody: every fault at once.
fn check_form(tags: &[String]) -> Result<(), OpError> {
    let mut faults = Vec::new();
    if tags.is_empty() {
        faults.push(FieldError::new("/tags", "no tags", "name what to forget, for example channel:TENANT/CHANNEL"));
    }
    if tags.len() > TAGS_MAX {
        let mend = format!("send at most {TAGS_MAX} in one request");
        faults.push(FieldError::new("/tags", format!("{} tags", tags.len()), mend));
    }
    for (index, tag) in tags.iter().take(TAGS_MAX).enumerate() {
        let pointer = format!("/tags/{index}");
        if let Err(error) = check_tag(tag) {
            faults.push(FieldError::new(pointer, format!("{tag:?} is no tag"), error.to_string()));
        } else if owner_of(tag).is_none() {
            let mend = "look at the names of objects in the store: a tag follows from them";
            faults.push(FieldError::new(pointer, format!("no object ever has the tag {tag}"), mend));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(OpError::Refused(faults)) }
}

/// Whose the objects of a tag are; `None` where that is not known any more.
async fn resolve(queue: &Queue, view: &View, tag: &str) -> Result<Option<Tenant>, OpError> {
    match owner_of(tag) {
        None => Ok(None),
        Some(Owner::Tenant(tenant)) => Ok(Some(tenant)),
        Some(Owner::Asset(asset)) => Ok(asset_owner(queue, view, asset).await?),
    }
}

async fn asset_owner(queue: &Queue, view: &View, asset: AssetId) -> Result<Option<Tenant>, RecordError> {
    if let Some(entry) = view.asset(asset) {
        return Ok(Some(entry.record.tenant.clone()));
    }
    Ok(queue.assets().get(&asset.to_string()).await?.map(|(record, _)| record.tenant))
}

/// Takes tags with their owners, and the tenant that was named; returns whose the purge is.
/// Guards: no tag is another tenant's. What is another's and what is not there get the same answer where the caller is
/// `bound` to a tenant; whoever sees all may name whose a title was that is gone.
fn tenant_of(
    tags: &[String],
    owners: &[Option<Tenant>],
    named: Option<&Tenant>,
    bound: bool,
) -> Result<Tenant, Vec<FieldError>> {
    let first = owners.iter().flatten().next();
    let tenant = named.or(first);
    let mut faults = Vec::new();
    for (index, (tag, owner)) in tags.iter().zip(owners).enumerate() {
        let (detail, mend) = match (owner, tenant) {
            (Some(owner), Some(tenant)) if owner == tenant => continue,
            (None, Some(_)) if named.is_some() && !bound => continue,
            (Some(_), Some(tenant)) if named.is_none() => {
                (format!("{tag} is not {tenant}'s, as the tags before it"), "ask for each tenant's by itself")
            }
            (Some(_) | None, Some(tenant)) if named.is_some() => {
                (format!("{tag} is nothing of {tenant}'s"), "name only what is that tenant's")
            }
            _ => (format!("whose {tag} was is not known any more"), "say it with `tenant`"),
        };
        faults.push(FieldError::new(format!("/tags/{index}"), detail, mend));
    }
    match tenant {
        Some(tenant) if faults.is_empty() => Ok(tenant.clone()),
        _ => Err(faults),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_is_of_one_tenant() {
        let t = |name: &str| name.parse::<Tenant>().unwrap();
        let some = |name: &str| Some(t(name));
        for (owners, named, bound, expected) in [
            (vec![some("a")], None, false, Ok("a")),
            (vec![some("a"), some("a")], some("a"), true, Ok("a")),
            (vec![some("a"), some("b")], None, false, Err(vec!["/tags/1"])),
            (vec![some("b"), some("a"), None], some("a"), true, Err(vec!["/tags/0", "/tags/2"])),
            (vec![some("b")], some("a"), false, Err(vec!["/tags/0"])),
            // A title that is gone: whoever sees all says whose it was.
            (vec![None], some("a"), false, Ok("a")),
            (vec![None], some("a"), true, Err(vec!["/tags/0"])),
            (vec![None], None, false, Err(vec!["/tags/0"])),
            (vec![some("a"), None], None, false, Err(vec!["/tags/1"])),
        ] {
            let tags = vec!["asset:x".to_owned(); owners.len()];
            let found = tenant_of(&tags, &owners, named.as_ref(), bound);
            let found = found.map_err(|faults| faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>());
            let expected = expected.map(t).map_err(|faults| faults.into_iter().map(str::to_owned).collect());
            assert_eq!(found, expected, "{owners:?} {named:?} {bound}");
        }
    }

    #[test]
    fn every_fault_of_the_form_is_named() {
        let asset = "asset:0198c0de-0000-7000-8000-000000000000".to_owned();
        assert!(check_form(std::slice::from_ref(&asset)).is_ok());
        for (tags, pointers) in [
            (vec![], vec!["/tags"]),
            (vec![asset.clone(); TAGS_MAX + 1], vec!["/tags"]),
            (vec![asset, "news".to_owned(), "channel:acme".to_owned()], vec!["/tags/1", "/tags/2"]),
        ] {
            let Err(OpError::Refused(faults)) = check_form(&tags) else { panic!("{tags:?} was taken") };
            assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), pointers);
        }
    }
}
