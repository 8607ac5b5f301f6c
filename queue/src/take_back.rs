//! Taking a job back from a holder that fell silent.

use framemill_schemas::job::{JobRecord, JobState};
use uuid::Uuid;

use crate::{
    error::{QueueError, RecordError},
    queue::Queue,
    transition,
};

impl Queue {
    /// Takes the job with this record key back from the holder under `nonce`, and queues it again
    /// if it may still be run. Returns the record as it is then; `None` when that holder does not
    /// hold it (any more), or somebody was faster.
    pub async fn take_back(&self, key: &str, nonce: Uuid, now_ms: i64) -> Result<Option<JobRecord>, QueueError> {
        let Some((record, revision)) = self.jobs().get(key).await? else { return Ok(None) };
        if record.holder.as_ref().is_none_or(|holder| holder.nonce != nonce) {
            return Ok(None);
        }
        let Ok(lost) = transition::lose(record, now_ms) else { return Ok(None) };
        // The silent holder may still own the hint: away with it before the new one is sent.
        self.undispatch(&lost).await?;
        match self.jobs().update(key, &lost, revision).await {
            Ok(revision) => {
                if lost.state == JobState::Ready {
                    self.dispatch(&lost, revision).await?;
                }
                Ok(Some(lost))
            }
            Err(RecordError::Fenced) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
