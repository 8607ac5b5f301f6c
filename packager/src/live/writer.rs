//! One channel's playlists: follows its log, its timelines and its record, and writes what they make whenever
//! they have made something new. One loop.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use framemill_queue::{Change, Queue, Records, Watch};
use framemill_schemas::{
    live::{ChannelRecord, ChannelState, Timelines, record_key},
    subject,
};
use futures_util::StreamExt;
use tokio::{
    sync::{oneshot, watch},
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    chain::Entry,
    chores::{self, Chores},
    clock::now_ms,
    facts::{Facts, learn, needed},
    folding::FoldError,
    gaps::{Sight, Vigil},
    log::Log,
    recall,
    render::{Document, Scene, shown},
    report::Report,
    shards::{Channel, LiveParts},
    shelf::{Draft, Shelf},
    stage::Stage,
};

/// Pause before a channel that cannot be followed is opened again.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest wait for the next change while nothing is due.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Writes a channel, for ever.
pub async fn run(parts: LiveParts, channel: Channel, record: watch::Receiver<Arc<ChannelRecord>>) {
    loop {
        match Writer::open(&parts, &channel, record.clone()).await {
            Ok(mut writer) => writer.follow().await,
            Err(error) => tracing::warn!(channel = %channel.id, %error, "a channel cannot be written now"),
        }
        sleep(AGAIN).await;
    }
}

/// What was written last: nothing is written twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Written {
    revision: u64,
    number: u64,
    ended: bool,
    recalled: bool,
}

struct Writer {
    parts: LiveParts,
    channel: Channel,
    record: watch::Receiver<Arc<ChannelRecord>>,
    log: Log,
    timelines: Watch<Timelines>,
    stage: Stage,
    /// What reaches back, while it is being read; nothing once it was.
    older: Option<oneshot::Receiver<Vec<Entry>>>,
    facts: Facts,
    shelves: HashMap<String, Shelf>,
    written: Written,
    /// When the change came that is not written yet.
    heard: Instant,
    vigil: Vigil,
    chores: Chores,
    report: Report,
    _recalling: AbortOnDropHandle<()>,
}

impl Writer {
    /// Reads where the channel is: first the log, then the floor, then what was folded below it, so that
    /// nothing falls between them.
    async fn open(
        parts: &LiveParts,
        channel: &Channel,
        record: watch::Receiver<Arc<ChannelRecord>>,
    ) -> Result<Self, FoldError> {
        let (log, logged) = Log::open(&parts.queue, channel).await?;
        let records: Records<Timelines> = parts.queue.records(subject::TIMELINES_BUCKET);
        let key = record_key(&channel.tenant, &channel.id);
        let timelines = records.watch(&key).await?;
        let known = records.get(&key).await?.map(|(timelines, _)| timelines).unwrap_or_default();
        let indexes = recall::below(&parts.store, channel, known.floor).await?;
        let last = recall::last(&parts.store, &indexes).await?;
        let (older, recalling) = recall::begin(&parts.store, indexes, record.borrow().edition.clone());
        let folded: Vec<(u64, u64)> = logged
            .iter()
            .filter(|logged| logged.commit.number < known.floor)
            .map(|logged| (logged.commit.number, logged.revision))
            .collect();
        let mut stage = Stage::new(known, last);
        stage.commit(logged);
        let mut chores = Chores::default();
        chores.remove(parts, channel, folded);
        Ok(Self {
            report: Report::new(parts, channel),
            parts: parts.clone(),
            channel: channel.clone(),
            record,
            log,
            timelines,
            stage,
            older: Some(older),
            facts: Facts::new(),
            shelves: HashMap::new(),
            written: Written::default(),
            heard: Instant::now(),
            vigil: Vigil::default(),
            chores,
            _recalling: recalling,
        })
    }

