//! Job records.

use serde::{Deserialize, Serialize};

use crate::{
    event::Event,
    failure::Failure,
    holder::Holder,
    ids::{AssetId, JobId, NodeId, Tenant},
    key::job_key,
    lane::{Lane, Priority},
    load::Load,
    spec::{JobOutput, JobSpec},
    trace::TraceContext,
};

/// Newest format of job records that this version reads. It is written only where it is needed, so that
/// an older farm beside this one goes on with everything else.
pub const JOB_VERSION: u32 = 4;
/// Most failures kept in a record; the oldest go first.
pub const FAILURES_MAX: usize = 16;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Index a source.
    Probe,
    /// Encode a chunk.
    Transcode,
    /// Encode a sound track.
    Audio,
    /// Write manifests.
    Package,
    /// Check an output.
    Validate,
    /// Encode a channel, for as long as it is wanted.
    Live,
}

impl JobKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Probe, Self::Transcode, Self::Audio, Self::Package, Self::Validate, Self::Live];

    /// The name in subjects, events and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Transcode => "transcode",
            Self::Audio => "audio",
            Self::Package => "package",
            Self::Validate => "validate",
            Self::Live => "live",
        }
    }
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// May be claimed.
    Ready,
    /// Held.
    Running,
    /// Committed.
    Done,
    /// Failed as `input` or `bug`: no retry helps.
    Failed,
    /// Attempts spent: kept, shown, can be redriven.
    Dead,
    /// Cancelled with its asset.
    Cancelled,
}

impl JobState {
    /// Whether nothing but an operator changes it.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Ready | Self::Running)
    }

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One unit on the queue, and the truth about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Format of this record.
    pub v: u32,
    /// Derived id.
    pub id: JobId,
    /// blake3 of everything that determines the output, hexadecimal.
    pub key: String,
    /// Asset it belongs to.
    pub asset: AssetId,
    /// Generation of the asset.
    pub generation: u32,
    /// What it is within the generation: `transcode/h264/0003`.
    pub unit: String,
    /// How many times validation has asked for it anew.
    pub round: u32,
    /// Tenant.
    pub tenant: Tenant,
    /// Lane it waits in.
    pub lane: Lane,
    /// What to do.
    pub spec: JobSpec,
    /// Where it is in its life.
    pub state: JobState,
    /// Claims so far.
    pub attempt: u32,
    /// Failed attempts that count against the limit: outages and drains do not.
    pub spent: u32,
    /// Who runs it.
    #[serde(default)]
    pub holder: Option<Holder>,
    /// What went wrong, oldest first, at most [`FAILURES_MAX`].
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// What it made.
    #[serde(default)]
    pub output: Option<JobOutput>,
    /// Events that were decided together with this record and are not sent yet.
    #[serde(default)]
    pub unsent: Vec<Event>,
    /// Parent of every span of this job.
    #[serde(default)]
    pub trace: TraceContext,
    /// When it was last made ready, Unix milliseconds.
    pub ready_ms: i64,
    /// When it was last claimed, Unix milliseconds; 0 before.
    #[serde(default)]
    pub claimed_ms: i64,
    /// When it ended, Unix milliseconds; 0 before.
    #[serde(default)]
    pub ended_ms: i64,
    /// The node whose output of this unit a validation rejected: it leaves the job to others for
    /// a while.
    #[serde(default)]
    pub avoid: Option<NodeId>,
}

impl JobRecord {
    /// A job of a first round that nobody has claimed yet.
    pub fn ready(
        asset: AssetId,
        generation: u32,
        unit: String,
        tenant: Tenant,
        lane: Lane,
        spec: JobSpec,
        ready_ms: i64,
    ) -> Self {
        Self {
            v: lane.job_version().max(spec.job_version()),
            id: JobId::derive(asset, generation, &unit, 0),
            key: job_key(&spec, 0),
            asset,
            generation,
            unit,
            round: 0,
            tenant,
            lane,
            spec,
            state: JobState::Ready,
            attempt: 0,
            spent: 0,
            holder: None,
            failures: Vec::new(),
            output: None,
            unsent: Vec::new(),
            trace: TraceContext::default(),
            ready_ms,
            claimed_ms: 0,
            ended_ms: 0,
            avoid: None,
        }
    }

    /// What it does.
    pub const fn kind(&self) -> JobKind {
        self.spec.kind()
    }

    /// How urgent it is.
    pub const fn priority(&self) -> Priority {
        self.lane.priority()
    }

    /// Adds a failure, dropping the oldest over the bound.
    pub fn push_failure(&mut self, failure: Failure) {
        if self.failures.len() == FAILURES_MAX {
            self.failures.remove(0);
        }
        self.failures.push(failure);
    }
}

impl JobSpec {
    /// The kind of job that does this.
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Probe(_) => JobKind::Probe,
            Self::Transcode(_) => JobKind::Transcode,
            Self::Audio(_) => JobKind::Audio,
            // The packager's work as well: they copy what is there, and encode nothing.
            Self::Package(_) | Self::Carry(_) | Self::Archive(_) => JobKind::Package,
            Self::ValidatePart(_) | Self::ValidateWhole(_) => JobKind::Validate,
            Self::Live(_) => JobKind::Live,
        }
    }
}

/// The message on the queue: "look at this record now".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Format of this message.
    pub v: u32,
    /// Key of the record.
    pub record: String,
    /// Revision of the record that was made ready: a reader that finds an older one waits.
    pub revision: u64,
    /// What the job takes of a machine: asked before it is claimed.
    #[serde(default, skip_serializing_if = "Load::is_none")]
    pub load: Load,
}
