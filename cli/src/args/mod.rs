//! The command line: names, flags and help. Nothing here acts.

pub mod channel;
pub mod delivery;
pub mod live_load;
pub mod operate;
pub mod purge;
pub mod serve;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::client::DEFAULT_API;

/// Framemill: a transcoding farm for television over IP.
#[derive(Debug, Parser)]
#[command(name = "framemill", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 the input is at fault, \
                        4 not found, 5 refused, 6 gave up waiting, 130 interrupted.")]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Configuration file; without it, `framemill.toml` in the working directory, where there is one
    #[arg(long, global = true, value_name = "FILE", env = "FRAMEMILL_CONFIG", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Write JSON to stdout: one document, or one per line where the command streams
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Address of the API that operator commands talk to (the key comes from FRAMEMILL_API_KEY)
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "FRAMEMILL_API",
        default_value = DEFAULT_API,
        help_heading = "Global options"
    )]
    pub api: String,
}

/// What `framemill` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole farm in one process tree: NATS, a store, and every role
    Up(serve::Up),
    /// Encode one file through a farm of its own, validate it, and exit
    Run(serve::Run),
    /// Run the scheduler: the API, planning, and the loops
    Scheduler(serve::Scheduler),
    /// Run a worker: probing and encoding
    Worker(serve::Worker),
    /// Run a packager: manifests and validation
    Packager(serve::Packager),
    /// Run an edge: what viewers reach
    Edge(serve::Edge),
    /// Submit a title
    Submit(operate::Submit),
    /// Look at titles and act on them
    #[command(subcommand)]
    Asset(operate::Asset),
    /// Live channels
    #[command(subcommand)]
    Channel(channel::Channel),
    /// Look at jobs and act on them
    #[command(subcommand)]
    Job(operate::Job),
    /// Jobs whose attempts are spent
    #[command(subcommand)]
    Dead(operate::Dead),
    /// The machines of the farm
    #[command(subcommand)]
    Node(operate::Node),
    /// Make every cache forget something, and see who has
    Purge(purge::Purge),
    /// Who may do what
    #[command(subcommand)]
    Key(operate::Key),
    /// Let viewers in, and no more
    #[command(subcommand)]
    Token(delivery::Token),
    /// Who may watch what
    #[command(subcommand)]
    Tenant(delivery::Tenant),
    /// What a tenant's accounts have
    #[command(subcommand)]
    Account(delivery::Account),
    /// What is happening
    #[command(subcommand)]
    Event(operate::Event),
    /// Show what happened to one title, step by step, and where the trace of its viewers is
    Trace {
        /// Its id; of a channel TENANT/CHANNEL
        id: String,
    },
    /// Encode settings
    #[command(subcommand)]
    Ladder(operate::Ladder),
    /// The configuration
    #[command(subcommand)]
    Config(operate::Config),
    /// Check this machine and the farm; each finding has a cause and a mend
    Doctor(operate::Doctor),
    /// How many channels a fleet of GPUs takes, and what ends first
    Capacity(operate::Capacity),
    /// Collect what has outlived its use, or show what there is
    Gc(operate::Gc),
    /// Benchmarks and load
    #[command(subcommand)]
    Loadtest(operate::Loadtest),
    /// Write shell completions to stdout
    Completions(operate::Completions),
    /// Show the version
    Version,
}
