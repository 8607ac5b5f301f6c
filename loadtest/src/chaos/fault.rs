//! What can be done to a farm, as plain data.

use serde::Serialize;

use crate::rig::{Link, Member, Trouble};

/// Schedulers of the farm.
pub const SCHEDULERS: u8 = 2;
/// Workers of the farm.
pub const WORKERS: u8 = 3;
/// Packagers of the farm.
pub const PACKAGERS: u8 = 2;

/// All processes of the farm that run a role.
pub fn members() -> Vec<Member> {
    let schedulers = (1..=SCHEDULERS).map(Member::Scheduler);
    let workers = (1..=WORKERS).map(Member::Worker);
    schedulers.chain(workers).chain((1..=PACKAGERS).map(Member::Packager)).collect()
}

/// Who is struck. A plan cannot know who will be at work; it says how to choose then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// This one.
    Member(Member),
    /// One of the workers that hold a job at that moment: the `pick`-th, counted round and round.
    BusyWorker(u64),
}

/// What the next encoder of a worker does instead of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trick {
    /// Breaks at its start.
    Crash,
    /// Hangs without a sign of life.
    Hang,
    /// Floods stderr, and does its work.
    Flood,
    /// Encodes a part of its input and ends with exit code 0.
    Short,
    /// Leaves a child of its own, which holds its pipes open, in its process group.
    Grandchild,
    /// Leaves a child of its own in a session of its own.
    Escape,
}

impl Trick {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Crash, Self::Hang, Self::Flood, Self::Short, Self::Grandchild, Self::Escape];

    /// The name in the control file and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Flood => "flood",
            Self::Short => "short",
            Self::Grandchild => "grandchild",
            Self::Escape => "escape",
        }
    }
}

/// One fault. Times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// SIGKILL to a process, which is started again after a pause.
    Kill {
        /// Which.
        whom: Whom,
        /// The pause.
        pause_ms: u64,
    },
    /// SIGSTOP to a process, and SIGCONT after a time.
    Stop {
        /// Which.
        whom: Whom,
        /// The time.
        for_ms: u64,
    },
    /// SIGKILL to one ffmpeg.
    KillEncoder {
        /// The `pick`-th of those that run, counted round and round.
        pick: u64,
    },
    /// SIGSTOP to one ffmpeg, and SIGCONT after a time.
    StopEncoder {
        /// As above.
        pick: u64,
        /// The time.
        for_ms: u64,
    },
    /// SIGKILL to NATS, which is started again on the same data after a time.
    KillNats {
        /// The time.
        for_ms: u64,
    },
    /// One process loses a connection.
    Network {
        /// Which process.
        member: Member,
        /// To what.
        link: Link,
        /// How.
        trouble: Trouble,
        /// How long.
        for_ms: u64,
    },
    /// The store is in trouble, for everybody.
    Store {
        /// How.
        trouble: Trouble,
        /// How long.
        for_ms: u64,
    },
    /// The next encoder of a worker goes wrong.
    Trick {
        /// Which worker.
        worker: u8,
        /// How.
        trick: Trick,
    },
}

impl Fault {
    /// The name under which it is counted.
    pub fn kind(&self) -> String {
        match self {
            Self::Kill { whom, .. } => format!("kill {}", role(*whom)),
            Self::Stop { whom, .. } => format!("stop {}", role(*whom)),
            Self::KillEncoder { .. } => "kill ffmpeg".to_owned(),
            Self::StopEncoder { .. } => "stop ffmpeg".to_owned(),
            Self::KillNats { .. } => "kill nats".to_owned(),
            Self::Network { link: Link::Nats, trouble, .. } => format!("network nats {}", trouble.name()),
            Self::Network { link: Link::Store, trouble, .. } => format!("network store {}", trouble.name()),
            Self::Store { trouble, .. } => format!("store {}", trouble.name()),
            Self::Trick { trick, .. } => format!("ffmpeg {}", trick.name()),
        }
    }

    /// How long it lasts; a struck process that is killed is away for its pause.
    pub const fn length_ms(&self) -> u64 {
        match *self {
            Self::Kill { pause_ms, .. } => pause_ms,
            Self::Stop { for_ms, .. }
            | Self::StopEncoder { for_ms, .. }
            | Self::KillNats { for_ms }
            | Self::Network { for_ms, .. }
            | Self::Store { for_ms, .. } => for_ms,
            Self::KillEncoder { .. } | Self::Trick { .. } => 0,
        }
    }

    /// Whether something is killed by it.
    pub const fn is_kill(&self) -> bool {
        matches!(self, Self::Kill { .. } | Self::KillEncoder { .. } | Self::KillNats { .. })
    }
}

const fn role(whom: Whom) -> &'static str {
    match whom {
        Whom::Member(member) => member.role(),
        Whom::BusyWorker(_) => "worker",
    }
}
