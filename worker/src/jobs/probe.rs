//! Probe jobs: one indexing pass over the source.

use framemill_media::probe::probe;
use framemill_queue::runner::Attempt;
use framemill_schemas::{
    failure::Failure,
    spec::{JobOutput, ProbeSpec},
};

use super::{Jobs, blame, until_cancelled};

impl Jobs {
    /// Takes a source; returns what planning needs to know of it.
    pub(super) async fn probe(&self, spec: &ProbeSpec, attempt: &Attempt) -> Result<JobOutput, Failure> {
        let source = until_cancelled(&attempt.cancel, self.reader.open(&spec.source, None)).await?;
        let found = probe(&self.tools, source.url(), source.identity(), source.bytes(), &attempt.cancel).await;
        match (found, source.fault()) {
            (Ok(probe), None) => Ok(JobOutput::Probe(probe)),
            // ffprobe takes a broken connection for the end of the file.
            (Ok(_), Some(fault)) => Err(fault),
            (Err(failure), _) => Err(blame(failure, &source, attempt)),
        }
    }
}
