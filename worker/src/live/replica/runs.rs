//! Runs of the encoder: which timelines have one, and when one is ended, or begun again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use framemill_media::live::Signal;
use framemill_schemas::{
    failure::Failure,
    inventory::Engine,
    live::{ChannelRecord, Flaw, Timeline, Timelines},
};

use super::{
    super::{
        decide::{first_number, fits, is_overdue},
        encoder::{self, Run},
        publish::{Init, now_ms},
    },
    Replica,
};

/// Runs in a row that may end without a segment before the job is given to another node.
const BARREN_MAX: u32 = 5;
/// Pause after such a run, doubled with each.
const BARREN_PAUSE: Duration = Duration::from_millis(250);
/// How long a run lasts at least before it is replaced: far less than its timestamps take to wrap.
const RUN_MIN: Duration = Duration::from_secs(12 * 3600);
/// How much longer it may last.
const RUN_SPREAD: Duration = Duration::from_secs(6 * 3600);

/// A run, and how far each of its renditions is.
pub(super) struct Running {
    pub run: Run,
    pub inits: Vec<Option<Init>>,
    pub last: Vec<Option<u64>>,
    /// Numbers whose pictures are whole, and since when.
    pub whole: BTreeMap<u64, Instant>,
    /// What its filters see wrong with what it makes.
    pub flaws: BTreeSet<Flaw>,
    pub heard: Instant,
    pub ended: bool,
}

impl Running {
    /// Takes note of what its filters say.
    pub fn note(&mut self, signal: Signal) {
        if signal.begins {
            self.flaws.insert(signal.flaw)
        } else {
            self.flaws.remove(&signal.flaw)
        };
    }

    /// The last number that every rendition has.
    pub fn complete(&self) -> Option<u64> {
        self.last.iter().copied().min().flatten()
    }

    /// The first number that some rendition lacks.
    pub fn next(&self) -> u64 {
        self.complete().map_or(self.run.first, |number| number + 1)
    }
}

impl Replica {
    /// Takes note of runs that ended by themselves.
    pub(super) async fn reap(&mut self) -> Result<(), Failure> {
        while let Some(at) = self.runs.iter().position(|running| running.ended) {
            let running = self.runs.remove(at);
            let barren = running.complete().is_none();
            let failure = running.run.end().await;
            self.ended(barren, failure)?;
        }
        Ok(())
    }

    /// A run ended that was wanted.
    pub(super) fn ended(&mut self, barren: bool, failure: Option<Failure>) -> Result<(), Failure> {
        self.pace.restart();
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

    /// The timelines that are encoded now: the last one, and the one before until its end has come.
    pub(super) fn active<'a>(&self, timelines: &'a Timelines) -> Vec<(&'a Timeline, Option<u64>)> {
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
    pub(super) fn run_max(&self) -> Duration {
        let spread = self.means.place.job.uuid().as_u128() % RUN_SPREAD.as_secs() as u128;
        RUN_MIN + Duration::from_secs(spread as u64)
    }

    /// Ends runs that are at their end, that nobody wants, that hang, or that have lasted long enough.
    pub(super) async fn end_runs(&mut self, timelines: &Timelines) -> Result<(), Failure> {
        let now_ms = now_ms();
        let mut at = 0;
        while at < self.runs.len() {
            let running = &self.runs[at];
            let timeline = &running.run.timeline;
            let until = timelines.first_after(timeline.id);
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
    pub(super) async fn begin_runs(&mut self, channel: &ChannelRecord, timelines: &Timelines) {
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
            let begins = channel.on_air.begins_ms(now_ms).map(|from_ms| timeline.number_at_ms(from_ms));
            let first = first.max(begins.unwrap_or_default());
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
            self.runs.push(Running {
                run,
                inits,
                last,
                whole: BTreeMap::new(),
                flaws: BTreeSet::new(),
                heard: Instant::now(),
                ended: false,
            });
        }
    }
}
