//! Where entries lie: memory, and behind it a folder of bounded size.

use std::path::PathBuf;

use foyer::{
    BlockEngineConfig, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy,
    PsyncIoEngineConfig,
};

use super::Entry;

/// A megabyte.
const MB: usize = 1024 * 1024;
/// Parts of the memory, each with a lock of its own.
const SHARDS: usize = 8;
/// What the folder is divided into: the largest entry that fits on disk.
const BLOCK_BYTES: usize = 16 * MB;

/// Why there is no shelf.
#[derive(Debug, thiserror::Error)]
#[error("the folder {} cannot hold a cache: {why}; check that it may be written and that the disk has room", folder.display())]
pub struct ShelfError {
    folder: PathBuf,
    why: String,
}

/// Memory and disk.
#[derive(Clone)]
pub struct Shelf(HybridCache<String, Entry>);

impl Shelf {
    /// Takes how much memory there is, and the folder with how much of it; all in megabytes.
    ///
    /// # Errors
    /// A folder that cannot be used.
    pub async fn open(memory_mb: usize, disk: Option<(PathBuf, usize)>) -> Result<Self, ShelfError> {
        let memory = HybridCacheBuilder::new()
            .with_name("edge")
            .with_policy(HybridCachePolicy::WriteOnEviction)
            .memory(memory_mb.max(1) * MB)
            .with_shards(SHARDS)
            .with_weighter(|key: &String, entry: &Entry| key.len() + entry.weight());
        let Some((folder, disk_mb)) = disk else {
            let built = memory.storage().build().await;
            return Ok(Self(built.expect("a cache without a disk has nothing that could fail")));
        };
        let fault = |why: String| ShelfError { folder: folder.clone(), why };
        std::fs::create_dir_all(&folder).map_err(|error| fault(error.to_string()))?;
        let device = FsDeviceBuilder::new(&folder)
            .with_capacity(disk_mb.max(64) * MB)
            .build()
            .map_err(|error| fault(error.to_string()))?;
        let cache = memory
            .storage()
            .with_io_engine_config(PsyncIoEngineConfig::new())
            .with_engine_config(BlockEngineConfig::new(device).with_block_size(BLOCK_BYTES))
            .build()
            .await
            .map_err(|error| fault(error.to_string()))?;
        Ok(Self(cache))
    }

    /// What is in memory.
    pub fn in_memory(&self, key: &str) -> Option<Entry> {
        self.0.memory().get(key).map(|entry| entry.value().clone())
    }

    /// What is on disk, when it is not in memory.
    pub async fn on_disk(&self, key: &str) -> Option<Entry> {
        if !self.0.is_hybrid() {
            return None;
        }
        match self.0.get(&key.to_owned()).await {
            Ok(entry) => entry.map(|entry| entry.value().clone()),
            Err(error) => {
                tracing::warn!(%error, "an entry on disk cannot be read");
                None
            }
        }
    }

    /// Puts an entry in place of what is there.
    pub fn put(&self, key: &str, entry: Entry) {
        self.0.insert(key.to_owned(), entry);
    }

    /// Writes what is in memory to disk, and closes.
    pub async fn close(&self) {
        if let Err(error) = self.0.close().await {
            tracing::warn!(%error, "the cache was not written to disk as a whole");
        }
    }
}
