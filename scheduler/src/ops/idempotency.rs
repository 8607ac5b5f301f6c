//! Idempotency keys: what a client's key stands for, for a day.
//!
//! The key's record is created before the asset, with the asset's id inside. Whoever crashes
//! between the two, or loses the answer, is finished by the next try: it finds the id and creates
//! what is absent. Two tries at once end in one asset, since both creations are "if absent". Once
//! the asset is there, the key's record says so: an id that was removed is never used again.

use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    ids::{AssetId, Tenant},
    key::digest,
    subject::IDEMPOTENCY_BUCKET,
};
use serde::{Deserialize, Serialize};

use super::OpError;

/// Format of idempotency records written by this version.
const IDEMPOTENCY_VERSION: u32 = 1;

/// What a key stands for, as it is stored; forgotten after a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct IdempotencyRecord {
    /// Format of this record.
    v: u32,
    /// Digest of the body.
    body: String,
    /// The asset's id, decided before the asset is created.
    asset: AssetId,
    /// Whether the asset was created: when it is not there any more, it was removed.
    #[serde(default)]
    created: bool,
}

/// A key that came with a body.
pub(super) struct Key {
    records: Records<IdempotencyRecord>,
    /// A key is its tenant's own.
    digest: String,
    body: String,
}

/// What a key stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// The asset.
    pub asset: AssetId,
    /// Whether it is known to have been created.
    pub created: bool,
    revision: u64,
}

impl Key {
    pub fn new(queue: &Queue, tenant: &Tenant, key: &str, body: &str) -> Self {
        Self {
            records: queue.records(IDEMPOTENCY_BUCKET),
            digest: digest(format!("{tenant}\n{key}").as_bytes()),
            body: digest(body.as_bytes()),
        }
    }

    /// What it stands for already. Guards: it came with this body then too.
    pub async fn find(&self) -> Result<Option<Found>, OpError> {
        match self.records.get(&self.digest).await? {
            None => Ok(None),
            Some((record, revision)) if record.body == self.body => {
                Ok(Some(Found { asset: record.asset, created: record.created, revision }))
            }
            Some(_) => Err(OpError::OtherBody),
        }
    }

    /// Makes it stand for `asset`, unless somebody was faster; returns what it stands for then.
    pub async fn reserve(&self, asset: AssetId) -> Result<Found, OpError> {
        match self.records.create(&self.digest, &self.record(asset, false)).await {
            Ok(revision) => Ok(Found { asset, created: false, revision }),
            // Where it is gone at the second look, it expired between the two: a day has passed,
            // and the key is new again.
            Err(RecordError::Exists) => self.find().await?.ok_or_else(|| {
                OpError::Conflict("the Idempotency-Key has just expired; send the request again".to_owned())
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down that its asset is there. Should that fail, the next repeat does it; only a key
    /// that was not repeated before its asset was removed would then make that asset again.
    pub async fn mark_created(&self, found: Found) {
        if found.created {
            return;
        }
        match self.records.update(&self.digest, &self.record(found.asset, true), found.revision).await {
            // Somebody with the same key was faster, and wrote the same.
            Ok(_) | Err(RecordError::Fenced) => {}
            Err(error) => tracing::debug!(%error, "an idempotency key is marked at its next use"),
        }
    }

    fn record(&self, asset: AssetId, created: bool) -> IdempotencyRecord {
        IdempotencyRecord { v: IDEMPOTENCY_VERSION, body: self.body.clone(), asset, created }
    }
}
