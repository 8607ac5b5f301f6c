//! Transcode jobs: one chunk, decoded once for all rungs of one codec.

use framemill_media::encode;
use framemill_queue::runner::Attempt;
use framemill_schemas::{
    failure::Failure,
    spec::{JobOutput, TranscodeSpec},
};
use tokio::sync::mpsc;

use super::{Jobs, blame, reporting, until_cancelled};
use crate::upload::{Collected, Media, Target};

/// Finished pieces waiting for an upload; beyond it ffmpeg waits in its pipe.
pub(super) const PIECES_WAITING: usize = 1;

impl Jobs {
    /// Takes a chunk; returns what is stored of it, whether by this attempt or by an earlier one.
    pub(super) async fn transcode(&self, spec: &TranscodeSpec, attempt: &Attempt) -> Result<JobOutput, Failure> {
        let renditions: Vec<_> = spec.rungs.iter().map(|rung| rung.name.clone()).collect();
        let target = Target::new(&attempt.job, Media::Video, &spec.folder, renditions, spec.segment_numbers());
        let mut collected = Collected::new(&target);
        let adopting = self.uploader.adopt(&target, &mut collected, &self.metrics);
        until_cancelled(&attempt.cancel, adopting).await?;
        let Some(first) = collected.first_missing() else { return collected.finish(&target) };

        let opening = self.reader.open(&spec.source, Some(&spec.identity));
        let source = until_cancelled(&attempt.cancel, opening).await?;
        let start_frame = spec.segment_range(first).start.max(spec.start_frame);
        let total = spec.end_frame - spec.start_frame;
        let (pieces, arriving) = mpsc::channel(PIECES_WAITING);
        let (encoded, uploaded) = reporting(attempt, total, async |progress| {
            let encode =
                encode::transcode(&self.tools, spec, start_frame, source.url(), pieces, progress, &attempt.cancel);
            let upload = self.uploader.upload(&target, arriving, &mut collected, &self.metrics, &attempt.cancel);
            tokio::join!(encode, upload)
        })
        .await;
        // An upload that failed closed the channel, which is why ffmpeg was stopped.
        uploaded?;
        encoded.map_err(|failure| blame(failure, &source, attempt))?;
        if let Some(fault) = source.fault() {
            return Err(fault);
        }
        collected.finish(&target)
    }
}
