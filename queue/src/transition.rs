//! How a job's record may change. Pure: each function takes a record and returns what it
//! becomes, or why it may not; the caller stores the result by compare-and-set. The events a
//! transition causes are written into the record with it, so that none is lost between the two.

use framemill_schemas::{
    event::{Event, EventData},
    failure::{Class, Failure},
    holder::Holder,
    job::{JobRecord, JobState},
    spec::{JobOutput, JobSpec},
    subject,
};

/// Failed attempts after which a job is dead.
pub const ATTEMPTS_MAX: u32 = 3;
/// Lost holders after which a job is dead. A holder that falls silent was mostly killed for
/// reasons of its machine's own; only a job that loses every one it gets is a danger to them.
pub const LOSSES_MAX: u32 = 8;
/// Most events that wait in a record to be sent; the oldest go first.
pub const UNSENT_MAX: usize = 64;
/// Attempts that must end the same way to blame the source where no other node could have taken
/// the job: as many as two nodes would have made.
pub const ATTEMPTS_ALONE: u32 = 2;
/// Symptom of a holder that fell silent.
pub const HOLDER_LOST: &str = "holder-lost";
/// Symptom of a source that an encoder breaks on again and again.
pub const SOURCE_BREAKS_ENCODER: &str = "source-breaks-encoder";
/// Symptoms that start like this are an encoder's or decoder's own: it crashed or gave up.
const TOOL_SYMPTOM: &str = "ffmpeg-";
/// Those among them that say nothing about the source: a slow or frozen machine or file server
/// makes it stall, and the process table is the node's.
const NODE_SYMPTOMS: [&str; 3] = ["ffmpeg-stalled", "ffmpeg-lost", "ffmpeg-not-started"];

/// Why a transition may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody holds the job.
    #[error("the job is being run")]
    Held,
    /// The job is at its end.
    #[error("the job is {}", .0.as_str())]
    Ended(JobState),
    /// Whoever asks does not hold the job (any more).
    #[error("the job is not held by whoever asks")]
    NotHolder,
    /// Nobody holds the job.
    #[error("the job is not being run")]
    NotRunning,
    /// The job did not fail.
    #[error("the job is {}: only a failed or dead one is run again", .0.as_str())]
    NotFailed(JobState),
}

/// A worker takes the job.
///
/// Takes a `ready` record. Returns it `running` under `holder`, one attempt further.
/// Guards: not held, not ended.
pub fn claim(mut job: JobRecord, holder: Holder, now_ms: i64) -> Result<JobRecord, Refusal> {
    match job.state {
        JobState::Ready => {}
        JobState::Running => return Err(Refusal::Held),
        ended => return Err(Refusal::Ended(ended)),
    }
    job.state = JobState::Running;
    job.attempt += 1;
    job.holder = Some(holder);
    job.claimed_ms = now_ms;
    tell(&mut job, "started", "started", None, now_ms);
    Ok(job)
}

/// The holder delivers.
///
/// Takes a `running` record. Returns it `done` with its output; the holder stays written in it,
/// as who made it.
/// Guards: held by `holder`.
pub fn commit(mut job: JobRecord, holder: &Holder, output: JobOutput, now_ms: i64) -> Result<JobRecord, Refusal> {
    held_by(&job, holder)?;
    job.state = JobState::Done;
    job.output = Some(output);
    job.ended_ms = now_ms;
    tell(&mut job, "completed", "completed", None, now_ms);
    Ok(job)
}

/// The holder's attempt failed.
///
/// Takes a `running` record. Returns it `failed` (`input`, `bug`: no retry helps), `ready` again
/// (`transient`, `resource`), or `dead` when [`ATTEMPTS_MAX`] failed. An encoder that breaks
/// in the same way on two nodes, or on every attempt on one, blames the source: `failed`.
/// Guards: held by `holder`.
pub fn fail(job: JobRecord, holder: &Holder, failure: Failure, now_ms: i64) -> Result<JobRecord, Refusal> {
    fail_after(job, holder, failure, ATTEMPTS_MAX, now_ms)
}

/// The holder's attempt failed, and no other node is there that could have taken the job.
///
/// Takes and returns what [`fail`] does, but that [`ATTEMPTS_ALONE`] attempts here that ended the
/// same way blame the source.
/// Guards: held by `holder`.
pub fn fail_alone(job: JobRecord, holder: &Holder, failure: Failure, now_ms: i64) -> Result<JobRecord, Refusal> {
    fail_after(job, holder, failure, ATTEMPTS_ALONE, now_ms)
}

