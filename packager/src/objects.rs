//! Objects in and out of the store, as the handlers need them: what is put is put once, what is
//! fetched is compared with what was recorded.

use bytes::Bytes;
use framemill_schemas::{
    failure::{Class, Failure},
    finding::Finding,
    job::JobRecord,
    key::digest,
    object::{CACHE_IMMUTABLE, StoredObject, content_type},
};
use framemill_storage::{Meta, Put, Store};

use crate::check::code;

/// Whether an object of the same round may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameRound {
    /// The same inputs give the same bytes: other bytes are a bug.
    IsTheSame,
    /// It tells what one attempt saw; a later attempt may tell it anew.
    MayDiffer,
}

/// What is recorded beside an object that a job makes.
fn meta(job: &JobRecord, key: &str) -> Meta {
    Meta {
        content_type: content_type(key).to_owned(),
        cache_control: CACHE_IMMUTABLE.to_owned(),
        tags: vec![format!("tenant:{}", job.tenant), format!("asset:{}", job.asset)],
        job_key: Some(job.key.clone()),
        round: job.round,
        ..Meta::default()
    }
}

/// Puts what a job made. An object with the same bytes is adopted; one of an older round, which a
/// validation rejected, is replaced.
pub async fn put(
    store: &Store,
    job: &JobRecord,
    key: &str,
    body: Bytes,
    same_round: SameRound,
) -> Result<StoredObject, Failure> {
    fail::fail_point!("put/before", |_| std::process::abort());
    let stored = put_or_adopt(store, job, key, body, same_round).await;
    fail::fail_point!("put/stored", |_| std::process::abort());
    stored
}

async fn put_or_adopt(
    store: &Store,
    job: &JobRecord,
    key: &str,
    body: Bytes,
    same_round: SameRound,
) -> Result<StoredObject, Failure> {
    let own = digest(&body);
    let meta = meta(job, key);
    let put = store.put_new(key, body.clone(), &meta).await.map_err(|error| error.to_failure())?;
    let (stored, there) = match put {
        Put::Created(stored) => return Ok(stored),
        Put::Exists { stored, meta } if meta.digest == own => return Ok(StoredObject { digest: own, ..stored }),
        Put::Exists { stored, meta } => (stored, meta),
    };
    let replaceable = there.round < job.round || (there.round == job.round && same_round == SameRound::MayDiffer);
    if !replaceable {
        let reason =
            format!("{key} holds other bytes than the same inputs give, written by job key {:?}", there.job_key);
        return Err(Failure::new(Class::Bug, "object-differs", reason)
            .mend("run packagers of one version, then retry the asset"));
    }
    let replaced = store.put_match(key, body, &meta, &stored.etag).await.map_err(|error| error.to_failure())?;
    replaced.ok_or_else(|| {
        Failure::new(Class::Transient, "object-taken", format!("{key} changed while it was being replaced"))
    })
}

/// Fetches an object that was recorded. A store in trouble is a failure; an object that is gone
/// or changed is a finding.
pub async fn fetch(store: &Store, object: &StoredObject) -> Result<Result<Bytes, Finding>, Failure> {
    let Some(found) = store.get(&object.key).await.map_err(|error| error.to_failure())? else {
        return Ok(Err(Finding::error(code::OBJECT_MISSING, &object.key, "nothing", "an object")));
    };
    let words = |bytes: u64, digest: &str| format!("{bytes} bytes of digest {digest}");
    if (found.body.len() as u64, &found.stored.digest) == (object.bytes, &object.digest) {
        return Ok(Ok(found.body));
    }
    let measured = words(found.body.len() as u64, &found.stored.digest);
    Ok(Err(Finding::error(code::OBJECT_DIGEST, &object.key, measured, words(object.bytes, &object.digest))))
}
