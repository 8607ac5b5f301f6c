//! Loops that run once in a farm: whoever holds the lease runs them.
//!
//! A lease is a record that its holder changes all the time. Everybody else watches it, and takes
//! it when it has not changed for a whole lease by their own clock: no two clocks are ever
//! compared. A holder that could not renew in time stops its loop before anybody can take over.

use std::{future::Future, time::Duration};

use framemill_schemas::subject;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{error::RecordError, queue::Queue, records::Records, watch::Change};

/// Format of leases written by this version.
const LEASE_VERSION: u32 = 1;
/// Renewals in a lease.
const RENEWALS_PER_LEASE: u32 = 4;
/// Pause before the server is asked again that did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// How long giving a lease back may take.
const RELEASE_MAX: Duration = Duration::from_secs(2);

/// A lease as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LeaseRecord {
    /// Format of this record.
    v: u32,
    /// The start of the process that holds it.
    holder: Uuid,
    /// Counts renewals, so that each changes the record.
    beat: u64,
}

/// Runs `work` whenever `holder` holds the lease `name`, until `stop`. The token given to `work`
/// is cancelled when the lease is lost or `stop` is; `work` must end soon after. Should it end by
/// itself, the lease is given back and contended for again.
pub async fn hold<W, F>(queue: &Queue, name: &str, holder: Uuid, lease: Duration, stop: &CancellationToken, work: W)
where
    W: Fn(CancellationToken) -> F,
    F: Future<Output = ()>,
{
    let lease = Lease { records: queue.records(subject::LEASES_BUCKET), queue, name, holder, lease };
    loop {
        let taken = tokio::select! {
            taken = lease.take() => taken,
            () = stop.cancelled() => return,
        };
        tracing::info!(lease = name, "a lease was taken");
        let held = stop.child_token();
        let revision = {
            let working = work(held.clone());
            tokio::pin!(working);
            tokio::select! {
                revision = lease.keep(taken, &held) => {
                    held.cancel();
                    working.await;
                    revision
                }
                () = &mut working => lease.revision().await,
            }
        };
        lease.release(revision).await;
        tracing::info!(lease = name, "a lease was given up");
        tokio::select! {
            () = sleep(AGAIN) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// A lease that was taken.
struct Taken {
    revision: u64,
    beat: u64,
    /// When the change that took it was begun.
    since: Instant,
}

struct Lease<'a> {
    records: Records<LeaseRecord>,
    queue: &'a Queue,
    name: &'a str,
    holder: Uuid,
    lease: Duration,
}

/// What is known of a lease that somebody else holds.
enum Seen {
    /// Not everything there is was heard yet.
    Unknown,
    /// Nobody holds it.
    Free,
    /// It was like this, unchanged since.
    Held { record: LeaseRecord, revision: u64, since: Instant },
}

impl Lease<'_> {
    /// Waits until the lease can be taken, and takes it.
    async fn take(&self) -> Taken {
        loop {
            match self.contend().await {
                Ok(Some(taken)) => return taken,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(lease = self.name, %error, "a lease cannot be contended for now");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// One watch, until it leads to the lease or must be begun anew.
    async fn contend(&self) -> Result<Option<Taken>, RecordError> {
        let mut changes = self.records.watch(self.name).await?;
        let reconnects = self.queue.reconnects();
        let mut seen = Seen::Unknown;
        loop {
            let mine = matches!(&seen, Seen::Held { record, .. } if record.holder == self.holder);
            let due = match &seen {
                Seen::Unknown => None,
                Seen::Free => Some(Instant::now()),
                Seen::Held { .. } if mine => Some(Instant::now()),
                Seen::Held { since, .. } => Some(*since + self.lease),
            };
            tokio::select! {
                biased;
                change = changes.next() => match change {
                    None => return Ok(None),
                    Some(change) => match change? {
                        Change::Put { value, revision, .. } => {
                            seen = Seen::Held { record: *value, revision, since: Instant::now() };
                        }
                        Change::Deleted { .. } => seen = Seen::Free,
                        Change::Current if matches!(seen, Seen::Unknown) => seen = Seen::Free,
                        Change::Current => {}
                    },
                },
                // What was not heard in one piece proves nothing.
                () = self.queue.connection_changed() => return Ok(None),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if self.queue.reconnects() != reconnects {
                        return Ok(None);
                    }
                    return self.seize(&seen).await;
                }
            }
        }
    }

    async fn seize(&self, seen: &Seen) -> Result<Option<Taken>, RecordError> {
        let since = Instant::now();
        let (beat, taken) = match seen {
            Seen::Held { record, revision, .. } => {
                let beat = record.beat + 1;
                (beat, self.records.update(self.name, &self.record(beat), *revision).await)
            }
            Seen::Free | Seen::Unknown => (0, self.records.create(self.name, &self.record(0)).await),
        };
        match taken {
            Ok(revision) => Ok(Some(Taken { revision, beat, since })),
            Err(RecordError::Fenced | RecordError::Exists) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renews until the lease is lost or `held` is cancelled; returns its last known revision,
    /// if it is still ours.
    async fn keep(&self, taken: Taken, held: &CancellationToken) -> Option<u64> {
        let Taken { mut revision, mut beat, mut since } = taken;
        loop {
            // Others may take it one lease after they saw `since`: stop well before.
            let give_up = since + self.lease * (RENEWALS_PER_LEASE - 1) / RENEWALS_PER_LEASE;
            tokio::select! {
                () = sleep_until(since + self.lease / RENEWALS_PER_LEASE) => {}
                () = held.cancelled() => return Some(revision),
            }
            beat += 1;
            let record = self.record(beat);
            loop {
                let begun = Instant::now();
                let renewal = timeout_at(give_up, self.records.update(self.name, &record, revision));
                let renewed = tokio::select! {
                    renewed = renewal => renewed,
                    () = held.cancelled() => return None,
                };
                match renewed {
                    Ok(Ok(renewed)) => {
                        (revision, since) = (renewed, begun);
                        break;
                    }
                    Ok(Err(RecordError::Unavailable(_))) => {}
                    Ok(Err(_)) | Err(_) => return None,
                }
            }
        }
    }

    /// Revision of the lease if it is ours.
    async fn revision(&self) -> Option<u64> {
        match self.records.get(self.name).await {
            Ok(Some((record, revision))) if record.holder == self.holder => Some(revision),
            _ => None,
        }
    }

    /// Gives the lease back, so that nobody has to wait for it to run out.
    async fn release(&self, revision: Option<u64>) {
        if let Some(revision) = revision {
            let _ = timeout_at(Instant::now() + RELEASE_MAX, self.records.delete(self.name, revision)).await;
        }
    }

    fn record(&self, beat: u64) -> LeaseRecord {
        LeaseRecord { v: LEASE_VERSION, holder: self.holder, beat }
    }
}
