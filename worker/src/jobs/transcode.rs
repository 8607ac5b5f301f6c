//! Transcode jobs: one chunk, decoded once for all rungs of one codec.

use framemill_media::encode::{self, Cut, Via};
use framemill_queue::runner::Attempt;
use framemill_schemas::{
    failure::{Class, Failure},
    spec::{JobOutput, TranscodeSpec},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Jobs, blame, reporting, until_cancelled};
use crate::{
    boundary,
    headroom::Seated,
    upload::{Collected, Media, Target, called_off},
};

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
        let claim = attempt.job.holder.as_ref().map(|holder| holder.nonce).unwrap_or_default();
        // Before anything of it is open: it may be a while.
        let seat = tokio::select! {
            seat = self.devices.start(claim, &attempt.cancel) => seat.ok_or_else(called_off)?,
            () = attempt.place.yields.cancelled() => return Err(boundary::yielded()),
        };
        if spec.nvenc.is_some() && attempt.place.seat.is_none() {
            return Err(no_device());
        }
        let via = if spec.nvenc.is_some() { self.devices.via(claim) } else { Via::Processor };
        let _session = self.devices.open_session(claim)?;
        let (pieces, cut) = mpsc::channel(PIECES_WAITING);
        let (onward, arriving) = mpsc::channel(PIECES_WAITING);
        let (encoded, yielded, uploaded) = reporting(attempt, total, async |progress| {
            let begun = encode::Begun { spec, start_frame, url: source.url(), via };
            let encode = encode::transcode(&self.tools, begun, pieces, progress, &attempt.cancel);
            let pass_on = self.pass_on(seat, cut, onward, spec.rungs.len(), &attempt.place.yields);
            let upload = self.uploader.upload(&target, arriving, &mut collected, &self.metrics, &attempt.cancel);
            tokio::join!(encode, pass_on, upload)
        })
        .await;
        // An upload that failed closed the channel, which is why ffmpeg was stopped.
        uploaded?;
        if yielded && encoded.is_err() {
            return Err(boundary::yielded());
        }
        encoded.map_err(|failure| blame(self.devices.told(claim, failure), &source, attempt))?;
        if let Some(fault) = source.fault() {
            return Err(fault);
        }
        collected.finish(&target)
    }

    /// Hands pieces on, and tells the device of the first picture.
    async fn pass_on(
        &self,
        mut seat: Seated,
        cut: mpsc::Receiver<Cut>,
        onward: mpsc::Sender<Cut>,
        renditions: usize,
        yields: &CancellationToken,
    ) -> bool {
        let (seen, mut first) = watch::channel(false);
        let tell = async {
            // The sender lives as long as the other side, which ends this.
            if first.wait_for(|seen| *seen).await.is_ok() {
                seat.first_picture();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            yielded = boundary::pass_on(cut, onward, renditions, yields, &seen) => yielded,
            () = tell => unreachable!("it waits for ever"),
        }
    }
}

/// A job that no node had room for, however empty, was taken at last to say so.
fn no_device() -> Failure {
    let reason = "no GPU that was asked has the sessions or the memory for it, even with nothing else running";
    Failure::new(Class::Resource, "fits-no-gpu", reason).mend(
        "use fewer rungs of one codec, engine: software, or larger GPUs; framemill node show says what each takes",
    )
}
