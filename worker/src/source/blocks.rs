//! The last blocks that were read of one source. ffmpeg seeks by hanging up and asking again, and
//! comes back to the same places: headers, indexes, both ends of a badly interleaved file.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Bytes of a block; the last one of a source is shorter.
pub(super) const BLOCK_BYTES: u64 = 256 * 1024;
/// Most blocks kept of one source.
const BLOCKS_MAX: usize = 32;
/// Fewest: enough for both ends of a file and the places in between.
const BLOCKS_MIN: usize = 4;
/// Blocks that all open sources share: 48 MiB, so that a worker with many slots stays small.
const BLOCKS_SHARED: usize = 192;

/// What open sources share out among themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Share(Arc<()>);

impl Share {
    /// Most blocks that one of them may keep now.
    fn blocks(&self) -> usize {
        // The reader holds one, each open source another.
        let open = (Arc::strong_count(&self.0) - 1).max(1);
        (BLOCKS_SHARED / open).clamp(BLOCKS_MIN, BLOCKS_MAX)
    }
}

/// Whole blocks, the one used last at the end.
#[derive(Debug)]
pub(super) struct Blocks {
    kept: Mutex<VecDeque<(u64, Bytes)>>,
    share: Share,
}

impl Blocks {
    pub fn new(share: Share) -> Self {
        Self { kept: Mutex::default(), share }
    }

    /// Block `index`, if it is kept.
    pub fn get(&self, index: u64) -> Option<Bytes> {
        let mut blocks = self.blocks();
        // Few enough that looking at each costs nothing beside copying one.
        let at = blocks.iter().position(|(kept, _)| *kept == index)?;
        let block = blocks.remove(at)?;
        blocks.push_back(block.clone());
        Some(block.1)
    }

    /// Keeps a block, forgetting those that were not used for the longest time.
    pub fn put(&self, index: u64, block: Bytes) {
        let mut blocks = self.blocks();
        blocks.retain(|(kept, _)| *kept != index);
        while blocks.len() >= self.share.blocks() {
            blocks.pop_front();
        }
        blocks.push_back((index, block));
    }

    fn blocks(&self) -> MutexGuard<'_, VecDeque<(u64, Bytes)>> {
        // Whole blocks at every moment: a panic elsewhere does not spoil them.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_used_last_stays_longest() {
        let share = Share::default();
        let blocks = Blocks::new(share.clone());
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

        let others: Vec<_> = (1..16).map(|_| Blocks::new(share.clone())).collect();
        blocks.put(2000, Bytes::new());
        assert_eq!(blocks.blocks().len(), BLOCKS_SHARED / 16);
        drop(others);
        blocks.put(3000, Bytes::new());
        assert_eq!(blocks.blocks().len(), BLOCKS_SHARED / 16 + 1);
    }
}
