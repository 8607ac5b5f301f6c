//! Audio jobs: one sound track for the whole title.

use framemill_media::encode;
use framemill_queue::runner::Attempt;
use framemill_schemas::{
    failure::Failure,
    rate::frames_to_ticks,
    spec::{AUDIO_RATE, AudioSpec, JobOutput},
};
use tokio::sync::mpsc;

use super::{Jobs, blame, reporting, transcode::PIECES_WAITING, until_cancelled};
use crate::upload::{Collected, Media, Target};

impl Jobs {
    /// Takes a track; returns what is stored of it. AAC cannot be entered in the middle without a
    /// click, so a retry encodes from the start and adopts what an earlier attempt stored.
    pub(super) async fn audio(&self, spec: &AudioSpec, attempt: &Attempt) -> Result<JobOutput, Failure> {
        let numbers = 1..=spec.grid.frames.div_ceil(u64::from(spec.segment_frames));
        let target = Target::new(&attempt.job, Media::Audio, &spec.folder, vec![spec.rendition.clone()], numbers);
        let mut collected = Collected::new(&target);
        let opening = self.reader.open(&spec.source, Some(&spec.identity));
        let source = until_cancelled(&attempt.cancel, opening).await?;
        let total = frames_to_ticks(spec.grid.frames, spec.grid.rate, AUDIO_RATE);
        let (pieces, arriving) = mpsc::channel(PIECES_WAITING);
        let (encoded, uploaded) = reporting(attempt, total, async |progress| {
            let encode = encode::audio(&self.tools, spec, source.url(), pieces, progress, &attempt.cancel);
            let upload = self.uploader.upload(&target, arriving, &mut collected, &self.metrics, &attempt.cancel);
            tokio::join!(encode, upload)
        })
        .await;
        uploaded?;
        encoded.map_err(|failure| blame(failure, &source, attempt))?;
        if let Some(fault) = source.fault() {
            return Err(fault);
        }
        collected.finish(&target)
    }
}
