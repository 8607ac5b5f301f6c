//! What stands in for the source of each timeline: made once, in the background, from the moment it is
//! asked for.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use framemill_media::{
    live::{Filler, filler},
    toolchain::Toolchain,
};
use framemill_schemas::{failure::Failure, live::Timeline};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::publish::Init;

/// How long a run waits for the filler that holds its silence.
const PATIENCE: Duration = Duration::from_secs(4);
/// Pause before filler is made again that could not be.
const AGAIN: Duration = Duration::from_secs(10);

/// Filler that is being made, is there, or could not be made.
enum Filling {
    Making(JoinHandle<Result<Filler, Failure>>, Instant),
    Made(Filler),
    Failed(Instant),
}

/// The fillers of the last timelines.
pub(super) struct Fillers {
    tools: Toolchain,
    fillings: BTreeMap<u32, Filling>,
}

impl Fillers {
    pub fn new(tools: Toolchain) -> Self {
        Self { tools, fillings: BTreeMap::new() }
    }

    /// The silence of a timeline, one frame for each rung of sound; nothing while it is being made, and none
    /// where it cannot be: sound that is missing then holds its segments up.
    pub async fn silence(&mut self, timeline: &Timeline) -> Option<Vec<Bytes>> {
        match self.filling(timeline).await {
            Filling::Made(filler) => Some(filler.silence.clone()),
            Filling::Making(_, since) if since.elapsed() < PATIENCE => None,
            Filling::Making(..) | Filling::Failed(_) => Some(Vec::new()),
        }
    }

    /// The filler of a timeline, once it is made.
    pub async fn made(&mut self, timeline: &Timeline) -> Option<&Filler> {
        match self.filling(timeline).await {
            Filling::Made(filler) => Some(filler),
            Filling::Making(..) | Filling::Failed(_) => None,
        }
    }

    /// The initialisation segment of one rendition of a timeline's filler.
    pub fn init(&self, timeline: u32, track: usize) -> Option<Init> {
        match self.fillings.get(&timeline)? {
            Filling::Made(filler) => filler.inits.get(track).cloned().map(Init::of),
            Filling::Making(..) | Filling::Failed(_) => None,
        }
    }

    async fn filling(&mut self, timeline: &Timeline) -> &Filling {
        let id = timeline.id;
        // Of timelines that are over none is needed.
        self.fillings.retain(|known, _| *known + 1 >= id);
        if matches!(self.fillings.get(&id), Some(Filling::Failed(at)) if at.elapsed() > AGAIN) {
            self.fillings.remove(&id);
        }
        let (tools, timeline) = (&self.tools, timeline);
        let filling = self.fillings.entry(id).or_insert_with(|| begin(tools.clone(), timeline.clone()));
        if let Filling::Making(making, _) = filling
            && making.is_finished()
        {
            *filling = match making.await {
                Ok(Ok(made)) => Filling::Made(made),
                Ok(Err(failure)) => {
                    tracing::warn!(reason = failure.reason, "filler cannot be made; it is tried again");
                    Filling::Failed(Instant::now())
                }
                Err(error) => {
                    tracing::error!(%error, "making filler broke off");
                    Filling::Failed(Instant::now())
                }
            };
        }
        filling
    }
}

fn begin(tools: Toolchain, timeline: Timeline) -> Filling {
    let making = async move { filler(&tools, &timeline, &CancellationToken::new()).await };
    Filling::Making(tokio::spawn(making), Instant::now())
}
