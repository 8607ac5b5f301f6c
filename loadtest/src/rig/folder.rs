//! Where a run keeps its logs and data.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where a run keeps what it needs.
#[derive(Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl Folder {
    /// The one that is named, or a temporary one.
    pub fn make(prefix: &str, named: Option<&Path>) -> Result<Self> {
        if let Some(path) = named {
            std::fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
            let path = path.canonicalize()?;
            return Ok(Self { path, temporary: None });
        }
        let temporary = tempfile::Builder::new().prefix(prefix).tempdir().context("no temporary folder")?;
        Ok(Self { path: temporary.path().canonicalize()?, temporary: Some(temporary) })
    }

    /// Removes a temporary folder of a clean run; returns where the others are.
    pub fn end(self, clean: bool) -> Option<PathBuf> {
        match self.temporary {
            Some(temporary) if !clean => Some(temporary.keep()),
            Some(_) => None,
            None => Some(self.path),
        }
    }
}
