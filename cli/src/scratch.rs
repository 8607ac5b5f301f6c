//! Folders of benchmarks: they go when the benchmark ends.

use std::path::{Path, PathBuf};

use crate::exit::CliError;

/// A folder that goes with its value.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one.
    pub fn make() -> Result<Self, CliError> {
        let path = std::env::temp_dir().join(format!("framemill-bench-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path)
            .map_err(|error| CliError::failed(error.to_string()).at(path.display().to_string()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left lies in the folder for temporary things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
