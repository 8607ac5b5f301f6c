//! What an operator may set, and the bounds on reading a source.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// The section `[sources]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourcesConfig {
    /// Path sources are read below these folders and nowhere else.
    pub folders: Vec<PathBuf>,
    /// Whether `http(s)://` sources may be on private, loopback and link-local addresses.
    pub allow_private: bool,
    /// Hosts, by name or address, that may be on such addresses.
    pub allow_hosts: Vec<String>,
}

/// Bounds on reading one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest time to resolve a name and connect.
    pub connect: Duration,
    /// Longest wait for an answer, or for the next bytes of one.
    pub silence: Duration,
    /// Longest time for one block, retries included: a server that drips is a server that stands.
    pub block: Duration,
    /// How often a read is tried.
    pub tries: u32,
    /// Pause before the second try; each next one is four times longer.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(15),
            block: Duration::from_secs(90),
            tries: 3,
            pause: Duration::from_millis(250),
        }
    }
}
