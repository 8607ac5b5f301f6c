//! One source of a channel: kept open, opened again with growing pauses when it ends, and its last
//! seconds on a tape for whoever encodes it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use framemill_media::{
    live::{Reel, Tape, TsItem, TsReader, distance, ingest::describe},
    toolchain::Toolchain,
};
use framemill_schemas::{
    failure::Failure,
    live::{LiveSource, LiveSourceKind, SourceFormat, SourceStatus, WRAP_TICKS},
};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::ingest::{Ingest, open};

/// Pause before a source that ended is opened again, doubled with each in a row.
const AGAIN: Duration = Duration::from_millis(250);
/// Longest such pause.
const AGAIN_MAX: Duration = Duration::from_secs(5);
/// A source that was there for so long may be opened again at once.
const SETTLED: Duration = Duration::from_secs(10);
/// Ticks of 90 kHz of a source that are looked at to say what it is like.
const DESCRIBE_TICKS: i64 = 108_000;
/// Most bytes of them.
const DESCRIBE_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Pause before a source that could not be described is described again.
const DESCRIBE_AGAIN: Duration = Duration::from_secs(2);
/// Chunks that wait to be read; beyond it the source waits, or loses packets.
const CHUNKS_WAITING: usize = 64;
/// Ticks of 90 kHz that a new timeline takes of what came before it was made.
const RECENT_TICKS: u64 = 2 * 90_000;
/// What a rate is measured over.
const RATE_OVER: Duration = Duration::from_secs(4);

/// A source that is kept open. Clones are the same one.
#[derive(Clone)]
pub(super) struct Source {
    shared: Arc<Shared>,
    _keeping: Arc<AbortOnDropHandle<()>>,
}

struct Shared {
    spec: LiveSource,
    state: Mutex<State>,
    /// Counts what was added to the tape.
    grown: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    tape: Tape,
    format: Option<SourceFormat>,
    last_packet: Option<Instant>,
    /// Since when packets come without a pause.
    flowing_since: Option<Instant>,
    arrivals: VecDeque<(Instant, usize)>,
    reconnects: u32,
    lost: u64,
    trouble: Option<Failure>,
}

/// A source at one moment.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Whether packets come.
    pub flowing: bool,
    /// For how long they have come without a pause.
    pub steady: Duration,
    /// What it is like, of the present epoch.
    pub format: Option<SourceFormat>,
    /// When its last picture is shown, in its own ticks.
    pub last_pts: Option<u64>,
    /// When its oldest entry on the tape is shown.
    pub oldest_pts: Option<u64>,
    /// When the first entry of its last seconds is shown.
    pub recent_pts: Option<u64>,
}

impl Source {
    /// Opens a source, and keeps it open until it is dropped.
    pub fn keep(spec: LiveSource, ingest: Ingest) -> Self {
        let shared = Arc::new(Shared { spec, state: Mutex::default(), grown: watch::Sender::new(0) });
        let keeping = tokio::spawn(keep(shared.clone(), ingest));
        Self { shared, _keeping: Arc::new(AbortOnDropHandle::new(keeping)) }
    }

    /// What it is.
    pub fn spec(&self) -> &LiveSource {
        &self.shared.spec
    }

    /// How it is.
    pub fn seen(&self, now: Instant) -> Seen {
        let state = self.shared.state();
        let flowing = state.is_flowing(self.shared.spec.kind, now);
        let since = state.flowing_since.filter(|_| flowing);
        Seen {
            flowing,
            steady: since.map_or(Duration::ZERO, |since| now.duration_since(since)),
            format: state.format.clone(),
            last_pts: state.tape.last().map(|picture| picture.pts),
            oldest_pts: state.tape.oldest_entry().map(|(_, pts)| pts),
            recent_pts: state.recent().map(|(_, pts)| pts),
        }
    }

    /// The tables, and the last entry that is shown at `pts` or before.
    pub fn entry_before(&self, pts: u64) -> Option<(Bytes, Reel)> {
        let state = self.shared.state();
        Some((state.tape.tables(), state.tape.entry_before(pts)?))
    }

    /// What lies from `reel` on; `None` where it is gone.
    pub fn read(&self, reel: Reel, bytes_max: usize) -> Option<(Vec<Bytes>, Reel)> {
        self.shared.state().tape.read(reel, bytes_max)
    }

    /// Changes whenever something is added.
    pub fn grown(&self) -> watch::Receiver<u64> {
        self.shared.grown.subscribe()
    }

    /// For those who ask.
    pub fn status(&self, active: bool, now: Instant) -> SourceStatus {
        let state = self.shared.state();
        let bytes: usize = state.arrivals.iter().map(|(_, bytes)| bytes).sum();
        let over = state.arrivals.front().map_or(RATE_OVER, |(at, _)| now.duration_since(*at));
        let reachable = state.is_flowing(self.shared.spec.kind, now);
        SourceStatus {
            uri: self.shared.spec.to_string(),
            active,
            reachable,
            bits_per_s: bytes as u64 * 8000 / (over.as_millis() as u64).max(1000),
            last_packet_ms: state.last_packet.map(|at| now.duration_since(at).as_millis() as u64),
            format: state.format.clone(),
            reconnects: state.reconnects,
            lost_packets: state.lost,
            trouble: state.trouble.clone().filter(|_| !reachable),
        }
    }
}

