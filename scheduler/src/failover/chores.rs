//! What follows from a channel's record for its jobs: whoever wrote it may have died before doing it, so
//! every look asks anew.

use std::sync::Arc;

use framemill_schemas::{
    ids::JobId,
    inventory::Engine,
    job::{JobKind, JobRecord, JobState},
    live::{ChannelRecord, Replica, Timeline, Wanted},
    load::Load,
    spec::{JobSpec, LiveSpec},
};

use super::place::{lane_for, unit};
use crate::view::JobSummary;

/// Ended replicas that are kept whatever their age: what went wrong with them is asked for.
const KEPT: usize = 8;
/// How long others are kept.
const KEPT_MS: i64 = 3_600_000;
/// How long a replica may wait to be claimed before it is offered again. A process that was stopped still
/// has pulls open at the server, and a hint that is given to one is seen by nobody until it wakes.
const OFFERED_MS: i64 = 1_500;

/// What is to be done about the jobs of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chores {
    /// Let go of.
    pub cancel: Vec<JobId>,
    /// Placed, and not there yet.
    pub create: Vec<JobId>,
    /// Waiting for too long: their hint may lie with a node that stands still.
    pub resend: Vec<JobId>,
    /// Over for long enough.
    pub forget: Vec<JobId>,
}

/// What a channel's record asks for, given its jobs.
pub fn chores(channel: &ChannelRecord, jobs: &[Arc<JobSummary>], now_ms: i64) -> Chores {
    let is_placed = |id: JobId| channel.replicas.iter().any(|replica| replica.job == id);
    let ours = || jobs.iter().filter(|job| job.kind == JobKind::Live);
    let cancel = ours().filter(|job| !job.state.is_terminal() && !is_placed(job.id)).map(|job| job.id);
    let missing = channel.replicas.iter().filter(|replica| jobs.iter().all(|job| job.id != replica.job));
    let mut ended: Vec<_> = ours().filter(|job| job.state.is_terminal() && !is_placed(job.id)).collect();
    ended.sort_by_key(|job| std::cmp::Reverse(job.ended_ms));
    let old = ended.into_iter().skip(KEPT).filter(|job| now_ms - job.ended_ms > KEPT_MS);
    let waits = |job: &&Arc<JobSummary>| {
        job.state == JobState::Ready && is_placed(job.id) && now_ms - job.ready_ms >= OFFERED_MS
    };
    Chores {
        resend: ours().filter(waits).map(|job| job.id).collect(),
        cancel: cancel.collect(),
        create: if channel.wanted == Wanted::Running {
            missing.map(|replica| replica.job).collect()
        } else {
            Vec::new()
        },
        forget: old.map(|job| job.id).collect(),
    }
}

/// What a replica takes: as its edition's last timeline says, where one was made for its engine; else what the
/// ladder lets expect. The first replica finds none, and what it was claimed for stays.
fn load_of(channel: &ChannelRecord, replica: &Replica, last: Option<&Timeline>) -> Load {
    let on_gpu = replica.engine != Engine::Software;
    let fits = |last: &&Timeline| last.edition == channel.edition.number && last.nvenc.is_some() == on_gpu;
    last.filter(fits).map_or_else(|| Load::of_ladder(&channel.edition.ladder), Load::of_timeline)
}

/// The job of a replica, as nobody has claimed it yet; `last` is the channel's last timeline. `None` for one
/// whose name is not known any more.
pub fn job_of(channel: &ChannelRecord, replica: &Replica, last: Option<&Timeline>, now_ms: i64) -> Option<JobRecord> {
    let load = load_of(channel, replica, last);
    // Numbered from the newest: those before it are few.
    let placed =
        (1..=channel.placed).rev().find(|placed| JobId::derive(channel.asset, 1, &unit(*placed), 0) == replica.job)?;
    let spec = JobSpec::Live(LiveSpec {
        channel: channel.id.clone(),
        apart: replica.apart.clone(),
        engine: replica.engine,
        load,
    });
    let lane = lane_for(&channel.edition, replica.engine, &load);
    let job = JobRecord::ready(channel.asset, 1, unit(placed), channel.tenant.clone(), lane, spec, now_ms);
    Some(JobRecord { trace: channel.trace.clone(), ..job })
}
