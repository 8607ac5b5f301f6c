//! Arguments of the operator's commands.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use framemill_schemas::{
    api::AccessRole,
    lane::Priority,
    node::{DRAIN_DEADLINE_S, DRAIN_DEADLINE_S_MAX},
};

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
    #[command(flatten)]
    pub title: NewTitle,
}

/// What whoever asks for a new title may say of it, wherever it comes from.
#[derive(Clone, Debug, Args)]
pub struct NewTitle {
    /// How urgent it is
    #[arg(long, value_name = "P", default_value = "standard")]
    pub priority: PriorityArg,
    /// Asking again with the same key within a day gives the same title
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
        /// Read every object and compare its digest
        #[arg(long)]
        deep: bool,
        /// Mend what is found: damaged parts are encoded again, in a new generation
        #[arg(long)]
        repair: bool,
        /// Wait until it is mended
        #[arg(long, requires = "repair")]
        watch: bool,
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

/// Which jobs are meant. A failure that was asked for is one that fits all of class, code and node.
#[derive(Clone, Debug, Default, Args)]
pub struct JobFilter {
    /// Only those of this title
    #[arg(long, value_name = "ID")]
    pub asset: Option<String>,
    /// Only those of this tenant
    #[arg(long, value_name = "T")]
    pub tenant: Option<String>,
    /// Only those of this kind: probe, transcode, audio, package, validate
    #[arg(long)]
    pub kind: Option<String>,
    /// Only those with a failure of this class: input, transient, resource, bug
    #[arg(long)]
    pub class: Option<String>,
    /// Only those with a failure of this code, for example ffmpeg-crashed
    #[arg(long)]
    pub code: Option<String>,
    /// Only those with a failure on this node
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
}

impl JobFilter {
    /// As the parameters of a query.
    pub fn query(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("asset", self.asset.as_deref()),
            ("tenant", self.tenant.as_deref()),
            ("kind", self.kind.as_deref()),
            ("class", self.class.as_deref()),
            ("code", self.code.as_deref()),
            ("node", self.node.as_deref()),
        ]
    }
}

/// `framemill capacity`.
#[derive(Clone, Debug, Args)]
pub struct Capacity {
    /// A fleet, as models and numbers: l4=8,t4=2; without it, the GPUs of the present one
    #[arg(long = "gpu", value_name = "MODEL=N", value_delimiter = ',')]
    pub gpus: Vec<String>,
    /// What each channel is encoded to: a name, or a file
    #[arg(long, value_name = "L")]
    pub ladder: Option<String>,
    /// What is shown
    #[arg(long, value_enum, default_value_t = Content::Sport)]
    pub content: Content,
    /// Every viewer gets a watermark of their own
    #[arg(long)]
    pub watermark: bool,
    /// How well it is encoded
    #[arg(long, value_enum, default_value_t = GpuPreset::P5)]
    pub preset: GpuPreset,
    /// Pictures a second
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub rate: u32,
    /// How many watch at once
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub viewers: u64,
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Content {
    /// Fast: it takes the most
    Sport,
    /// Heads that talk
    News,
}

/// A preset that rates are published for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GpuPreset {
    /// The quickest
    P1,
    /// Quick
    P3,
    /// What channels mostly use
    P5,
    /// The best
    P7,
}

