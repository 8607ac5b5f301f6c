//! The devices of a node as a job meets them: its turn to start, its share, and what a device that
//! refuses says. Real or scripted.

use std::time::Instant;

use framemill_media::{encode::Via, failure_of};
use framemill_schemas::failure::Failure;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    cost::Cost,
    room::{Headroom, Seated},
};
use crate::machine::{
    readings::{NO_XID, Xid},
    script::{Script, Session, Use},
};

/// Symptom of a device that opens no more sessions, and of one without memory.
const NO_SESSION: &str = "encoder-sessions";
const NO_MEMORY: &str = "video-memory";
/// Symptoms of a device that encodes, and is full.
pub(crate) const FULL: [&str; 2] = [NO_SESSION, NO_MEMORY];
/// Part of a device's memory, in percent, beyond which a refused session was refused for want of it.
const FULL_PERCENT: u64 = 95;

/// The devices of a node.
#[derive(Clone)]
pub struct Devices {
    headroom: Headroom,
    script: Option<Script>,
    /// Who tries a device on which something broke.
    checks: Option<mpsc::UnboundedSender<Xid>>,
}

/// Symptoms of a device that may not encode any more, though it reported nothing.
const BROKE: [&str; 5] = ["driver-mismatch", "driver-missing", "gpu-broke", "gpu-missing", "no-encoder"];

impl Devices {
    /// Of a node whose GPUs are scripted, or are not.
    pub fn new(headroom: Headroom, script: Option<Script>) -> Self {
        Self { headroom, script, checks: None }
    }

    /// The same; devices on which something broke are tried by whoever listens.
    pub(crate) fn checked_by(self, checks: mpsc::UnboundedSender<Xid>) -> Self {
        Self { checks: Some(checks), ..self }
    }

    /// The headroom they are given from.
    pub fn headroom(&self) -> &Headroom {
        &self.headroom
    }

    /// Waits for a claim's turn to start; nothing where it was called off.
    pub async fn start(&self, claim: Uuid, cancel: &CancellationToken) -> Option<Seated> {
        self.headroom.start(claim, cancel).await
    }

    /// Where and how fast a claim's chunk is encoded.
    pub fn via(&self, claim: Uuid) -> Via {
        let Some(grant) = self.headroom.grant(claim) else { return Via::Processor };
        let pace_milli = grant.pace_milli;
        match self.script {
            Some(_) => Via::StandIn { pace_milli },
            None => Via::Gpu { index: grant.device, pace_milli },
        }
    }

    /// What a scripted GPU holds for a claim; nothing where it is none. Its refusal is that of the real
    /// one, and the headroom is told.
    pub fn open_session(&self, claim: Uuid) -> Result<Option<Session>, Failure> {
        let (Some(script), Some(grant)) = (&self.script, self.headroom.grant(claim)) else { return Ok(None) };
        let Cost { sessions, memory_mib, .. } = grant.cost;
        let wanted = Use { sessions, memory_mib, demand: grant.published };
        let opened = script.open(grant.device, wanted, Instant::now());
        opened.map(Some).map_err(|says| self.told(claim, failure_of(says)))
    }

    /// Takes the failure of a claim's process. Tells the headroom of a device that refused what it was
    /// believed to have; the same words may mean sessions or memory, and the readings say which.
    pub fn told(&self, claim: Uuid, failure: Failure) -> Failure {
        let Some(grant) = self.headroom.grant(claim) else { return failure };
        if let Some(checks) = self.checks.as_ref().filter(|_| BROKE.contains(&failure.code.as_str())) {
            // Nobody who tries is left at the end of a worker.
            let _ = checks.send((Some(grant.device), NO_XID));
        }
        if !FULL.contains(&failure.code.as_str()) {
            return failure;
        }
        self.headroom.refused(claim, Instant::now());
        let full = self.headroom.memory_percent(grant.device).is_some_and(|percent| percent >= FULL_PERCENT);
        if failure.code == NO_SESSION && full {
            let reason = "the GPU has no memory left for another session";
            return Failure { code: NO_MEMORY.to_owned(), reason: reason.to_owned(), ..failure };
        }
        failure
    }
}