    /// Follows until a watch ends, which none does by itself.
    async fn follow(&mut self) {
        loop {
            let rest = self.tick().await;
            tokio::select! {
                commits = self.log.next() => {
                    self.heard = Instant::now();
                    self.stage.commit(commits);
                }
                change = self.timelines.next() => match change {
                    None => return,
                    Some(Ok(Change::Put { value, .. })) => {
                        self.heard = Instant::now();
                        self.stage.follow(*value);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => tracing::warn!(channel = %self.channel.id, %error, "timelines cannot be read"),
                },
                changed = self.record.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.heard = Instant::now();
                }
                entries = arrived(&mut self.older) => {
                    self.heard = Instant::now();
                    self.stage.recall(entries);
                    self.older = None;
                }
                () = sleep(rest) => {}
            }
        }
    }

    /// One look: writes what is new, and begins what is due. Tells how long nothing else will be.
    async fn tick(&mut self) -> Duration {
        let record = self.record.borrow().clone();
        self.write(&record).await;
        let sight = sight(&self.stage, &self.parts.queue, &record);
        let due = self.vigil.due(&sight);
        let rest = self.vigil.rest(&sight).unwrap_or(IDLE_MAX).min(IDLE_MAX);
        if !due.is_empty() {
            self.chores.declare(&self.parts, &self.channel, chores::gaps(&self.stage, due, now_ms()));
        }
        self.chores.fold(&self.parts, &self.channel, &self.stage, &record.edition);
        rest
    }

    /// Hands everything over that is to be stored, when there is anything new.
    async fn write(&mut self, record: &ChannelRecord) {
        let Some(last) = self.stage.entries().last() else { return };
        // Ahead of a span nothing goes on yet.
        let ended = record.is_off_air() || record.on_air.is_ahead(now_ms()) && record.state == ChannelState::Starting;
        let recalled = self.older.is_none();
        let now = Written { revision: self.stage.revision(), number: last.number(), ended, recalled };
        if now == self.written {
            return;
        }
        self.written = now;
        let edition = &record.edition;
        let (live, reaching) = shown(&self.stage, edition);
        let shown = reaching.filter(|_| recalled).unwrap_or(live);
        learn(&self.parts.store, &self.channel.folder(), needed(shown), &mut self.facts).await;
        let documents = Scene { edition, facts: &self.facts, ended, recalled }.documents(&self.stage);
        let first = reaching.unwrap_or(live).first().map_or(0, Entry::number);
        let gaps = u32::try_from(live.iter().filter(|entry| entry.mark.gap).count()).unwrap_or(u32::MAX);
        self.report.shown(&self.stage, live);
        self.stage.forget(first);
        self.put(documents, now, gaps);
    }

    /// Hands documents over; the first, a live media playlist, stands for all in reports.
    fn put(&mut self, documents: Vec<Document>, now: Written, gaps: u32) {
        // The end of a channel follows on the last number: one place more.
        let revision = 2 * now.revision + u64::from(now.ended);
        for (n, document) in documents.into_iter().enumerate() {
            let draft = Draft { body: document.body, revision, number: now.number, heard: self.heard };
            let key = format!("{}/{}", self.channel.folder(), document.name);
            let shelf = self.shelf(&key);
            shelf.offer(draft);
            let landings = shelf.landings();
            if n == 0 {
                self.report.witness(key, landings, gaps);
            }
        }
    }

    fn shelf(&mut self, key: &str) -> &Shelf {
        let (parts, channel) = (&self.parts, &self.channel);
        let new = || Shelf::new(parts.store.clone(), key.to_owned(), channel.tags(), parts.metrics.clone());
        self.shelves.entry(key.to_owned()).or_insert_with(new)
    }
}

/// What reaches back, once it was read.
async fn arrived(older: &mut Option<oneshot::Receiver<Vec<Entry>>>) -> Vec<Entry> {
    match older {
        Some(older) => older.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

fn sight<'a>(stage: &'a Stage, queue: &Queue, record: &ChannelRecord) -> Sight<'a> {
    let now_ms = now_ms();
    Sight {
        on: record.is_on_air() && !record.on_air.is_ahead(now_ms) && queue.is_connected(),
        reconnects: queue.reconnects(),
        awaited: stage.awaited().map(|(number, timeline)| (number, &**timeline)),
        beyond: stage.beyond(),
        behind_gap: stage.entries().last().is_some_and(|entry| entry.mark.gap),
        now: Instant::now(),
        now_ms,
    }
}
