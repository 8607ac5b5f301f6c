//! Arguments of `framemill loadtest live`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `framemill loadtest live`.
#[derive(Clone, Debug, Subcommand)]
pub enum Live {
    /// Strike one of a channel's two replicas again and again, each time after both are there again
    Kills(Kills),
    /// Kill the nodes of both replicas, and let one come back after a while
    BothLost(BothLost),
}

/// What all trials take.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// How channels get their source [default: udp where this machine hears its own multicast, else file]
    #[arg(long)]
    pub source: Option<Source>,
    /// Folder of logs and data [default: a temporary one, kept when something is found]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// How channels get their source.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Source {
    /// One transport stream, sent to a group of this machine
    Udp,
    /// A file that each replica plays round and round
    File,
}

/// `framemill loadtest live kills`.
#[derive(Clone, Debug, Args)]
pub struct Kills {
    /// How many strikes
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub kills: u64,
    /// Decides what happens when; the same one strikes the same way again [default: one that is new]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub common: Common,
}

/// `framemill loadtest live both-lost`.
#[derive(Clone, Debug, Args)]
pub struct BothLost {
    /// How often
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub times: u64,
    /// Decides what happens when; the same one strikes the same way again [default: one that is new]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub common: Common,
}
