//! What was folded out of a channel's log: consecutive commits as one immutable object, with all that is
//! needed to show them again.

use std::{collections::BTreeMap, sync::Arc};

use framemill_schemas::live::{Commit, FOLDED_VERSION, Timeline};
use serde::{Deserialize, Serialize};

use super::chain::{Entry, Logged, Mark, Root, chain};

/// Format of indexes written by this version, and the newest it reads.
pub const INDEX_VERSION: u32 = FOLDED_VERSION;

pub use framemill_schemas::live::folded_folder as folder;

/// A stretch of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Format of this object.
    pub v: u32,
    /// Its first number.
    pub first: u64,
    /// One after the last number it may hold: the log's floor once it is stored.
    pub end: u64,
    /// Where the chain was before it, where that was known.
    pub before: Option<Mark>,
    /// Discontinuities before it, where that was not known.
    pub breaks: u64,
    /// The timelines its numbers lie on, oldest first.
    pub timelines: Vec<Timeline>,
    /// Its commits, in the order of their numbers.
    pub commits: Vec<Commit>,
}

impl Index {
    /// Its numbers as playlists show them.
    pub fn replay(&self) -> Vec<Entry> {
        let timelines: Vec<_> = self.timelines.iter().cloned().map(Arc::new).collect();
        let logged = |commit: &Commit| (commit.number, Logged { commit: commit.clone(), revision: 0 });
        let log: BTreeMap<_, _> = self.commits.iter().map(logged).collect();
        chain(Root { before: self.before.as_ref(), breaks: self.breaks, begin: None }, &timelines, &log)
    }

    /// Reads one.
    ///
    /// # Errors
    /// Bytes that are none, or one of a newer format, in words.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let index: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if index.v > INDEX_VERSION {
            return Err(format!("it has format {}, and this version reads formats up to {INDEX_VERSION}", index.v));
        }
        Ok(index)
    }
}

/// Key of the index that begins with a number.
pub fn key(channel: &str, first: u64) -> String {
    format!("{}{first}.json", folder(channel))
}
