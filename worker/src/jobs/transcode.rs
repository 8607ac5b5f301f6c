//! Transcode jobs: one chunk, decoded once for all rungs of one codec.

use std::time::Instant;

use framemill_media::{
    encode::{self, Cut, Via},
    failure_of,
};
use framemill_queue::runner::{Attempt, GIVEN_BACK};
use framemill_schemas::{
    failure::Failure,
    spec::{JobOutput, TranscodeSpec},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Jobs, blame, reporting, until_cancelled};
use crate::{
    boundary,
    headroom::{Cost, Seated},
    machine::script::{Session, Use},
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
        let waits = self.headroom.start(claim, &attempt.cancel);
        let seat = waits.await.ok_or_else(called_off)?;
        let via = self.via(spec, claim);
        let _session = self.open_session(claim)?;
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
        encoded.map_err(|failure| blame(self.told(claim, failure), &source, attempt))?;
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

    /// Where and how fast a chunk is encoded.
    fn via(&self, spec: &TranscodeSpec, claim: Uuid) -> Via {
        let Some(grant) = self.headroom.grant(claim).filter(|_| spec.nvenc.is_some()) else { return Via::Processor };
        let pace_milli = grant.pace_milli;
        match self.script {
            Some(_) => Via::StandIn { pace_milli },
            None => Via::Gpu { index: grant.device, pace_milli },
        }
    }

    /// What a scripted GPU holds for the job, or its refusal in ffmpeg's words.
    fn open_session(&self, claim: Uuid) -> Result<Option<Session>, Failure> {
        let (Some(script), Some(grant)) = (&self.script, self.headroom.grant(claim)) else { return Ok(None) };
        let Cost { sessions, memory_mib, .. } = grant.cost;
        let wanted = Use { sessions, memory_mib, demand: grant.published };
        let opened = script.open(grant.device, wanted, Instant::now());
        opened.map(Some).map_err(|says| self.told(claim, failure_of(says)))
    }

    /// Tells the headroom of a device that refused what it was believed to have.
    fn told(&self, claim: Uuid, failure: Failure) -> Failure {
        let refused = GIVEN_BACK.contains(&failure.code.as_str());
        if let Some(grant) = self.headroom.grant(claim).filter(|_| refused) {
            self.headroom.refused(grant.device, Instant::now());
        }
        failure
    }
}
