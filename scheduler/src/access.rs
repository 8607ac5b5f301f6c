//! Who may do what: keys, roles, and when no key is needed.
//!
//! A key is shown once, when it is made; what is stored is its digest, and a key is found by the
//! digest of what the caller sent. So neither a copy of the bucket nor the time a look-up takes
//! tells anything about a key: a digest that is nearly right is as far off as any other.
//!
//! Never here: HTTP. `api::guard` reads requests and asks this module.

use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    api::{AccessRole, KeyCreated, KeyRequest, KeyView},
    field_error::FieldError,
    ids::Tenant,
    key::digest,
    subject::KEYS_BUCKET,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Format of key records written by this version.
const KEY_VERSION: u32 = 1;
/// What every key starts with, so that scanners for leaked secrets know one.
const KEY_PREFIX: &str = "fmk_";
/// Hexadecimal digits after the prefix: 32 bytes.
const KEY_DIGITS: usize = 64;
/// Digits of a digest that name a key in lists: 64 bits never collide among [`KEYS_MAX`].
const KEY_ID_DIGITS: usize = 16;
/// Most keys of one farm.
const KEYS_MAX: usize = 10_000;
/// Longest label.
const LABEL_CHARS_MAX: usize = 200;

/// A key as it is stored, under its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Format of this record.
    pub v: u32,
    /// Tenant it is bound to.
    pub tenant: Tenant,
    /// What it may do.
    pub role: AccessRole,
    /// What people call it.
    #[serde(default)]
    pub label: String,
    /// Unix milliseconds.
    pub created_ms: i64,
}

impl KeyRecord {
    fn view(&self, digest: &str) -> KeyView {
        KeyView {
            id: digest.chars().take(KEY_ID_DIGITS).collect(),
            tenant: self.tenant.clone(),
            role: self.role,
            label: self.label.clone(),
            created_ms: self.created_ms,
        }
    }
}

/// On whose behalf a request runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The only tenant it sees; `None` sees all: whoever sits at the machine.
    pub tenant: Option<Tenant>,
    /// What it may do.
    pub role: AccessRole,
}

impl Caller {
    /// Whoever sits at the machine: they could read the data folder as well.
    pub const fn local() -> Self {
        Self { tenant: None, role: AccessRole::Admin }
    }

    /// Whether things of `tenant` exist for this caller.
    pub fn sees(&self, tenant: &Tenant) -> bool {
        self.tenant.as_ref().is_none_or(|own| own == tenant)
    }

    /// Whether this caller may do what `role` may.
    pub fn may(&self, role: AccessRole) -> bool {
        self.role >= role
    }
}

/// The bucket of keys.
fn records(queue: &Queue) -> Records<KeyRecord> {
    queue.records(KEYS_BUCKET)
}

/// Takes what a caller sent as its key; returns who that is, or `None` when nobody gave it out.
pub async fn caller_of(queue: &Queue, token: &str) -> Result<Option<Caller>, RecordError> {
    // Anything else cannot be a key, and is not worth a question to NATS.
    if !is_key(token) {
        return Ok(None);
    }
    let found = records(queue).get(&digest(token.as_bytes())).await?;
    Ok(found.map(|(record, _)| Caller { tenant: Some(record.tenant), role: record.role }))
}

fn is_key(token: &str) -> bool {
    token
        .strip_prefix(KEY_PREFIX)
        .is_some_and(|digits| digits.len() == KEY_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The request has faults.
    #[error("the label is over {LABEL_CHARS_MAX} characters or holds control characters; shorten it")]
    Label,
    /// Too many.
    #[error("the farm has {KEYS_MAX} keys; revoke what is not needed")]
    Full,
    /// The bucket does not answer.
    #[error(transparent)]
    Records(#[from] RecordError),
}

impl KeyError {
    /// As a fault of the document that asked for the key.
    pub fn fields(&self) -> Option<FieldError> {
        matches!(self, Self::Label).then(|| {
            FieldError::new("/label", "too long, or with control characters", "use up to 200 printable characters")
        })
    }
}

/// Takes a request for a key; returns the key, shown this once. Guards: none but the bounds:
/// whether the caller may is decided before. The first key of a farm that does not listen on
/// loopback is made by this function too, straight on the bucket.
pub async fn create_key(queue: &Queue, request: KeyRequest, now_ms: i64) -> Result<KeyCreated, KeyError> {
    if request.label.chars().count() > LABEL_CHARS_MAX || request.label.chars().any(char::is_control) {
        return Err(KeyError::Label);
    }
    let records = records(queue);
    if records.list(ALL_KEYS).await?.len() >= KEYS_MAX {
        return Err(KeyError::Full);
    }
    let token = new_token();
    let digest = digest(token.as_bytes());
    let record = KeyRecord {
        v: KEY_VERSION,
        tenant: request.tenant,
        role: request.role,
        label: request.label,
        created_ms: now_ms,
    };
    records.create(&digest, &record).await?;
    Ok(KeyCreated { key: record.view(&digest), token })
}

/// Filter of every record of the bucket.
const ALL_KEYS: &str = ">";

/// The keys a caller may see, oldest first.
pub async fn list_keys(queue: &Queue, caller: &Caller) -> Result<Vec<KeyView>, RecordError> {
    let mut keys: Vec<_> = records(queue)
        .list(ALL_KEYS)
        .await?
        .into_iter()
        .filter(|(_, record, _)| caller.sees(&record.tenant))
        .map(|(digest, record, _)| record.view(&digest))
        .collect();
    keys.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
    Ok(keys)
}

/// Takes the id of a key; returns whether there was one to revoke. Guards: a caller revokes only
/// what it sees.
pub async fn revoke_key(queue: &Queue, caller: &Caller, id: &str) -> Result<bool, RecordError> {
    if id.len() != KEY_ID_DIGITS {
        return Ok(false);
    }
    let records = records(queue);
    let all = records.list(ALL_KEYS).await?;
    let Some((digest, _, revision)) =
        all.into_iter().find(|(digest, record, _)| digest.starts_with(id) && caller.sees(&record.tenant))
    else {
        return Ok(false);
    };
    records.delete(&digest, revision).await?;
    Ok(true)
}

/// 32 bytes nobody can guess: three random UUIDs hold 366 random bits of the system's generator,
/// and the digest spreads them over all its 256.
fn new_token() -> String {
    let mut seed = Vec::with_capacity(48);
    for _ in 0..3 {
        seed.extend_from_slice(Uuid::new_v4().as_bytes());
    }
    format!("{KEY_PREFIX}{}", digest(&seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_look_like_keys_and_differ() {
        let key = new_token();
        assert!(is_key(&key), "{key}");
        assert_ne!(key, new_token());
        for bad in ["", "fmk_", "fmk_00", &key[4..], &key[..key.len() - 1], &key.replace("fmk_", "fmx_")] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn a_caller_sees_its_own_tenant_and_does_what_its_role_may() {
        let a: Tenant = "a".parse().unwrap();
        let b: Tenant = "b".parse().unwrap();
        let caller = Caller { tenant: Some(a.clone()), role: AccessRole::Operator };
        assert!(caller.sees(&a) && !caller.sees(&b));
        assert!(Caller::local().sees(&a) && Caller::local().sees(&b));
        for (role, may) in [(AccessRole::Viewer, true), (AccessRole::Operator, true), (AccessRole::Admin, false)] {
            assert_eq!(caller.may(role), may, "{role:?}");
        }
    }
}
