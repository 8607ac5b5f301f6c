//! A replica's loop: looks at what is wanted, what its sources give and what was committed; starts and
//! ends runs, makes timelines, and says every second how it is doing. What it does in a look lies below it, by what
//! it is about.

mod filling;
mod pieces;
mod runs;
mod sources;
mod turns;

use std::{
    task::Poll,
    time::{Duration, Instant},
};

use framemill_media::{
    encode::Via,
    live::{LivePiece, Signal},
    toolchain::Toolchain,
};
use framemill_schemas::{failure::Failure, inventory::Engine, live::ChannelRecord};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{
    fillers::Fillers,
    ingest::Ingest,
    log::Log,
    publish::{Place, Publisher, now_ms},
    source::{Seen, Source},
    status::{Now, Pace, status},
};
use crate::upload::called_off;
use runs::Running;

/// How often everything is looked at though nothing happened.
const LOOK: Duration = Duration::from_millis(100);
/// How often a replica says how it is doing.
const SAY: Duration = Duration::from_secs(1);

/// What a replica works with.
#[derive(Clone)]
pub(crate) struct Means {
    pub tools: Toolchain,
    pub ingest: Ingest,
    pub place: Place,
    pub engine: Engine,
    pub via: Via,
}

/// A replica of a channel.
pub(crate) struct Replica {
    means: Means,
    log: Log,
    publisher: Publisher,
    /// Those of the edition, in its order.
    sources: Vec<Source>,
    /// Those of editions before, which a timeline still reads.
    former: Vec<Source>,
    edition: Option<u32>,
    runs: Vec<Running>,
    fillers: Fillers,
    /// The last number that filler was ordered for.
    filled: Option<u64>,
    pace: Pace,
    barren: u32,
    rest_until: Option<Instant>,
    turned: Option<Instant>,
    trouble: Option<Failure>,
    began: Instant,
}

impl Replica {
    /// Encodes a channel until `cancel`; ends by itself only where this node cannot.
    pub async fn run(means: Means, cancel: &CancellationToken) -> Result<(), Failure> {
        let Place { queue, tenant, channel, job, .. } = &means.place;
        let log = Log::follow(queue, tenant, channel, *job);
        let publisher = Publisher::start(means.place.clone(), log.head.clone(), log.timelines.clone());
        let mut replica = Self {
            log,
            publisher,
            sources: Vec::new(),
            former: Vec::new(),
            edition: None,
            runs: Vec::new(),
            fillers: Fillers::new(means.tools.clone()),
            means,
            filled: None,
            pace: Pace::default(),
            barren: 0,
            rest_until: None,
            turned: None,
            trouble: None,
            began: Instant::now(),
        };
        let outcome = replica.work(cancel).await;
        for running in std::mem::take(&mut replica.runs) {
            running.run.end().await;
        }
        outcome
    }

    async fn work(&mut self, cancel: &CancellationToken) -> Result<(), Failure> {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut says = tokio::time::interval(SAY);
        says.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut timelines = self.log.timelines.clone();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Err(called_off()),
                (at, came) = next(&mut self.runs) => match came {
                    Came::Piece(piece) => self.take(at, piece).await,
                    Came::Signal(signal) => self.runs[at].note(signal),
                    Came::End => self.runs[at].ended = true,
                },
                _ = looks.tick() => {}
                Ok(()) = timelines.changed() => {}
                _ = says.tick() => self.say().await,
            }
            self.look().await?;
        }
    }

    /// One look at everything.
    async fn look(&mut self) -> Result<(), Failure> {
        let channel = self.log.channel.borrow().clone();
        let timelines = self.log.timelines.borrow().clone();
        let (Some(channel), Some((timelines, revision))) = (channel, timelines) else { return Ok(()) };
        if !self.log.head.borrow().current {
            return Ok(());
        }
        self.keep_sources(&channel.edition);
        let now = Instant::now();
        let seen: Vec<Seen> = self.sources.iter().map(|source| source.seen(now)).collect();
        self.reap().await?;
        // Sources are open by then.
        if !is_early(&channel, now_ms()) {
            self.turn(&channel, &timelines, revision, &seen).await;
            self.end_runs(&timelines).await?;
            self.begin_runs(&channel, &timelines).await;
            self.fill(&channel, &timelines).await;
        }
        self.want_sound();
        self.forget_former(&timelines);
        Ok(())
    }

    async fn say(&self) {
        let now = Instant::now();
        let timelines = self.log.timelines.borrow().clone();
        let last = timelines.as_ref().and_then(|(timelines, _)| timelines.last());
        let active = |index: usize| last.is_some_and(|last| last.source as usize == index);
        let status = status(Now {
            place: &self.means.place,
            timeline: last,
            encoding: !self.runs.is_empty(),
            pace: &self.pace,
            counts: self.publisher.counts(),
            flaws: self.runs.last().map(|running| running.flaws.iter().copied().collect()).unwrap_or_default(),
            sources: self.sources.iter().enumerate().map(|(index, source)| source.status(active(index), now)).collect(),
            trouble: self.trouble.clone(),
        });
        if let Err(error) = self.means.place.queue.publish_replica(&status).await {
            tracing::debug!(%error, "a replica's status was not said");
        }
    }
}

/// Whether its schedule puts a channel on air only later than its encoders need to begin.
fn is_early(channel: &ChannelRecord, now_ms: i64) -> bool {
    let begins_ms = channel.on_air.begins_ms(now_ms);
    begins_ms.is_some_and(|from_ms| now_ms < from_ms - i64::from(channel.edition.segment_ms))
}

/// What comes out of a run.
enum Came {
    Piece(LivePiece),
    Signal(Signal),
    End,
}

/// The next thing that comes out of any run, with which; waits for ever where none runs.
async fn next(runs: &mut [Running]) -> (usize, Came) {
    std::future::poll_fn(|context| {
        for (at, running) in runs.iter_mut().enumerate().filter(|(_, running)| !running.ended) {
            if let Poll::Ready(Some(signal)) = running.run.signals.poll_recv(context) {
                return Poll::Ready((at, Came::Signal(signal)));
            }
            if let Poll::Ready(piece) = running.run.pieces.poll_recv(context) {
                return Poll::Ready((at, piece.map_or(Came::End, Came::Piece)));
            }
        }
        Poll::Pending
    })
    .await
}