fn fail_after(
    mut job: JobRecord,
    holder: &Holder,
    failure: Failure,
    same_here: u32,
    now_ms: i64,
) -> Result<JobRecord, Refusal> {
    held_by(&job, holder)?;
    let failure =
        Failure { attempt: job.attempt, node: Some(failure.node.unwrap_or_else(|| holder.node.clone())), ..failure };
    spend(&mut job, failure, same_here, "failed", now_ms);
    Ok(job)
}

/// The holder gives the job back for a reason that is not the job's: a drain, a shutdown, an
/// outage of the store.
///
/// Takes a `running` record. Returns it `ready`, with nothing spent.
/// Guards: held by `holder`.
pub fn release(mut job: JobRecord, holder: &Holder, now_ms: i64) -> Result<JobRecord, Refusal> {
    held_by(&job, holder)?;
    make_ready(&mut job, now_ms);
    tell(&mut job, "released", "retried", None, now_ms);
    Ok(job)
}

/// The holder fell silent (the reaper's word).
///
/// Takes a `running` record. Returns it `ready`, or `dead` when [`LOSSES_MAX`] holders are lost: a
/// job that kills its worker must not go round for ever.
/// Guards: running.
pub fn lose(mut job: JobRecord, now_ms: i64) -> Result<JobRecord, Refusal> {
    let holder = match (job.state, job.holder.take()) {
        (JobState::Running, Some(holder)) => holder,
        _ => return Err(Refusal::NotRunning),
    };
    let failure = Failure {
        node: Some(holder.node.clone()),
        attempt: job.attempt,
        ..Failure::new(
            Class::Transient,
            HOLDER_LOST,
            format!("nothing was heard of {} for a whole lease while it ran this job", holder.node),
        )
        .mend("see on that machine why the process ended; out of memory is the usual reason")
    };
    spend(&mut job, failure, ATTEMPTS_MAX, "lost", now_ms);
    Ok(job)
}

/// An operator wants it run again.
///
/// Takes a `failed` or `dead` record. Returns it `ready` with all its attempts; what went wrong
/// stays written in it.
/// Guards: failed or dead.
pub fn redrive(mut job: JobRecord, now_ms: i64) -> Result<JobRecord, Refusal> {
    if !matches!(job.state, JobState::Failed | JobState::Dead) {
        return Err(Refusal::NotFailed(job.state));
    }
    make_ready(&mut job, now_ms);
    job.spent = 0;
    job.ended_ms = 0;
    job.output = None;
    tell(&mut job, "redriven", "retried", None, now_ms);
    Ok(job)
}

/// Its asset is cancelled.
///
/// Takes a `ready` or `running` record. Returns it `cancelled`; a holder sees that and stops.
/// Guards: not ended.
pub fn cancel(mut job: JobRecord, now_ms: i64) -> Result<JobRecord, Refusal> {
    if job.state.is_terminal() {
        return Err(Refusal::Ended(job.state));
    }
    job.state = JobState::Cancelled;
    job.holder = None;
    job.ended_ms = now_ms;
    tell(&mut job, "cancelled", "cancelled", None, now_ms);
    Ok(job)
}

/// Whether `holder` runs the job.
pub fn is_held_by(job: &JobRecord, holder: &Holder) -> bool {
    job.state == JobState::Running && job.holder.as_ref() == Some(holder)
}

fn held_by(job: &JobRecord, holder: &Holder) -> Result<(), Refusal> {
    if is_held_by(job, holder) { Ok(()) } else { Err(Refusal::NotHolder) }
}

fn make_ready(job: &mut JobRecord, now_ms: i64) {
    job.state = JobState::Ready;
    job.holder = None;
    job.ready_ms = now_ms;
}

/// Books a failed attempt and decides what comes next. `same_here`: attempts on one node that
/// blame the source.
fn spend(job: &mut JobRecord, failure: Failure, same_here: u32, transition: &str, now_ms: i64) {
    job.spent += 1;
    let failure = Failure { at_ms: now_ms, ready_ms: job.ready_ms, claimed_ms: job.claimed_ms, ..failure };
    let blame = blame_source(job, &failure, same_here);
    let class = failure.class;
    job.push_failure(failure.clone());
    let what = if let Some(blame) = blame {
        job.push_failure(blame);
        job.state = JobState::Failed;
        "failed"
    } else if matches!(class, Class::Input | Class::Bug) {
        job.state = JobState::Failed;
        "failed"
    } else if is_hopeless(job) {
        job.state = JobState::Dead;
        "dead"
    } else {
        make_ready(job, now_ms);
        "retried"
    };
    if job.state.is_terminal() {
        job.holder = None;
        job.ended_ms = now_ms;
    }
    let told = job.failures.last().cloned().unwrap_or(failure);
    tell(job, transition, what, Some(&told), now_ms);
}

