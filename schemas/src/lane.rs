//! Lanes: subjects that group jobs with the same needs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{inventory::Engine, job::JobKind, ladder::VideoCodec};

/// How urgent a job is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Channels: what is late is lost. Not for titles.
    Live,
    /// Before everything but live.
    Urgent,
    /// The usual.
    #[default]
    Standard,
    /// When nothing else waits.
    Bulk,
}

impl Priority {
    /// All of them, most urgent first.
    pub const ALL: [Self; 4] = [Self::Live, Self::Urgent, Self::Standard, Self::Bulk];

    /// The token in subjects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Urgent => "urgent",
            Self::Standard => "standard",
            Self::Bulk => "bulk",
        }
    }
}

/// What a transcode job demands of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Demand {
    /// The encoder of an NVIDIA GPU: planned so, and its rendition's init is that encoder's.
    Nvenc,
    /// Software will do.
    Any,
}

impl Demand {
    /// All of them; hardware first, which nothing else can use.
    pub const ALL: [Self; 2] = [Self::Nvenc, Self::Any];

    /// The token in subjects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nvenc => "nvenc",
            Self::Any => "any",
        }
    }

    /// What encodes a job that demands this.
    pub const fn engine(self) -> Engine {
        match self {
            Self::Nvenc => Engine::Nvenc,
            Self::Any => Engine::Software,
        }
    }
}

/// Class of the summed pixel rate of a transcode job, so that a nearly full encoder takes a small
/// job instead of blocking on a big one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Up to about a 720p ladder at 30 frames/s.
    Small,
    /// Up to about a 1080p ladder at 60 frames/s.
    Medium,
    /// Everything above.
    Large,
}

impl Size {
    /// All of them, largest first: a free encoder prefers the job that only it can take.
    pub const ALL: [Self; 3] = [Self::Large, Self::Medium, Self::Small];

    /// The class of a summed pixel rate, in pixels per second over all rungs.
    pub const fn of_pixel_rate(pixels_per_s: u64) -> Self {
        const SMALL_MAX: u64 = 64_000_000;
        const MEDIUM_MAX: u64 = 256_000_000;
        if pixels_per_s <= SMALL_MAX {
            Self::Small
        } else if pixels_per_s <= MEDIUM_MAX {
            Self::Medium
        } else {
            Self::Large
        }
    }

    /// The token in subjects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

/// Where a job waits. Its subject is `jobs.` + lane + `.` + job id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lane {
    /// A job that needs no encoder: `<kind>.<priority>`.
    Plain {
        /// Its kind.
        kind: JobKind,
        /// Its priority.
        priority: Priority,
    },
    /// A chunk, `transcode.<engine>.<codec>.<size>.<priority>`, or a channel, `live.<...>.live`.
    Encode {
        /// What it demands.
        engine: Demand,
        /// Its codec.
        codec: VideoCodec,
        /// Its size class.
        size: Size,
        /// Its priority.
        priority: Priority,
    },
}

impl Lane {
    /// Every lane of `kinds`, in the order a worker sweeps them: by priority, then kind, then what they
    /// demand, then size. Channels are encodes of a priority of their own.
    pub fn all(kinds: &[JobKind]) -> Vec<Self> {
        let mut lanes = Vec::new();
        for priority in Priority::ALL {
            for &kind in kinds.iter().filter(|kind| (**kind == JobKind::Live) == (priority == Priority::Live)) {
                if matches!(kind, JobKind::Transcode | JobKind::Live) {
                    for engine in Demand::ALL {
                        for size in Size::ALL {
                            let lane = |codec| Self::Encode { engine, codec, size, priority };
                            lanes.extend(VideoCodec::ALL.map(lane));
                        }
                    }
                } else {
                    lanes.push(Self::Plain { kind, priority });
                }
            }
        }
        lanes
    }

    /// How urgent its jobs are.
    pub const fn priority(self) -> Priority {
        match self {
            Self::Plain { priority, .. } | Self::Encode { priority, .. } => priority,
        }
    }

    /// What its jobs demand; `None` where they need no encoder.
    pub const fn demand(self) -> Option<Demand> {
        match self {
            Self::Plain { .. } => None,
            Self::Encode { engine, .. } => Some(engine),
        }
    }

    /// The kind of its jobs.
    pub const fn kind(self) -> JobKind {
        match self {
            Self::Plain { kind, .. } => kind,
            Self::Encode { priority: Priority::Live, .. } => JobKind::Live,
            Self::Encode { .. } => JobKind::Transcode,
        }
    }

    /// Oldest format of job records that knows it: GPUs came with the second, channels with the third.
    pub const fn job_version(self) -> u32 {
        match self {
            Self::Encode { priority: Priority::Live, .. } => 3,
            Self::Encode { engine: Demand::Nvenc, .. } => 2,
            Self::Encode { .. } | Self::Plain { .. } => 1,
        }
    }

    /// The codec that must be encoded to serve it; `None` where it needs no encoder.
    pub const fn codec(self) -> Option<VideoCodec> {
        match self {
            Self::Plain { .. } => None,
            Self::Encode { codec, .. } => Some(codec),
        }
    }

    /// Subject filter of the lane's consumer.
    pub fn filter(self) -> String {
        format!("jobs.{self}.*")
    }

    /// Name of the lane's durable consumer (no dots allowed there).
    pub fn consumer(self) -> String {
        self.to_string().replace('.', "_")
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { kind, priority } => write!(f, "{}.{}", kind.as_str(), priority.as_str()),
            Self::Encode { engine, codec, size, priority } => {
                let (kind, engine, codec) = (self.kind().as_str(), engine.as_str(), codec.as_str());
                write!(f, "{kind}.{engine}.{codec}.{}.{}", size.as_str(), priority.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_disjoint_and_sorted_by_priority() {
        let lanes = Lane::all(&JobKind::ALL);
        let filters: std::collections::BTreeSet<_> = lanes.iter().map(|lane| lane.filter()).collect();
        let consumers: std::collections::BTreeSet<_> = lanes.iter().map(|lane| lane.consumer()).collect();
        assert_eq!(filters.len(), lanes.len());
        assert_eq!(consumers.len(), lanes.len());
        let priorities: Vec<_> = lanes.iter().map(|lane| lane.priority()).collect();
        assert!(priorities.is_sorted());
        let live = lanes.iter().filter(|lane| lane.priority() == Priority::Live);
        assert!(live.clone().count() > 0 && live.clone().all(|lane| lane.demand().is_some()));
    }
}
