//! What was folded out of a channel's log, as readers other than its writer see it: consecutive commits, and
//! the timelines they lie on. Whoever writes playlists keeps more beside them.

use serde::Deserialize;

use crate::live::{Commit, Timeline};

/// Newest format of folded stretches that this version reads.
pub const FOLDED_VERSION: u32 = 1;

/// Most numbers that may be missing between two commits and are still waited for: they are declared gaps in
/// the end. A longer hole is a time in which the channel was off.
pub const HOLE_MAX: u64 = 32;

/// A stretch of the log, one immutable object.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Folded {
    /// Format of this object.
    pub v: u32,
    /// Its first number.
    pub first: u64,
    /// One after the last number it may hold.
    pub end: u64,
    /// The timelines its numbers lie on, oldest first.
    pub timelines: Vec<Timeline>,
    /// Its commits, in the order of their numbers.
    pub commits: Vec<Commit>,
}

impl Folded {
    /// Reads one.
    ///
    /// # Errors
    /// Bytes that are none, or one of a newer format, in words.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let folded: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if folded.v > FOLDED_VERSION {
            return Err(format!("it has format {}, and this version reads formats up to {FOLDED_VERSION}", folded.v));
        }
        Ok(folded)
    }
}

/// Folder of a channel's folded stretches, with its slash. `channel` is the channel's own.
pub fn folded_folder(channel: &str) -> String {
    format!("{channel}/index/")
}

/// Of a listing of that folder the folded stretches, each with its first number, in the order of these.
pub fn folded_sorted(keys: impl IntoIterator<Item = String>) -> Vec<(u64, String)> {
    let mut sorted: Vec<_> = keys.into_iter().filter_map(|key| Some((folded_first(&key)?, key))).collect();
    sorted.sort_unstable();
    sorted
}

/// The number that the stretch with this key begins with.
fn folded_first(key: &str) -> Option<u64> {
    key.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_come_in_the_order_of_their_numbers() {
        let keys = ["live/a/b/index/100.json", "live/a/b/index/note.txt", "live/a/b/index/20.json"].map(str::to_owned);
        let sorted = folded_sorted(keys);
        assert_eq!(sorted.iter().map(|(first, _)| *first).collect::<Vec<_>>(), [20, 100]);
        assert_eq!(sorted[0].1, format!("{}20.json", folded_folder("live/a/b")));
    }
}
