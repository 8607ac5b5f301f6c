//! What a user may ask of the farm: one transition of one record per file. Each has a pure
//! function that decides, with "takes, returns, guards" above it, and a thin one that stores what
//! was decided by compare-and-set.
//!
//! Never here: HTTP, roles, and what follows from a transition. The driver looks at the records
//! and does the rest.

mod archive;
mod cancel;
pub(crate) mod channel;
mod check;
mod drop_dead;
mod idempotency;
mod purge;
mod redrive;
mod remove;
mod retry;
mod submit;

use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    event::{Event, EventData},
    field_error::FieldError,
    ids::{AssetId, ChannelId, JobId, Tenant},
    object::{Generation, generation_folder},
};
use framemill_storage::StoreError;
use uuid::Uuid;

pub use archive::{ArchiveParts, archive, check_kept};
pub use cancel::{cancel, stop_jobs};
pub use check::{CheckParts, check, open as open_check};
pub use drop_dead::drop_dead;
pub use purge::{PurgeParts, request_purge, retry_purge};
pub(crate) use redrive::job_event;
pub use redrive::{may_redrive, redrive};
pub use remove::remove;
pub use retry::retry;
pub use submit::{Accepted, SubmitParts, Submitted, submit};

use crate::{archive::Refusal, clock::now_ms, gate::Full};

/// How often a compare-and-set is tried again when somebody else was faster. Every loss means that
/// another change went through, and an asset sees few of them at a time.
const CAS_TRIES_MAX: u32 = 8;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// No such asset.
    #[error("there is no asset {0}; list what there is")]
    NoAsset(AssetId),
    /// No such channel.
    #[error("there is no channel {0}; list what there is")]
    NoChannel(ChannelId),
    /// No such job.
    #[error("there is no job {0}; list what there is")]
    NoJob(JobId),
    /// Its state does not allow it; the text has the mend.
    #[error("{0}")]
    Conflict(String),
    /// The request has faults.
    #[error("the submission has faults")]
    Refused(Vec<FieldError>),
    /// An idempotency key came again with another body.
    #[error("this Idempotency-Key was used with another body; use a new one for a new submission")]
    OtherBody,
    /// What an idempotency key stood for was removed.
    #[error("the asset {0}, which this Idempotency-Key stands for, was removed; use a new key for a new submission")]
    Removed(AssetId),
    /// A bound of open work is reached; the text has the mend.
    #[error(transparent)]
    Full(#[from] Full),
    /// A span that cannot be kept.
    #[error(transparent)]
    Span(#[from] Refusal),
    /// What a title was copied from is not there any more.
    #[error(
        "the asset {0} cannot be made again: it is copied from {1}, whose segments have left the store; keep another \
         span of the channel, or submit a recording of it"
    )]
    SpanGone(AssetId, String),
    /// The records are still being read.
    #[error("the records are still being read; try again in a moment")]
    Reading,
    /// The records do not answer.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A generation's name: the number is the decision, the random part makes sure that no folder is
/// ever used again, not even after a restore from an old copy.
pub(crate) fn generation(number: u32) -> Generation {
    let random = Uuid::new_v4().as_u128() as u32;
    Generation { number, random: format!("{random:08x}") }
}

/// An event about a change of an asset that was found at `revision`: decided twice from the same
/// revision, it is one event; the same change at another time is another.
pub(crate) fn asset_event(asset: &AssetRecord, what: &str, revision: u64, now_ms: i64) -> Event {
    let data = EventData {
        channel_id: None,
        asset_id: Some(asset.id),
        status: Some(asset.state.as_str().to_owned()),
        class: asset.failure.as_ref().map(|failure| failure.class),
        reason: asset.failure.as_ref().map(|failure| failure.reason.clone()),
        node: asset.failure.as_ref().and_then(|failure| failure.node.clone()),
        output_uri: asset
            .published
            .as_ref()
            .map(|published| generation_folder(&asset.tenant, asset.id, &published.generation)),
        ..EventData::default()
    };
    let kind = format!("asset.{what}");
    Event::derive(&asset.id.to_string(), &format!("{kind}/{revision}"), kind, &asset.tenant, now_ms, data)
}

/// What a transition decides.
#[derive(Clone, Debug, PartialEq)]
enum Decision {
    /// Store this.
    Change(Box<AssetRecord>),
    /// It is as asked for already.
    Already,
}

/// Reads an asset, decides and stores, again where somebody else was faster; returns the record as
/// it is then. An asset of a tenant that `visible` does not let through does not exist.
async fn change_asset(
    queue: &Queue,
    id: AssetId,
    visible: impl Fn(&Tenant) -> bool,
    decide: impl Fn(&AssetRecord, u64) -> Result<Decision, OpError>,
) -> Result<AssetRecord, OpError> {
    let key = id.to_string();
    let mut tries = 0;
    loop {
        let found = queue.assets().get(&key).await?;
        let (record, revision) = found.filter(|(record, _)| visible(&record.tenant)).ok_or(OpError::NoAsset(id))?;
        let changed = match decide(&record, revision)? {
            Decision::Change(changed) => *changed,
            Decision::Already => return Ok(record),
        };
        match queue.assets().update(&key, &changed, revision).await {
            Ok(_) => return Ok(changed),
            Err(RecordError::Fenced) if tries < CAS_TRIES_MAX => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The sentence for an operation that a state does not allow.
fn refuse(asset: &AssetRecord, mend: &str) -> OpError {
    OpError::Conflict(format!("the asset {} is {}; {mend}", asset.id, asset.state.as_str()))
}

/// An asset at its end, with the event that says so.
pub(crate) fn ended(asset: &AssetRecord, state: AssetState, what: &str, revision: u64, now_ms: i64) -> AssetRecord {
    let mut asset = AssetRecord { state, ended_ms: now_ms, ..asset.clone() };
    let event = asset_event(&asset, what, revision, now_ms);
    asset.unsent.push(event);
    asset
}

#[cfg(test)]
pub(crate) mod sample;
