//! Arguments of the commands that run roles.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::purge::EdgeLook;

/// `framemill up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// Folder of everything the farm keeps [default: .framemill/data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address of the API and the pages [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Address of the edge, which viewers reach [default: 127.0.0.1:8090]
    #[arg(long, value_name = "ADDR")]
    pub edge: Option<SocketAddr>,
    /// Encodes at once [default: as many as the machine has cores]
    #[arg(long, value_name = "N", value_parser = slots())]
    pub workers: Option<u64>,
    /// GPUs out of a script instead of the machine's: simulated, to try a farm without them
    #[arg(long, value_name = "FILE")]
    pub gpu_script: Option<PathBuf>,
}

/// `framemill run`.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// The file
    pub file: PathBuf,
    /// A ladder by name, or a YAML file with one
    #[arg(long, value_name = "L")]
    pub ladder: Option<String>,
    /// Copy the published stream to this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Folder of everything the farm keeps [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Go on serving the page of the title until interrupted
    #[arg(long)]
    pub serve: bool,
    /// Address of the API and the pages [default: a free port on loopback]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Encodes at once [default: as many as the machine has cores]
    #[arg(long, value_name = "N", value_parser = slots())]
    pub workers: Option<u64>,
    /// Give up after this many seconds [default: never]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

/// `framemill scheduler`.
#[derive(Clone, Debug, Args)]
pub struct Scheduler {
    /// Address of the API and the pages
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDR")]
    pub health: Option<SocketAddr>,
}

/// `framemill worker`.
#[derive(Clone, Debug, Args)]
pub struct Worker {
    /// Encodes at once
    #[arg(long, value_name = "N", value_parser = slots())]
    pub slots: Option<u64>,
    /// Name of this machine in the farm [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDR")]
    pub health: Option<SocketAddr>,
    /// GPUs out of a script instead of the machine's: simulated, to try a farm without them
    #[arg(long, value_name = "FILE")]
    pub gpu_script: Option<PathBuf>,
}

/// `framemill packager`.
#[derive(Clone, Debug, Args)]
pub struct Packager {
    /// Jobs at once
    #[arg(long, value_name = "N", value_parser = slots())]
    pub slots: Option<u64>,
    /// Name of this machine in the farm [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDR")]
    pub health: Option<SocketAddr>,
}

/// `framemill edge`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Edge {
    /// What there is to do with edges that run
    #[command(subcommand)]
    pub look: Option<EdgeLook>,
    /// Address that viewers reach
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Name of this edge in the farm [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDR")]
    pub health: Option<SocketAddr>,
}

fn slots() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=crate::config::SLOTS_MAX as u64)
}