/// `framemill gc`.
#[derive(Clone, Debug, Args)]
pub struct Gc {
    /// Delete nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `framemill job`.
#[derive(Clone, Debug, Subcommand)]
pub enum Job {
    /// List jobs
    Ls {
        /// Only those in this state: ready, running, done, failed, dead, cancelled
        #[arg(long)]
        state: Option<String>,
        /// Which ones
        #[command(flatten)]
        filter: JobFilter,
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
    Ls(JobFilter),
    /// Show one, with every attempt's node, class, reason and what its tool said last
    Show {
        /// Its id
        id: String,
    },
    /// Make one, or all that fit, ready again; what is stored of them is kept
    Redrive(DeadChoice),
    /// Give one, or all that fit, up; their titles stay failed
    Drop(DeadChoice),
}

/// One dead job, or all that fit.
#[derive(Clone, Debug, Args)]
pub struct DeadChoice {
    /// Its id
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub id: Option<String>,
    /// All dead jobs, or those that the filters let through
    #[arg(long)]
    pub all: bool,
    /// Which ones of all
    #[command(flatten)]
    pub filter: JobFilter,
    /// Change nothing; say what would be
    #[arg(long, requires = "all")]
    pub dry_run: bool,
}

/// `framemill node`.
#[derive(Clone, Debug, Subcommand)]
pub enum Node {
    /// List nodes
    Ls,
    /// Show one: its state and why, what it runs, what failed on it
    Show {
        /// Its name
        id: String,
    },
    /// Take one out: it finishes what it runs, and hands that back after a deadline
    Drain {
        /// Its name
        id: String,
        /// Seconds it may finish what it runs
        #[arg(long, value_name = "SECONDS", default_value_t = DRAIN_DEADLINE_S,
              value_parser = clap::value_parser!(u32).range(0..=i64::from(DRAIN_DEADLINE_S_MAX)))]
        deadline: u32,
        /// Wait until it runs nothing any more
        #[arg(long)]
        wait: bool,
    },
    /// Let one take jobs again, whoever took it out
    Resume {
        /// Its name
        id: String,
    },
    /// Keep one from taking jobs until it is resumed; what it runs goes on
    Quarantine {
        /// Its name
        id: String,
        /// For whoever looks at it later
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
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
        /// Write it into the farm's NATS, past the API: how a farm that asks for keys gets its first
        #[arg(long)]
        direct: bool,
        /// With --direct: the data folder of the `up` that runs here [default: as configured]
        #[arg(long, value_name = "DIR", requires = "direct")]
        data: Option<PathBuf>,
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
    /// Give out tokens and revoke them
    Issuer,
    /// Submit, cancel, retry, remove
    Operator,
    /// Keys
    Admin,
}

impl From<RoleArg> for AccessRole {
    fn from(arg: RoleArg) -> Self {
        match arg {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Issuer => Self::Issuer,
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
    /// Break a farm of this machine in every way at seeded moments, and judge what it made
    Chaos(Chaos),
    /// Fill a fleet of simulated GPUs with jobs, and judge how the claim policy does
    Fleet(Fleet),
    /// Put channels on air on a farm of this machine, strike it, and judge every picture that viewers got
    #[command(subcommand)]
    Live(super::live_load::Live),
}

/// `framemill loadtest fleet`.
#[derive(Clone, Debug, Args)]
pub struct Fleet {
    /// Nodes, of mixed simulated GPUs
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=5000))]
    pub nodes: u64,
    /// Jobs, of mixed size
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=200_000))]
    pub jobs: u64,
    /// Largest jobs, which come once the fleet is full
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub large: u64,
    /// Nodes whose GPUs open fewer sessions for a while than their drivers are known for
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=5000))]
    pub liars: u64,
    /// Seconds of media of a job, at most
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=600))]
    pub media: u64,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub limit: u64,
    /// Draw the run as an SVG into this file
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
}

/// `framemill loadtest chaos`.
#[derive(Clone, Debug, Args)]
pub struct Chaos {
    /// Decides what happens when; the same one strikes the same way again [default: one that is new]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How long faults happen
    #[arg(long, value_name = "M", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub minutes: u64,
    /// Show the faults of this seed, and do nothing
    #[arg(long)]
    pub plan: bool,
    /// How long the farm may take to come to rest afterwards
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub settle: u64,
    /// Folder of logs and data [default: a temporary one, kept when something is found]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// `framemill doctor`.
#[derive(Clone, Debug, Args)]
pub struct Doctor {
    /// One JSON document with the inventory, the readings of GPUs and the findings, to attach where
    /// somebody else is to understand this machine
    #[arg(long)]
    pub report: bool,
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
    /// Take jobs that do nothing through the whole queue, and compare with a bare loop
    Queue(BenchQueue),
}

/// `framemill loadtest bench queue`.
#[derive(Clone, Debug, Args)]
pub struct BenchQueue {
    /// Jobs of each round on each side
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub jobs: u64,
    /// Rounds, in turns with the bare loop
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// Submitters, and slots of the worker
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub parallel: u64,
    /// Jobs whose latency is measured, idle and under load
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub samples: u64,
    /// Instead: let this many jobs wait, and measure what that costs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub backlog: Option<u64>,
}
