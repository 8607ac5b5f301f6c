//! The runner: takes hints from its lanes, claims jobs, keeps them while a handler works, and
//! commits what came out. It decides nothing about media; a handler never sees NATS.
//!
//! `intake` decides what to pull and what to take (pure), `room` says what there is room for, `judge`
//! what a hint is worth (pure), `attempt` runs one job from hint to commit, `hold` keeps it, `settle`
//! ends it as `ending` says (pure), `rest` knows when to pause (pure).

mod attempt;
mod ending;
mod gate;
mod hold;
mod intake;
mod judge;
mod progress;
mod pulls;
mod rest;
mod room;
mod serve;
mod settle;
#[cfg(test)]
mod simulation;

use std::{
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use framemill_schemas::{
    failure::Failure,
    ids::{NodeId, Zone},
    job::JobRecord,
    ladder::VideoCodec,
    lane::Lane,
    spec::JobOutput,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use gate::Gate;
pub use room::{Ask, Offer, Room};
pub use serve::{serve, serve_as, serve_within};
pub use settle::{GIVEN_BACK, OUTAGES};

/// What a runner serves, and as whom.
#[derive(Clone, Debug)]
pub struct RunnerConfig {
    /// The machine.
    pub node: NodeId,
    /// This start of this process.
    pub process: Uuid,
    /// `worker` or `packager`.
    pub role: &'static str,
    /// Lanes it takes jobs from, the most urgent first.
    pub lanes: Vec<Lane>,
    /// Jobs it runs at once that need no GPU.
    pub slots: usize,
    /// Codecs it encodes without a GPU.
    pub encodes: Vec<VideoCodec>,
    /// What its machine shares with others that may fail together.
    pub zone: Option<Zone>,
    /// How long it may fall silent before its jobs are given to others.
    pub lease: Duration,
    /// Closed while something it needs is away: it then takes nothing, and what runs goes on.
    pub gate: Gate,
}

/// One try at a job, as its handler sees it.
#[derive(Debug)]
pub struct Attempt {
    /// The record as it was claimed.
    pub job: JobRecord,
    /// Revision of that record.
    pub revision: u64,
    /// When its hint arrived, Unix milliseconds.
    pub fetched_ms: i64,
    /// The claim was lost, the job was cancelled, or the process stops. What the handler returns
    /// then is not committed, unless it is a result and the claim still stands.
    pub cancel: CancellationToken,
    /// Where it runs, and until when.
    pub place: Place,
    /// How far it is: parts done, parts in all.
    pub progress: watch::Sender<(u64, u64)>,
}

/// Where an attempt runs.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The device that [`Room::take`] named.
    pub seat: Option<u32>,
    /// Something more urgent needs the room: a handler that can stop at a boundary, with what is
    /// finished kept, does so, and fails with a symptom of [`GIVEN_BACK`].
    pub yields: CancellationToken,
}

/// What does the work.
pub trait Handler: Send + Sync + 'static {
    /// Runs one attempt. Ends soon after `attempt.cancel`, with everything it started dead. A
    /// panic is a failure of class `bug`.
    fn run(&self, attempt: &Attempt) -> impl Future<Output = Result<JobOutput, Failure>> + Send;
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
