//! A replica's loop: looks at what is wanted, what its sources give and what was committed; starts and
//! ends runs, makes timelines, and says every second how it is doing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use framemill_media::{
    encode::Via,
    live::{LivePiece, Signal, Wanted},
    toolchain::Toolchain,
};
use framemill_schemas::{
    failure::Failure,
    inventory::Engine,
    live::{ChannelRecord, Edition, Flaw, Timeline, Timelines},
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    decide::{Facts, Why, first_number, fits, is_overdue, turn},
    encoder::{self, Run, SOUND_AHEAD},
    fillers::Fillers,
    ingest::Ingest,
    log::Log,
    plan::{Ground, timeline},
    publish::{Init, Order, Place, Publisher, now_ms},
    source::{Seen, Source},
    status::{Now, Pace, status},
};
use crate::upload::called_off;

/// How often everything is looked at though nothing happened.
const LOOK: Duration = Duration::from_millis(100);
/// How often a replica says how it is doing.
const SAY: Duration = Duration::from_secs(1);
/// How long sound may take that belongs to pictures which are there; then silence stands for it.
const SOUND_LATE: Duration = Duration::from_millis(700);
/// Runs in a row that may end without a segment before the job is given to another node.
const BARREN_MAX: u32 = 5;
/// Pause after such a run, doubled with each.
const BARREN_PAUSE: Duration = Duration::from_millis(250);
/// How much longer than a segment a timeline that only its owner can encode may stand still.
const ORPHANED: Duration = Duration::from_secs(1);
/// How long a run lasts at least before it is replaced: far less than its timestamps take to wrap.
const RUN_MIN: Duration = Duration::from_secs(12 * 3600);
/// How much longer it may last.
const RUN_SPREAD: Duration = Duration::from_secs(6 * 3600);
/// Pause between two tries to make a timeline.
const TURN_AGAIN: Duration = Duration::from_millis(500);

/// What a replica works with.
#[derive(Clone)]
pub(crate) struct Means {
    pub tools: Toolchain,
    pub ingest: Ingest,
    pub place: Place,
    pub engine: Engine,
    pub via: Via,
}

/// A run, and how far each of its renditions is.
struct Running {
    run: Run,
    inits: Vec<Option<Init>>,
    last: Vec<Option<u64>>,
    /// Numbers whose pictures are whole, and since when.
    whole: BTreeMap<u64, Instant>,
    heard: Instant,
    ended: bool,
}

impl Running {
    /// The last number that every rendition has.
    fn complete(&self) -> Option<u64> {
        self.last.iter().copied().min().flatten()
    }

