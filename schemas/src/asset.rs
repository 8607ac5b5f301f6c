//! Asset records.

use serde::{Deserialize, Serialize};

use crate::{
    api::{AudioView, Dropped, InputView, JobCounts, RenditionView, StageView},
    event::Event,
    failure::{Class, Failure},
    finding::Report,
    ids::{AssetId, Tenant},
    ladder::{Ladder, VideoCodec},
    lane::Priority,
    live::Cut,
    object::{Generation, StoredObject},
    source::Source,
    trace::TraceContext,
};

/// Newest format of asset records that this version reads.
pub const ASSET_VERSION: u32 = 3;

/// Where an asset is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssetState {
    /// Stored; being made.
    Accepted,
    /// Validated and visible.
    Published,
    /// Given up, with a reason.
    Failed,
    /// Cancelled by its owner.
    Cancelled,
    /// To be collected: nothing leaves this state.
    Doomed,
}

impl AssetState {
    /// Whether its jobs are at an end.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Accepted)
    }

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Published => "published",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Doomed => "doomed",
        }
    }
}

/// A title a tenant submitted, and the truth about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetRecord {
    /// Format of this record.
    pub v: u32,
    /// Its id.
    pub id: AssetId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Where it comes from.
    pub source: Source,
    /// The ladder as it was when submitted.
    pub ladder: Ladder,
    /// How urgent it is.
    pub priority: Priority,
    /// Where it is in its life.
    pub state: AssetState,
    /// The generation being made, or that was made last.
    pub generation: Generation,
    /// Encoder slots of the farm when it was planned: chunks are cut for them. Part of the record
    /// so that every planner plans the same jobs; 0 until the first one has written it.
    pub slots: u32,
    /// Codecs that a hardware encoder takes, decided together with `slots`.
    #[serde(default)]
    pub hardware: Vec<VideoCodec>,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// What viewers get.
    #[serde(default)]
    pub published: Option<Published>,
    /// Objects of generations up to this number are collected.
    #[serde(default)]
    pub collected: u32,
    /// Events that were decided together with this record and are not sent yet.
    #[serde(default)]
    pub unsent: Vec<Event>,
    /// Root of its trace.
    #[serde(default)]
    pub trace: TraceContext,
    /// When it was submitted, Unix milliseconds.
    pub submitted_ms: i64,
    /// When it was published, failed or cancelled, Unix milliseconds; 0 before.
    #[serde(default)]
    pub ended_ms: i64,
    /// The repair of what is published: under way, or the last one where it failed.
    #[serde(default)]
    pub repair: Option<Repair>,
    /// When a repair was published last, Unix milliseconds; 0 before.
    #[serde(default)]
    pub repaired_ms: i64,
    /// How often it was planned anew because no node left made the init that was stored.
    #[serde(default)]
    pub anew: u32,
    /// What its jobs told of it, so that they need not be kept; `None` before they are folded.
    #[serde(default)]
    pub shown: Option<Box<Shown>>,
    /// Where its segments lie in a channel: of titles that are kept of one.
    #[serde(default)]
    pub cut: Option<Box<Cut>>,
}

/// A generation that viewers get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The generation.
    pub generation: Generation,
    /// Its multivariant playlist.
    pub master: StoredObject,
    /// Its DASH manifest.
    pub mpd: StoredObject,
    /// Everything it consists of ([`crate::index::GenerationIndex`]); `None` before its jobs are
    /// folded into it.
    #[serde(default)]
    pub index: Option<StoredObject>,
}

/// A generation that takes the place of a damaged one, which stays what viewers get until this
/// one is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// The generation being made.
    pub generation: Generation,
    /// The index of what is published: where undamaged parts are taken from.
    pub index: StoredObject,
    /// Units that are encoded again; all others are carried over.
    pub damaged: Vec<String>,
    /// Whether it was planned anew because of an init.
    #[serde(default)]
    pub anew: bool,
    /// When it was begun, Unix milliseconds.
    pub since_ms: i64,
    /// Why it was given up.
    #[serde(default)]
    pub failure: Option<Failure>,
}

/// What is shown of a published generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The source as the probe saw it.
    pub input: InputView,
    /// The picture.
    pub renditions: Vec<RenditionView>,
    /// The sound.
    pub audio: Vec<AudioView>,
    /// What was left out.
    pub dropped: Vec<Dropped>,
    /// Its stages.
    pub stages: Vec<StageView>,
    /// How many jobs it took.
    pub jobs: JobCounts,
    /// When its last segment was committed, Unix milliseconds.
    pub last_segment_ms: Option<i64>,
    /// What validation said.
    pub report: Report,
}

impl AssetRecord {
    /// Oldest format that knows where it comes from, and what is planned on which hardware. An older scheduler
    /// that did not would plan other jobs under the same names.
    pub fn version_for(source: &Source, hardware: &[VideoCodec]) -> u32 {
        match source {
            Source::Channel { .. } => ASSET_VERSION,
            _ if hardware.is_empty() => 1,
            _ => 2,
        }
    }

    /// The repair that is under way.
    pub fn repairing(&self) -> Option<&Repair> {
        let repair = self.repair.as_ref()?;
        (self.state == AssetState::Published && repair.failure.is_none()).then_some(repair)
    }

    /// The generation whose jobs are wanted now; `None` at an end.
    pub fn making(&self) -> Option<&Generation> {
        match self.state {
            AssetState::Accepted => Some(&self.generation),
            _ => self.repairing().map(|repair| &repair.generation),
        }
    }

    /// Generations whose objects are wanted, now or perhaps later. Whatever else is stored of the
    /// asset will never be published: every generation begins with a name of its own.
    pub fn kept(&self) -> Vec<&Generation> {
        let mut kept: Vec<_> = self.making().into_iter().collect();
        match self.state {
            AssetState::Doomed => return Vec::new(),
            // Its source's fault aside, a failed asset can be redriven.
            AssetState::Failed if !self.is_hopeless() => kept.push(&self.generation),
            _ => {}
        }
        kept.extend(self.published.as_ref().map(|published| &published.generation));
        kept
    }

    fn is_hopeless(&self) -> bool {
        match self.state {
            AssetState::Accepted | AssetState::Published => false,
            AssetState::Cancelled | AssetState::Doomed => true,
            // Any other class can be redriven, and keeps its finished segments for it.
            AssetState::Failed => self.failure.as_ref().is_some_and(|failure| failure.class == Class::Input),
        }
    }

    /// Numbers of the generations nobody will ever publish, and whose objects may still be there.
    /// Nothing leaves this range but by being collected: a retry makes a generation of its own.
    pub fn doomed(&self) -> std::ops::RangeInclusive<u32> {
        let number = self.generation.number;
        self.collected + 1..=if self.is_hopeless() { number } else { number.saturating_sub(1) }
    }
}
