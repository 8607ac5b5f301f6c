//! Arguments of the operator's commands.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use framemill_schemas::{api::AccessRole, lane::Priority};

/// `framemill submit`.
#[derive(Clone, Debug, Args)]
pub struct Submit {
    /// http(s)://, s3://bucket/key, or the path of a file every worker can read
    pub source: String,
    /// A ladder by name, or a YAML file with one
    #[arg(long, value_name = "L")]
    pub ladder: Option<String>,
    /// Whose title it is [default: the key's tenant]
    #[arg(long, value_name = "T")]
    pub tenant: Option<String>,
    /// How urgent it is
    #[arg(long, value_name = "P", default_value = "standard")]
    pub priority: PriorityArg,
    /// Submitting again with the same key within a day gives the same title
    #[arg(long, value_name = "K")]
    pub idempotency_key: Option<String>,
    /// Wait for its end and show what happens
    #[arg(long)]
    pub watch: bool,
    /// Give up watching after this many seconds [default: never]
    #[arg(long, value_name = "SECONDS", requires = "watch")]
    pub timeout: Option<u64>,
}

/// A priority on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PriorityArg {
    /// Before everything but live
    Urgent,
    /// The usual
    Standard,
    /// When nothing else waits
    Bulk,
}

impl From<PriorityArg> for Priority {
    fn from(arg: PriorityArg) -> Self {
        match arg {
            PriorityArg::Urgent => Self::Urgent,
            PriorityArg::Standard => Self::Standard,
            PriorityArg::Bulk => Self::Bulk,
        }
    }
}

/// `framemill asset`.
#[derive(Clone, Debug, Subcommand)]
pub enum Asset {
    /// List titles, newest first
    Ls {
        /// Only those in this state: accepted, published, failed, cancelled, doomed
        #[arg(long)]
        state: Option<String>,
        /// Only those of this tenant
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Show one title: its stages, renditions and findings
    Show {
        /// Its id
        id: String,
    },
    /// Stop making a title
    Cancel {
        /// Its id
        id: String,
    },
    /// Make a title that failed or was cancelled anew
    Retry {
        /// Its id
        id: String,
    },
    /// Cancel a title where it is being made, and remove what it published
    Rm {
        /// Its id
        id: String,
    },
    /// Look whether a published asset's objects are still what was validated
    Check {
        /// Its id
        id: String,
    },
    /// Show what validation found
    Report {
        /// Its id
        id: String,
    },
    /// Wait for its end and show what happens
    Watch {
        /// Its id
        id: String,
        /// Give up after this many seconds [default: never]
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
    },
}

/// `framemill job`.
#[derive(Clone, Debug, Subcommand)]
pub enum Job {
    /// List jobs
    Ls {
        /// Only those of this title
        #[arg(long)]
        asset: Option<String>,
        /// Only those in this state: ready, running, done, failed, dead, cancelled
        #[arg(long)]
        state: Option<String>,
    },
    /// Show one job and what went wrong with it
    Show {
        /// Its id
        id: String,
    },
    /// Make a job that failed or is dead ready again
    Retry {
        /// Its id
        id: String,
    },
}

/// `framemill dead`.
#[derive(Clone, Debug, Subcommand)]
pub enum Dead {
    /// List dead jobs
    Ls,
    /// Show one
    Show {
        /// Its id
        id: String,
    },
    /// Make one ready again
    Redrive {
        /// Its id
        id: String,
    },
    /// Give one up; its title fails
    Drop {
        /// Its id
        id: String,
    },
}

/// `framemill key`.
#[derive(Clone, Debug, Subcommand)]
pub enum Key {
    /// Create a key; it is shown this one time
    Create {
        /// Tenant the key is bound to
        #[arg(long, default_value = "default")]
        tenant: String,
        /// What it may do
        #[arg(long, default_value = "operator")]
        role: RoleArg,
        /// What people call it
        #[arg(long, default_value = "")]
        label: String,
    },
    /// List keys
    Ls,
    /// Revoke a key
    Revoke {
        /// Its id, as `key ls` shows it
        id: String,
    },
}

/// A role on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleArg {
    /// Look
    Viewer,
    /// Submit, cancel, retry, remove
    Operator,
    /// Keys
    Admin,
}

impl From<RoleArg> for AccessRole {
    fn from(arg: RoleArg) -> Self {
        match arg {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Admin => Self::Admin,
        }
    }
}

/// `framemill event`.
#[derive(Clone, Debug, Subcommand)]
pub enum Event {
    /// Show events as they happen
    Tail {
        /// Begin after this one instead of now
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
}

/// `framemill ladder`.
#[derive(Clone, Debug, Subcommand)]
pub enum Ladder {
    /// List the ladders the farm knows
    Ls,
    /// Show one
    Show {
        /// Its name
        name: String,
    },
    /// Check a file without sending it anywhere
    Check {
        /// The file
        file: PathBuf,
    },
}

/// `framemill config`.
#[derive(Clone, Debug, Subcommand)]
pub enum Config {
    /// Show the effective configuration, secrets masked
    Show,
    /// Check a file
    Check {
        /// The file [default: the one the other commands would read]
        file: Option<PathBuf>,
    },
}

/// `framemill completions`.
#[derive(Clone, Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `framemill loadtest`.
#[derive(Clone, Debug, Subcommand)]
pub enum Loadtest {
    /// Benchmarks
    #[command(subcommand)]
    Bench(Bench),
}

/// `framemill loadtest bench`.
#[derive(Clone, Debug, Subcommand)]
pub enum Bench {
    /// Encode a file by one plain ffmpeg and through the farm, in turns, and compare
    Vod {
        /// The file
        file: PathBuf,
        /// A shipped ladder by name, or a YAML file with one
        #[arg(long, value_name = "L")]
        ladder: Option<String>,
        /// Runs of each side
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
        runs: u64,
        /// Leave the quality out: measuring it decodes everything again
        #[arg(long)]
        no_quality: bool,
    },
}
