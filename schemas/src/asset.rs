//! Asset records.

use serde::{Deserialize, Serialize};

use crate::{
    event::Event,
    failure::{Class, Failure},
    ids::{AssetId, Tenant},
    ladder::Ladder,
    lane::Priority,
    object::{Generation, StoredObject},
    source::Source,
    trace::TraceContext,
};

/// Format of asset records written by this version.
pub const ASSET_VERSION: u32 = 1;

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
}

impl AssetRecord {
    /// Numbers of the generations nobody will ever publish, and whose objects may still be there.
    /// Nothing leaves this range but by being collected: a retry makes a generation of its own.
    pub fn doomed(&self) -> std::ops::RangeInclusive<u32> {
        let number = self.generation.number;
        let hopeless = match self.state {
            AssetState::Accepted | AssetState::Published => false,
            AssetState::Cancelled | AssetState::Doomed => true,
            // Any other class can be redriven, and keeps its finished segments for it.
            AssetState::Failed => self.failure.as_ref().is_some_and(|failure| failure.class == Class::Input),
        };
        self.collected + 1..=if hopeless { number } else { number.saturating_sub(1) }
    }
}