    /// The first number that some rendition lacks.
    fn next(&self) -> u64 {
        self.complete().map_or(self.run.first, |number| number + 1)
    }
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
    flaws: BTreeSet<Flaw>,
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
        let publisher = Publisher::start(means.place.clone(), log.head.clone());
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
            flaws: BTreeSet::new(),
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
                    Came::Signal(signal) => self.note(signal),
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
        self.turn(&channel, &timelines, revision, &seen).await;
        self.end_runs(&timelines).await?;
        self.begin_runs(&timelines).await;
        self.want_sound();
        self.fill(&timelines).await;
        self.forget_former(&timelines);
        Ok(())
    }

    /// The source that a timeline is made from.
    fn source_of(&self, timeline: &Timeline) -> Option<&Source> {
        self.sources.iter().chain(&self.former).find(|source| *source.spec() == timeline.origin)
    }

    fn seen_of(&self, timeline: &Timeline) -> Option<Seen> {
        self.source_of(timeline).map(|source| source.seen(Instant::now()))
    }

    /// Closes what no timeline reads any more.
    fn forget_former(&mut self, timelines: &Timelines) {
        let last = timelines.last().map(|last| &last.origin);
        let runs = &self.runs;
        self.former.retain(|source| {
            last == Some(source.spec()) || runs.iter().any(|running| running.run.timeline.origin == *source.spec())
        });
    }

    /// Opens what the edition names, and closes what it does not name any more.
    fn keep_sources(&mut self, edition: &Edition) {
        if self.edition == Some(edition.number) {
            return;
        }
        self.edition = Some(edition.number);
        let mut before = std::mem::take(&mut self.sources);
        before.append(&mut self.former);
        for spec in &edition.sources {
            let kept = before.iter().position(|source| source.spec() == spec);
            let source = match kept {
                Some(at) => before.swap_remove(at),
                None => Source::keep(spec.clone(), self.means.ingest.clone()),
            };
            self.sources.push(source);
        }
        // A timeline goes on until another is there.
        self.former = before;
    }

    /// Takes note of runs that ended by themselves.
    async fn reap(&mut self) -> Result<(), Failure> {
        while let Some(at) = self.runs.iter().position(|running| running.ended) {
            let running = self.runs.remove(at);
            let barren = running.complete().is_none();
            let failure = running.run.end().await;
            self.ended(barren, failure)?;
        }
        Ok(())
    }

    /// A run ended that was wanted.
    fn ended(&mut self, barren: bool, failure: Option<Failure>) -> Result<(), Failure> {
        self.pace.restart();
        self.flaws.clear();
        self.barren = if barren { self.barren + 1 } else { 0 };
        if let Some(failure) = failure {
            tracing::warn!(
                code = failure.code,
                reason = failure.reason,
                "a channel's encoder ended; it is started again"
            );
            if self.barren >= BARREN_MAX {
                return Err(failure);
            }
            self.trouble = Some(failure);
        }
        if barren {
            self.rest_until = Some(Instant::now() + BARREN_PAUSE * 2_u32.pow(self.barren.min(5)));
        }
        Ok(())
    }

    /// Makes another timeline where one is necessary, unless the peer is faster.
    async fn turn(&mut self, channel: &ChannelRecord, timelines: &Timelines, revision: u64, seen: &[Seen]) {
        if self.turned.is_some_and(|at| at.elapsed() < TURN_AGAIN) {
            return;
        }
        let facts = Facts {
            edition: &channel.edition,
            last: timelines.last(),
            seen,
            peer_is_fine: self.peer_is_fine(timelines),
            orphaned: self.is_orphaned(timelines),
            other_engine: timelines
                .last()
                .is_some_and(|last| last.nvenc.is_some() != (self.means.engine == Engine::Nvenc)),
            now_ms: now_ms(),
        };
        let Some(turn) = turn(&facts) else { return };
        self.turned = Some(Instant::now());
        let Some(format) = seen[turn.source].format.as_ref() else { return };
        let random = Uuid::new_v4().simple().to_string();
        let shares = channel.edition.sources[turn.source].kind.shares_clock();
        let ground = Ground {
            edition: &channel.edition,
            source: turn.source as u32,
            format,
            engine: self.means.engine,
            before: timelines,
            free: self.log.head.borrow().free(),
            now_ms: facts.now_ms,
            random: &random[..8],
            owner: (!shares).then_some(self.means.place.job),
        };
        let made = match timeline(ground, turn.begin) {
            Ok(made) => made,
            Err(failure) => {
                self.trouble = Some(failure);
                return;
            }
        };
        let (id, first, why) = (made.id, made.first, turn.why);
        match self.log.store(&timelines.with(made), revision).await {
            Ok(true) => tracing::info!(timeline = id, first, ?why, "a timeline was made"),
            Ok(false) => tracing::debug!(timeline = id, "somebody else made a timeline"),
            Err(error) => tracing::warn!(%error, "a timeline cannot be stored yet"),
        }
        if why != Why::First {
            self.filled = None;
        }
    }

    /// Whether the peer encodes the last timeline, from a source that it reads.
    fn peer_is_fine(&self, timelines: &Timelines) -> bool {
        let peer = self.log.peer.borrow();
        let Some(status) = peer.now() else { return false };
        let reads = status.sources.iter().any(|source| source.active && source.reachable);
        status.encoding && reads && status.timeline == timelines.last().map(|last| last.id)
    }

    /// Whether the last timeline is another replica's own, and nothing comes of that one any more.
    fn is_orphaned(&self, timelines: &Timelines) -> bool {
        let Some(last) = timelines.last() else { return false };
        if last.owner.is_none_or(|owner| owner == self.means.place.job) || self.peer_is_fine(timelines) {
            return false;
        }
        let patience = Duration::from_millis(last.segment_ms()) + ORPHANED;
        let silent = self.log.head.borrow().segment_at.map_or(self.began.elapsed(), |at| at.elapsed());
        silent > patience && self.began.elapsed() > patience
    }

    /// The timelines that are encoded now: the last one, and the one before until its end has come.
    fn active<'a>(&self, timelines: &'a Timelines) -> Vec<(&'a Timeline, Option<u64>)> {
        let Some(last) = timelines.last() else { return Vec::new() };
        let mut active = Vec::with_capacity(2);
        if let Some(before) = timelines.all.len().checked_sub(2).map(|at| &timelines.all[at])
            && last.time_ms(last.first).start > now_ms()
        {
            active.push((before, Some(last.first)));
        }
        active.push((last, None));
        let engine = self.means.engine == Engine::Nvenc;
        let mine = |timeline: &Timeline| {
            timeline.owner.is_none_or(|owner| owner == self.means.place.job) && timeline.nvenc.is_some() == engine
        };
        active.retain(|(timeline, _)| mine(timeline));
        active
    }

    /// How long one run may last: another goes on from the tape. Replicas differ, so that they do not change at
    /// the same moment.
    fn run_max(&self) -> Duration {
        let spread = self.means.place.job.uuid().as_u128() % RUN_SPREAD.as_secs() as u128;
        RUN_MIN + Duration::from_secs(spread as u64)
    }

    /// Ends runs that are at their end, that nobody wants, that hang, or that have lasted long enough.
    async fn end_runs(&mut self, timelines: &Timelines) -> Result<(), Failure> {
        let now_ms = now_ms();
        let mut at = 0;
        while at < self.runs.len() {
            let running = &self.runs[at];
            let timeline = &running.run.timeline;
            let until = first_after(timelines, timeline.id);
            let over = until.is_some_and(|until| {
                running.next() >= until
                    || timeline.time_ms(until.saturating_sub(1).max(timeline.first)).end + 10_000 < now_ms
            });
            let waited = running.heard.elapsed().min(running.run.began.elapsed());
            let seen = self.seen_of(timeline);
            let hangs = seen.is_some_and(|seen| is_overdue(timeline, running.next(), &seen, waited, now_ms));
            let old = running.run.began.elapsed() > self.run_max();
            if !over && !hangs && !old {
                at += 1;
                continue;
            }
            let running = self.runs.remove(at);
            let barren = running.complete().is_none();
            if hangs && !over {
                tracing::warn!(number = running.next(), "a channel's encoder hangs; it is started again");
            }
            running.run.end().await;
            if hangs && !over {
                self.ended(barren, None)?;
            }
        }
        Ok(())
    }

    /// Starts a run for each timeline that has none.
    async fn begin_runs(&mut self, timelines: &Timelines) {
        if self.rest_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        for (timeline, until) in self.active(timelines) {
            let Some(source) = self.source_of(timeline).cloned() else { continue };
            let (now_ms, seen) = (now_ms(), source.seen(Instant::now()));
            if !fits(timeline, &seen, now_ms) {
                continue;
            }
            if self.runs.iter().any(|running| running.run.timeline.id == timeline.id) {
                continue;
            }
            let Some(silence) = self.fillers.silence(timeline).await else { continue };
            let free = self.log.head.borrow().free();
            let Some(first) = first_number(timeline, &seen, free, now_ms) else { continue };
            if until.is_some_and(|until| first >= until) {
                continue;
            }
            let start = timeline.frames_of(first).start.cast_signed();
            let Some(entry) = source.entry_before(timeline.clock.pts_of(start)) else { continue };
            tracing::info!(timeline = timeline.id, first, "a channel's encoder is started");
            let tracks = timeline.rungs.len() + timeline.audio.len();
            let run = Run::begin(encoder::Begin {
                tools: self.means.tools.clone(),
                timeline: Arc::new(timeline.clone()),
                first,
                via: self.means.via,
                silence,
                source,
                entry,
            });
            let (inits, last) = (vec![None; tracks], vec![None; tracks]);
            self.runs.push(Running { run, inits, last, whole: BTreeMap::new(), heard: Instant::now(), ended: false });
        }
    }

    /// Takes a piece of a run.
    async fn take(&mut self, at: usize, piece: LivePiece) {
        let running = &mut self.runs[at];
        running.heard = Instant::now();
        let segment = match piece.what {
            Err(init) => {
                running.inits[piece.track] = Some(Init::of(init));
                return;
            }
            Ok(segment) => segment,
        };
        let timeline = running.run.timeline.clone();
        if successor(&self.log, timeline.id).is_some_and(|first| segment.number >= first) {
            // Of another timeline by now: what was committed of it here would be a gap.
            running.last[piece.track] = Some(segment.number);
            return;
        }
        let before = running.complete();
        running.last[piece.track] = Some(segment.number);
        let pictures = running.last[..timeline.rungs.len()].iter().copied().min().flatten();
        if pictures == Some(segment.number) {
            running.whole.insert(segment.number, Instant::now());
        }
        let complete = running.complete();
        let init = running.inits[piece.track].clone().or_else(|| self.fillers.init(timeline.id, piece.track));
        if complete > before {
            self.barren = 0;
            self.trouble = None;
            self.pace.finish(&timeline, segment.number);
        }
        let Some(init) = init else {
            tracing::error!(track = piece.track, "a rendition came without its init");
            return;
        };
        let flaws = self.wrong(&timeline);
        let hold = self.hold(&timeline, &flaws);
        let order = Order {
            timeline,
            track: piece.track,
            number: segment.number,
            bytes: segment.bytes,
            init,
            filler: false,
            flaws,
            hold,
            at: segment.at,
        };
        self.publisher.put(order).await;
    }

    /// What is wrong with what is made now.
    fn wrong(&self, timeline: &Timeline) -> Vec<Flaw> {
        let peer = self.log.peer.borrow();
        let behind = peer.now().and_then(|peer| Some(self.pace.lag_ms? - peer.lag_ms?));
        let late = behind.is_some_and(|behind| behind > timeline.segment_ms() as i64 / 2);
        self.flaws.iter().copied().chain(late.then_some(Flaw::Late)).collect()
    }

    /// How long a peer that sees nothing wrong is let go first.
    fn hold(&self, timeline: &Timeline, flaws: &[Flaw]) -> Duration {
        let peer = self.log.peer.borrow();
        let healthy = peer.now().is_some_and(|peer| peer.encoding && peer.flaws.is_empty());
        let waits = healthy && !flaws.is_empty();
        if waits { Duration::from_millis(timeline.segment_ms() / 4) } else { Duration::ZERO }
    }

    fn note(&mut self, signal: Signal) {
        if signal.begins {
            self.flaws.insert(signal.flaw)
        } else {
            self.flaws.remove(&signal.flaw)
        };
    }

    /// Silence is wanted where sound did not come with its pictures.
    fn want_sound(&mut self) {
        for running in &mut self.runs {
            let rungs = running.run.timeline.rungs.len();
            let sound = running.last[rungs..].iter().copied().min().flatten();
            let patience = if running.run.timeline.format.sound.is_some() { SOUND_LATE } else { Duration::ZERO };
            let late = |(number, since): (&u64, &Instant)| since.elapsed() >= patience && Some(*number) > sound;
            let silent = running.whole.iter().filter(|entry| late(*entry)).map(|(number, _)| *number).max();
            let pictures = running.last[..rungs].iter().copied().min().flatten().unwrap_or(running.run.first);
            let wanted = Wanted { now: silent.unwrap_or_default(), until: pictures + SOUND_AHEAD };
            running.run.wanted.send_if_modified(|now| {
                let risen = Wanted { now: now.now.max(wanted.now), until: now.until.max(wanted.until) };
                std::mem::replace(now, risen) != risen
            });
            let done = running.complete();
            running.whole.retain(|number, _| Some(*number) > done);
        }
    }

    /// Filler for a number that nobody can make: no source is there, and its time is over.
    async fn fill(&mut self, timelines: &Timelines) {
        let Some(last) = timelines.last().cloned() else { return };
        let lost = self.seen_of(&last).is_none_or(|seen| !seen.flowing);
        let free = self.log.head.borrow().free().max(last.first);
        if !lost || self.log.head.borrow().last.is_none() || self.peer_is_fine(timelines) {
            return;
        }
        let segment_ms = last.segment_ms() as i64;
        let lag_ms = self.pace.lag_ms.unwrap_or(1000).clamp(0, 2 * segment_ms);
        let due = last.time_ms(free).end + lag_ms + segment_ms / 4;
        if now_ms() < due || self.filled.is_some_and(|filled| filled >= free) {
            return;
        }
        let Some(filler) = self.fillers.made(&last).await.cloned() else { return };
        let timeline = Arc::new(last);
        for track in 0..timeline.rungs.len() + timeline.audio.len() {
            let bytes = match filler.segment(&timeline, track, free) {
                Ok(bytes) => bytes,
                Err(failure) => {
                    self.trouble = Some(failure);
                    return;
                }
            };
            let order = Order {
                timeline: timeline.clone(),
                track,
                number: free,
                bytes,
                init: Init::of(filler.inits[track].clone()),
                filler: true,
                flaws: Vec::new(),
                hold: Duration::ZERO,
                at: Instant::now(),
            };
            self.publisher.put(order).await;
        }
        self.filled = Some(free);
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
            flaws: self.flaws.iter().copied().collect(),
            sources: self.sources.iter().enumerate().map(|(index, source)| source.status(active(index), now)).collect(),
            trouble: self.trouble.clone(),
        });
        if let Err(error) = self.means.place.queue.publish_replica(&status).await {
            tracing::debug!(%error, "a replica's status was not said");
        }
    }
}

/// The first number of the timeline that follows this one.
fn first_after(timelines: &Timelines, id: u32) -> Option<u64> {
    let at = timelines.all.iter().position(|timeline| timeline.id == id)?;
    timelines.all.get(at + 1).map(|next| next.first)
}

fn successor(log: &Log, id: u32) -> Option<u64> {
    log.timelines.borrow().as_ref().and_then(|(timelines, _)| first_after(timelines, id))
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
