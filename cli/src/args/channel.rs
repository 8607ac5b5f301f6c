//! Arguments of `framemill channel`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::operate::NewTitle;

/// `framemill channel`.
#[derive(Clone, Debug, Subcommand)]
pub enum Channel {
    /// Make a channel of a file, or change what it is made of; a new one stays off air until it is started
    Apply {
        /// The document: YAML, or JSON
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Put it on air as well, where it is not
        #[arg(long)]
        start: bool,
    },
    /// Check a file against the farm, and say what `apply` would change; nothing is stored
    Check {
        /// The document: YAML, or JSON
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// List channels
    Ls {
        /// Only those in this state: stopped, starting, live, degraded, down, retired
        #[arg(long)]
        state: Option<String>,
        /// Only those of this tenant
        #[arg(long, value_name = "T")]
        tenant: Option<String>,
    },
    /// Show one: its sources, replicas, renditions and playlists
    Show(Which),
    /// Say where one fails, from who may watch to what a player sees; exit 1 where it does
    Diagnose(Which),
    /// Keep a span of one as a title; nothing of it is encoded again
    Archive(Archive),
    /// Put one on air
    Start(Which),
    /// Take one off air; what it published stays for its time
    Stop(Which),
    /// Take one off air, and remove it with everything it published
    Rm(Which),
}

/// One channel.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// Its name
    pub id: String,
    /// Whose it is, where several tenants have one of the name [default: the key's tenant]
    #[arg(long, value_name = "T")]
    pub tenant: Option<String>,
}

/// `framemill channel archive`.
#[derive(Clone, Debug, Args)]
pub struct Archive {
    #[command(flatten)]
    pub which: Which,
    /// Where it starts: RFC 3339 (2026-11-29T20:00:00Z), or Unix seconds
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// Where it ends, the same
    #[arg(long, value_name = "TIME")]
    pub to: String,
    #[command(flatten)]
    pub title: NewTitle,
}