/// Whether the source would be blamed if it happened once more: an encoder's or decoder's own
/// end, of a kind that a node alone does not explain.
pub(crate) fn may_blame_source(failure: &Failure) -> bool {
    let suspect = failure.code.starts_with(TOOL_SYMPTOM) && !NODE_SYMPTOMS.contains(&failure.code.as_str());
    failure.class == Class::Transient && suspect
}

/// Whether the failures since it was last redriven leave no attempt: each spent one left a failure.
fn is_hopeless(job: &JobRecord) -> bool {
    let ours = job.failures.iter().rev().take(job.spent as usize);
    let (lost, failed): (Vec<_>, Vec<_>) = ours.partition(|failure| failure.code == HOLDER_LOST);
    failed.len() >= ATTEMPTS_MAX as usize || lost.len() >= LOSSES_MAX as usize
}

/// The failure that blames the source, when `failure` repeats an earlier one of the same job
/// since it was last redriven: on another node, or `same_here` times in all.
fn blame_source(job: &JobRecord, failure: &Failure, same_here: u32) -> Option<Failure> {
    if !may_blame_source(failure) {
        return None;
    }
    // Every spent attempt left one failure, so these are the earlier ones of this drive.
    let earlier = job.failures.iter().rev().take(job.spent.saturating_sub(1) as usize);
    let same: Vec<_> = earlier.filter(|earlier| earlier.code == failure.code).collect();
    let elsewhere = same.iter().any(|earlier| earlier.node != failure.node);
    let always = same.len() + 1 >= same_here as usize;
    (elsewhere || always).then(|| Failure {
        evidence: failure.evidence.clone(),
        node: failure.node.clone(),
        attempt: failure.attempt,
        at_ms: failure.at_ms,
        ..Failure::input(
            SOURCE_BREAKS_ENCODER,
            format!("{} attempts ended the same way ({}): {}", same.len() + 1, failure.code, failure.reason),
        )
        .mend("check the source with another player or encoder, and submit a repaired copy")
    })
}

/// Writes an event into the record. `transition` tells apart the events of one attempt.
fn tell(job: &mut JobRecord, transition: &str, what: &str, failure: Option<&Failure>, now_ms: i64) {
    let (identity, folder) = origin(&job.spec);
    let channel = match &job.spec {
        JobSpec::Live(spec) => Some(spec.channel.clone()),
        _ => None,
    };
    let data = EventData {
        // A channel's jobs are filed under an id that nobody else knows.
        asset_id: channel.is_none().then_some(job.asset),
        channel_id: channel,
        job_id: Some(job.id),
        profile: Some(job.unit.clone()),
        input_checksum: identity.map(str::to_owned),
        output_uri: folder.map(str::to_owned),
        attempt: Some(job.attempt),
        status: Some(job.state.as_str().to_owned()),
        class: failure.map(|failure| failure.class),
        node: failure
            .and_then(|failure| failure.node.clone())
            .or_else(|| job.holder.as_ref().map(|holder| holder.node.clone())),
        reason: failure.map(|failure| failure.reason.clone()),
        purge_id: None,
    };
    let record = subject::job_record(job.asset, job.id);
    // A drained job is claimed again under the next attempt: the pair never repeats.
    let transition = format!("{transition}/{}", job.attempt);
    let kind = format!("{}.{what}", job.kind().as_str());
    let event = Event::derive(&record, &transition, kind, &job.tenant, now_ms, data);
    if job.unsent.len() == UNSENT_MAX {
        job.unsent.remove(0);
    }
    job.unsent.push(event);
}

/// Identity of the source and folder of the output, where a spec has them.
fn origin(spec: &JobSpec) -> (Option<&str>, Option<&str>) {
    match spec {
        JobSpec::Probe(_) | JobSpec::ValidatePart(_) | JobSpec::Live(_) => (None, None),
        JobSpec::Transcode(spec) => (Some(&spec.identity), Some(&spec.folder)),
        JobSpec::Audio(spec) => (Some(&spec.identity), Some(&spec.folder)),
        JobSpec::Package(spec) => (None, Some(&spec.folder)),
        JobSpec::ValidateWhole(spec) => (None, Some(&spec.package.folder)),
        JobSpec::Carry(spec) => origin(&spec.of),
        JobSpec::Archive(spec) => origin(&spec.of),
    }
}

#[cfg(test)]
#[path = "transition_tests.rs"]
mod tests;
