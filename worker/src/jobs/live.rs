//! Live jobs: one replica of a channel, for as long as it is wanted.

use framemill_media::encode::Via;
use framemill_queue::runner::Attempt;
use framemill_schemas::{
    failure::{Class, Failure},
    inventory::Engine,
    spec::{JobOutput, LiveSpec},
};

use super::Jobs;
use crate::{
    live::{Means, Place, Replica},
    upload::called_off,
};

impl Jobs {
    /// Encodes a channel until the job is taken away.
    pub(super) async fn live(&self, spec: &LiveSpec, attempt: &Attempt) -> Result<JobOutput, Failure> {
        let holder = attempt.job.holder.as_ref();
        let holder = holder.ok_or_else(|| Failure::new(Class::Bug, "no-holder", "a claimed job has no holder"))?;
        let claim = holder.nonce;
        let mut seat = self.devices.start(claim, &attempt.cancel).await.ok_or_else(called_off)?;
        let via = if spec.engine == Engine::Nvenc { self.devices.via(claim) } else { Via::Processor };
        let _session = self.devices.open_session(claim)?;
        // Spaced from the next start; what follows takes as long as its source does.
        seat.first_picture();
        let place = Place {
            queue: self.queue.clone(),
            store: self.store.clone(),
            tenant: attempt.job.tenant.clone(),
            channel: spec.channel.clone(),
            job: attempt.job.id,
            node: holder.node.clone(),
            metrics: self.metrics.clone(),
        };
        let means = Means { tools: self.tools.clone(), ingest: self.ingest.clone(), place, engine: spec.engine, via };
        let ended = Replica::run(means, &attempt.cancel).await;
        Err(match ended {
            Ok(()) => called_off(),
            Err(failure) => self.devices.told(claim, failure),
        })
    }
}
