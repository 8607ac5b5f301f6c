//! The processes of a farm, their connections, and what can be wrong with those.

use std::fmt;

use serde::Serialize;

/// A process of the farm that runs a role. Numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub enum Member {
    /// A scheduler.
    Scheduler(u8),
    /// A worker.
    Worker(u8),
    /// A packager.
    Packager(u8),
}

impl Member {
    /// The command that runs it.
    pub const fn role(self) -> &'static str {
        match self {
            Self::Scheduler(_) => "scheduler",
            Self::Worker(_) => "worker",
            Self::Packager(_) => "packager",
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Scheduler(number) | Self::Worker(number) | Self::Packager(number)) = self;
        write!(f, "{}-{number}", self.role())
    }
}

impl From<Member> for String {
    fn from(member: Member) -> Self {
        member.to_string()
    }
}

/// A connection of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// To NATS.
    Nats,
    /// To the store.
    Store,
}

/// What is wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Open connections break, new ones are closed at once.
    Refuse,
    /// Nothing comes through in either direction, and nothing is closed.
    Stall,
    /// Each connection is closed after so many bytes: in the middle of a body.
    Cut(u32),
    /// Requests are answered with this HTTP status; the store never sees them.
    Answer(u16),
}

impl Trouble {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refused",
            Self::Stall => "stalled",
            Self::Cut(_) => "cut-in-mid-body",
            Self::Answer(500) => "answers-500",
            Self::Answer(507) => "full",
            Self::Answer(_) => "answers-503",
        }
    }
}