/// How long a source may be silent before it counts as lost: what comes in segments comes seldom.
pub(super) fn patience(kind: LiveSourceKind) -> Duration {
    match kind {
        LiveSourceKind::Hls => Duration::from_secs(20),
        _ => Duration::from_millis(1500),
    }
}

impl State {
    /// The first entry of the last seconds.
    fn recent(&self) -> Option<(Reel, u64)> {
        let since = self.tape.last()?.pts.wrapping_sub(RECENT_TICKS) % WRAP_TICKS;
        self.tape.entry_since(since)
    }

    fn is_flowing(&self, kind: LiveSourceKind, now: Instant) -> bool {
        self.last_packet.is_some_and(|at| now.duration_since(at) < patience(kind))
    }

    /// Takes what was read.
    fn take(&mut self, items: Vec<TsItem>, kind: LiveSourceKind, now: Instant) {
        for item in items {
            match item {
                TsItem::Tables(tables) => {
                    let epoch = self.tape.epoch();
                    self.tape.retable(tables);
                    if self.tape.epoch() != epoch {
                        self.format = None;
                    }
                }
                TsItem::Span(span) => {
                    if !self.is_flowing(kind, now) {
                        self.flowing_since = Some(now);
                    }
                    self.last_packet = Some(now);
                    self.arrivals.push_back((now, span.bytes.len()));
                    let epoch = self.tape.epoch();
                    self.tape.push(span);
                    if self.tape.epoch() != epoch {
                        tracing::warn!("the timestamps of a source jumped");
                        self.flowing_since = Some(now);
                        // It may be another programme: it is looked at anew.
                        self.format = None;
                    }
                }
            }
        }
        while self.arrivals.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE_OVER) {
            self.arrivals.pop_front();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic left behind is put right by the next packet.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the source again and again; describes it beside that.
async fn keep(shared: Arc<Shared>, ingest: Ingest) {
    tokio::join!(reopen(&shared, &ingest), keep_described(&shared, &ingest.tools));
}

async fn reopen(shared: &Shared, ingest: &Ingest) {
    let mut pause = AGAIN;
    loop {
        let began = Instant::now();
        let (chunks, arriving) = mpsc::channel(CHUNKS_WAITING);
        let (ended, ()) = tokio::join!(open(ingest, &shared.spec, chunks), read(shared, arriving));
        {
            let mut state = shared.state();
            state.reconnects = state.reconnects.saturating_add(1);
            match ended {
                Ok(()) => tracing::info!(source = %shared.spec, "a source ended; it is opened again"),
                Err(failure) => {
                    if state.trouble.as_ref().is_none_or(|before| before.code != failure.code) {
                        tracing::warn!(source = %shared.spec, reason = failure.reason, "a source cannot be read");
                    }
                    state.trouble = Some(failure);
                }
            }
        }
        pause = if began.elapsed() >= SETTLED { AGAIN } else { (pause * 2).min(AGAIN_MAX) };
        tokio::time::sleep(pause).await;
    }
}

/// Puts what comes onto the tape.
async fn read(shared: &Shared, mut arriving: mpsc::Receiver<Bytes>) {
    let mut reader = TsReader::default();
    let (mut items, mut lost) = (Vec::new(), 0);
    while let Some(chunk) = arriving.recv().await {
        reader.push(&chunk, &mut items);
        if items.is_empty() {
            continue;
        }
        {
            let mut state = shared.state();
            state.take(std::mem::take(&mut items), shared.spec.kind, Instant::now());
            state.lost += reader.lost() - lost;
            lost = reader.lost();
        }
        shared.grown.send_modify(|count| *count += 1);
    }
}

/// Says what each epoch of the source is like, once enough of it came.
async fn keep_described(shared: &Shared, tools: &Toolchain) {
    let mut grown = shared.grown.subscribe();
    let mut known: Option<u32> = None;
    while grown.changed().await.is_ok() {
        let Some(sample) = sample(&shared.state(), known) else { continue };
        match describe(tools, sample.packets, sample.pictures, &CancellationToken::new()).await {
            Ok(format) => {
                tracing::info!(source = %shared.spec, ?format, "a source was described");
                let mut state = shared.state();
                if state.tape.epoch() == sample.epoch {
                    state.format = Some(format);
                    known = Some(sample.epoch);
                }
                drop(state);
                shared.grown.send_modify(|count| *count += 1);
            }
            Err(failure) => {
                tracing::warn!(source = %shared.spec, reason = failure.reason, "a source cannot be described");
                shared.state().trouble = Some(failure);
                tokio::time::sleep(DESCRIBE_AGAIN).await;
            }
        }
    }
}

struct Sample {
    packets: Vec<Bytes>,
    pictures: (u64, i64, i64),
    epoch: u32,
}

/// Enough of the present epoch to say what it is like; nothing where that is known.
fn sample(state: &State, known: Option<u32>) -> Option<Sample> {
    let epoch = state.tape.epoch();
    if known == Some(epoch) {
        return None;
    }
    let (reel, first) = state.tape.oldest_entry()?;
    let last = state.tape.last()?;
    if distance(first, last.dts) < DESCRIBE_TICKS {
        return None;
    }
    let (spans, _) = state.tape.read(reel, DESCRIBE_BYTES_MAX)?;
    let mut packets = vec![state.tape.tables()];
    packets.extend(spans);
    let count = state.tape.pictures_from(reel);
    Some(Sample { packets, pictures: (count, 0, distance(first, last.pts)), epoch })
}
