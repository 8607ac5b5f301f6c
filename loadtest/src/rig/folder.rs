//! Where a run keeps its logs and data.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where a run keeps what it needs. A temporary one goes only when the run tells that it was clean: of one
/// that breaks off, everything is there to be read.
#[derive(Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// The one that is named, or a temporary one.
    pub fn make(prefix: &str, named: Option<&Path>) -> Result<Self> {
        if let Some(path) = named {
            std::fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
            return Ok(Self { path: path.canonicalize()?, temporary: false });
        }
        let made = tempfile::Builder::new().prefix(prefix).tempdir().context("no temporary folder")?;
        Ok(Self { path: made.keep().canonicalize()?, temporary: true })
    }

    /// Removes a temporary folder of a clean run; returns where the others are.
    pub fn end(self, clean: bool) -> Option<PathBuf> {
        if self.temporary && clean {
            // What cannot be removed lies among temporary things.
            let _ = std::fs::remove_dir_all(&self.path);
            return None;
        }
        Some(self.path)
    }
}
