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
    /// Measure how long a segment takes into the store and into the playlists
    Latency(Latency),
    /// Try picture rates, a wrap of timestamps, and a restart of everything but NATS and the store
    Align(Align),
    /// Judge every version of a channel's playlists over a long time
    Check(Check),
    /// Put channels on air until this machine takes no more, and measure what the farm itself takes
    Load(Load),
    /// Let two naive encoders take turns: the judge must find it
    Control(Control),
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
    /// Folder of the outside judges with their packages (infra/judges of the source tree), run by node: hls.js in
    /// a browser plays all the time, hls-parser reads every playlist
    #[arg(long, value_name = "DIR")]
    pub judges: Option<PathBuf>,
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

/// `framemill loadtest live latency`.
#[derive(Clone, Debug, Args)]
pub struct Latency {
    /// How long it is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub seconds: u64,
    #[command(flatten)]
    pub common: Common,
}

/// `framemill loadtest live align`.
#[derive(Clone, Debug, Args)]
pub struct Align {
    /// Only this rate, as a ratio: 25/1, 30000/1001, 50/1, 60000/1001 [default: all of them]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub rate: Option<(u32, u32)>,
    #[command(flatten)]
    pub common: Common,
}

fn rate(text: &str) -> Result<(u32, u32), String> {
    let rates = framemill_loadtest::live::align::RATES;
    let of = |(num, den): &(u32, u32)| format!("{num}/{den}");
    rates
        .into_iter()
        .find(|rate| of(rate) == text)
        .ok_or_else(|| format!("use one of {}", rates.map(|rate| of(&rate)).join(", ")))
}

/// `framemill loadtest live check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// How long
    #[arg(long, value_name = "M", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub minutes: u64,
    /// Folder of the outside judges with their packages (infra/judges of the source tree), run by node
    #[arg(long, value_name = "DIR")]
    pub judges: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

/// `framemill loadtest live load`.
#[derive(Clone, Debug, Args)]
pub struct Load {
    /// Channels that are asked for
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub channels: u64,
    /// How long they are measured
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub seconds: u64,
    #[command(flatten)]
    pub common: Common,
}

/// `framemill loadtest live control`.
#[derive(Clone, Debug, Args)]
pub struct Control {
    /// Decides when the second encoder joins [default: one that is new]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub common: Common,
}
