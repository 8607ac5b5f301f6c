//! The last blocks that were read of one source. ffmpeg seeks by hanging up and asking again, and
//! comes back to the same places: headers, indexes, both ends of a badly interleaved file.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Bytes of a block; the last one of a source is shorter.
pub(super) const BLOCK_BYTES: u64 = 256 * 1024;
/// Most blocks kept per source: 8 MiB, so that a worker with many slots stays small.
const BLOCKS_MAX: usize = 32;

/// Whole blocks, the one used last at the end.
#[derive(Debug, Default)]
pub(super) struct Blocks(Mutex<VecDeque<(u64, Bytes)>>);

impl Blocks {
    /// Block `index`, if it is kept.
    pub fn get(&self, index: u64) -> Option<Bytes> {
        let mut blocks = self.blocks();
        // Few enough that looking at each costs nothing beside copying one.
        let at = blocks.iter().position(|(kept, _)| *kept == index)?;
        let block = blocks.remove(at)?;
        blocks.push_back(block.clone());
        Some(block.1)
    }

    /// Keeps a block, forgetting the one that was not used for the longest time.
    pub fn put(&self, index: u64, block: Bytes) {
        let mut blocks = self.blocks();
        blocks.retain(|(kept, _)| *kept != index);
        if blocks.len() == BLOCKS_MAX {
            blocks.pop_front();
        }
        blocks.push_back((index, block));
    }

    fn blocks(&self) -> MutexGuard<'_, VecDeque<(u64, Bytes)>> {
        // Whole blocks at every moment: a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_used_last_stays_longest() {
        let blocks = Blocks::default();
        for index in 0..BLOCKS_MAX as u64 {
            blocks.put(index, Bytes::from(index.to_string()));
        }
        assert_eq!(blocks.get(0).unwrap(), "0");
        blocks.put(1000, Bytes::from_static(b"x"));
        blocks.put(1000, Bytes::from_static(b"y"));
        assert_eq!(blocks.get(0).unwrap(), "0");
        assert_eq!(blocks.get(1), None);
        assert_eq!(blocks.get(2).unwrap(), "2");
        assert_eq!(blocks.get(1000).unwrap(), "y");
        assert_eq!(blocks.blocks().len(), BLOCKS_MAX);
    }
}
