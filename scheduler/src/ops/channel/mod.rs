//! What a user may ask of a channel. As for titles: one transition per function, decided purely and
//! stored by compare-and-set; the failover controller looks at the record and does the rest.

mod put;

use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    event::{Event, EventData},
    failure::Failure,
    ids::{ChannelId, JobId, NodeId, Tenant},
    live::{ChannelRecord, ChannelState, Upkeep, Wanted, record_key},
    subject::CHANNELS_BUCKET,
};

use super::{CAS_TRIES_MAX, OpError, now_ms};
use crate::on_air;

pub use put::{Asked, put};

/// Most events that wait in a record to be sent; the oldest go first.
const UNSENT_MAX: usize = 64;

/// What an event tells beside its kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told<'a> {
    /// Why, where that needs words.
    pub why: Option<&'a Failure>,
    /// The replica it is about.
    pub job: Option<JobId>,
    /// The node it is about, where the failure names none.
    pub node: Option<&'a NodeId>,
}

/// An event about a change of a channel that was found at `revision`: decided twice from the same
/// revision, it is one event. `about` tells apart two of a kind in one change.
pub(crate) fn channel_event(
    channel: &ChannelRecord,
    what: &str,
    about: &str,
    told: Told<'_>,
    revision: u64,
    now_ms: i64,
) -> Event {
    let data = EventData {
        channel_id: Some(channel.id.clone()),
        job_id: told.job,
        status: Some(channel.state.as_str().to_owned()),
        class: told.why.map(|why| why.class),
        reason: told.why.map(|why| why.reason.clone()),
        node: told.why.and_then(|why| why.node.clone()).or_else(|| told.node.cloned()),
        ..EventData::default()
    };
    let kind = format!("channel.{what}");
    let transition = format!("{kind}/{about}/{revision}");
    Event::derive(&channel.asset.to_string(), &transition, kind, &channel.tenant, now_ms, data)
}

/// Adds an event to a record, dropping the oldest over the bound.
pub(crate) fn push_event(channel: &mut ChannelRecord, event: Event) {
    if channel.unsent.len() >= UNSENT_MAX {
        channel.unsent.remove(0);
    }
    channel.unsent.push(event);
}

/// Channel records, by [`record_key`].
pub(crate) fn channels(queue: &Queue) -> Records<ChannelRecord> {
    queue.records(CHANNELS_BUCKET)
}

/// Puts a channel on air: the failover controller places its replicas.
pub async fn start(queue: &Queue, tenant: &Tenant, id: &ChannelId) -> Result<ChannelRecord, OpError> {
    let now_ms = now_ms();
    change(queue, tenant, id, |channel, revision| started(channel, revision, now_ms)).await
}

/// Takes a channel off air. What it published stays for its time.
pub async fn stop(queue: &Queue, tenant: &Tenant, id: &ChannelId) -> Result<ChannelRecord, OpError> {
    change(queue, tenant, id, |channel, _| stopped(channel)).await
}

/// Removes a channel with all it published: the packager deletes that, and its record last.
pub async fn retire(queue: &Queue, tenant: &Tenant, id: &ChannelId) -> Result<ChannelRecord, OpError> {
    change(queue, tenant, id, |channel, _| Ok(retired(channel))).await
}

/// Reads a channel, decides and stores, again where somebody else was faster; `None` leaves it as it is.
async fn change(
    queue: &Queue,
    tenant: &Tenant,
    id: &ChannelId,
    decide: impl Fn(&ChannelRecord, u64) -> Result<Option<ChannelRecord>, OpError>,
) -> Result<ChannelRecord, OpError> {
    let (records, key) = (channels(queue), record_key(tenant, id));
    let mut tries = 0;
    loop {
        let found = records.get(&key).await?;
        let (record, revision) = found.ok_or_else(|| OpError::NoChannel(id.clone()))?;
        let Some(changed) = decide(&record, revision)? else { return Ok(record) };
        match records.update(&key, &changed, revision).await {
            Ok(_) => return Ok(changed),
            Err(RecordError::Fenced) if tries < CAS_TRIES_MAX => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes a channel that is off air and to be put on.
/// Returns it starting, with `channel.starting` to be sent; what went before is forgotten.
pub(crate) fn begun(channel: &ChannelRecord, revision: u64, now_ms: i64) -> ChannelRecord {
    let mut begun = ChannelRecord {
        state: ChannelState::Starting,
        why: None,
        shunned: Vec::new(),
        upkeep: Upkeep { told: channel.upkeep.told, ..Upkeep::default() },
        since_ms: now_ms,
        ..channel.clone()
    };
    let event = channel_event(&begun, "starting", "", Told::default(), revision, now_ms);
    push_event(&mut begun, event);
    begun
}

/// Takes a channel that is off air.
/// Returns it wanted on air, and begun where its schedule puts it on air now; else it waits for that.
/// Guards: one that is wanted already stays as it is; a removed one does not come back.
fn started(channel: &ChannelRecord, revision: u64, now_ms: i64) -> Result<Option<ChannelRecord>, OpError> {
    match channel.wanted {
        Wanted::Running => Ok(None),
        Wanted::Retired => Err(refuse(channel, "it is being removed; apply it again once it is gone")),
        Wanted::Stopped => {
            let wanted = ChannelRecord { wanted: Wanted::Running, ..channel.clone() };
            if on_air::is_due(&wanted, now_ms) {
                return Ok(Some(begun(&wanted, revision, now_ms)));
            }
            Ok(Some(match wanted.state {
                ChannelState::Stopped => {
                    let why = Some(Failure { at_ms: now_ms, ..on_air::off_air(&wanted, now_ms) });
                    ChannelRecord { state: ChannelState::Scheduled, why, since_ms: now_ms, ..wanted }
                }
                // Still on its way off air: the controller says once it is there.
                _ => wanted,
            }))
        }
    }
}

/// Takes a channel.
/// Returns it wanted off air. That it is, the controller says once its replicas are let go.
/// Guards: one that is not wanted stays as it is; a removed one is off air as well.
fn stopped(channel: &ChannelRecord) -> Result<Option<ChannelRecord>, OpError> {
    match channel.wanted {
        Wanted::Stopped => Ok(None),
        Wanted::Retired => Err(refuse(channel, "it is being removed, and goes off air with that")),
        Wanted::Running => Ok(Some(ChannelRecord { wanted: Wanted::Stopped, ..channel.clone() })),
    }
}

/// Takes a channel in any state.
/// Returns it to be removed.
/// Guards: nothing leaves this, so a second removal changes nothing.
fn retired(channel: &ChannelRecord) -> Option<ChannelRecord> {
    (channel.wanted != Wanted::Retired).then(|| ChannelRecord { wanted: Wanted::Retired, ..channel.clone() })
}

/// The sentence for an operation that a state does not allow.
fn refuse(channel: &ChannelRecord, mend: &str) -> OpError {
    OpError::Conflict(format!("the channel {} is {}; {mend}", channel.id, channel.state.as_str()))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
