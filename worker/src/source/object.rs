//! Sources in the farm's store. The store's client retries requests; a body that breaks off is
//! resumed by the cursor.

use std::ops::Range;

use framemill_schemas::failure::Failure;
use framemill_storage::{ObjectStream, Store, StoreError};

use super::{
    answer::Part,
    fault::{self, Trouble},
};

/// One object.
#[derive(Debug)]
pub(super) struct ObjectSource {
    pub store: Store,
    pub shown: String,
    pub bucket: String,
    pub key: String,
}

impl ObjectSource {
    /// Size and entity tag.
    pub async fn head(&self) -> Result<(u64, String), Failure> {
        let found = self.store.head_in(&self.bucket, &self.key).await.map_err(|error| error.to_failure())?;
        found.ok_or_else(|| fault::missing(&self.shown))
    }

    /// Asks for a range that was there before.
    pub async fn ask(&self, wanted: &Range<u64>) -> Result<(Part, ObjectStream), Trouble> {
        let found = self.store.get_stream(Some(&self.bucket), &self.key, Some(wanted.clone())).await;
        let stream = match found {
            Ok(Some(stream)) => stream,
            Ok(None) => return Err(Trouble::last(fault::missing(&self.shown))),
            Err(error) => return Err(blame(&self.shown, &error)),
        };
        let end = wanted.end.min(wanted.start.saturating_add(stream.length));
        let part = Part { start: wanted.start, end, total: stream.size, mark: stream.etag.clone() };
        Ok((part, stream))
    }
}

/// Whether another try of ours may help where the store's own have not.
pub(super) fn blame(shown: &str, error: &StoreError) -> Trouble {
    match error {
        StoreError::Interrupted { cause, .. } => Trouble::passing(fault::interrupted(shown, cause)),
        // It was long enough when it was opened.
        StoreError::Range { .. } => Trouble::last(fault::changed(shown)),
        error => Trouble::last(error.to_failure()),
    }
}
