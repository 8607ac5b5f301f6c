//! Decodes samples of what is published, in another process than the one that encoded it: one at a time, of all
//! channels that this packager writes in turn. One loop. What it finds is told, nothing waits for it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use framemill_media::{
    Toolchain,
    decode::{DecodeFault, Media},
    look::look,
};
use framemill_schemas::{
    failure::{Class, Failure},
    live::{folder_of, init_key},
};
use framemill_storage::Store;
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    clock::now_ms,
    inspect::{Findings, Sample},
    rota::{Pick, Rota, Seat},
    verdict::{Decoded, judge},
};
use crate::metrics::{Metrics, Sampled};

/// Longest wait for the next number while nothing is due.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// Longest time of one sample, reading and two decodes: one that takes longer is given up, so that the others have
/// their turn.
const SAMPLE_MAX: Duration = Duration::from_secs(90);

/// Where a channel's samples are told.
#[derive(Clone)]
struct Channel {
    folder: String,
    findings: Arc<Mutex<Findings>>,
}

struct Shared {
    tools: Toolchain,
    every: Duration,
    rota: Mutex<Rota>,
    channels: Mutex<HashMap<Seat, Channel>>,
    seats: AtomicU64,
    news: Notify,
}

/// The sampling of all channels of a packager. Cheap to clone.
#[derive(Clone)]
pub struct Sampler(Option<Arc<Shared>>);

/// A channel that is sampled, until this is dropped.
pub struct Seated {
    seat: Seat,
    shared: Arc<Shared>,
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.shared.rota().leave(self.seat);
        self.shared.channels().remove(&self.seat);
    }
}

impl Seated {
    /// This number is stored, and nothing newer.
    pub fn offer(&self, sample: Sample) {
        self.shared.rota().offer(self.seat, sample, Instant::now());
        self.shared.news.notify_one();
    }
}

impl Shared {
    fn rota(&self) -> MutexGuard<'_, Rota> {
        self.rota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<Seat, Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sampler {
    /// One that samples each rendition once in so many seconds, or not at all.
    pub fn new(tools: &Toolchain, every_s: u32) -> Self {
        if every_s == 0 {
            return Self(None);
        }
        if !tools.looks() {
            tracing::warn!("this ffmpeg has no filters that see black, frozen and silent: channels are not sampled");
            return Self(None);
        }
        let every = Duration::from_secs(every_s.into());
        Self(Some(Arc::new(Shared {
            tools: tools.clone(),
            every,
            rota: Mutex::new(Rota::new(every)),
            channels: Mutex::default(),
            seats: AtomicU64::default(),
            news: Notify::new(),
        })))
    }

    /// How often each rendition is due, seconds; 0: never.
    pub fn every_s(&self) -> u32 {
        self.0.as_ref().map_or(0, |shared| u32::try_from(shared.every.as_secs()).unwrap_or(u32::MAX))
    }

    /// Takes a channel in.
    pub fn seat(&self, folder: String, findings: Arc<Mutex<Findings>>) -> Option<Seated> {
        let shared = self.0.clone()?;
        let seat = shared.seats.fetch_add(1, Ordering::Relaxed);
        shared.channels().insert(seat, Channel { folder, findings });
        Some(Seated { seat, shared })
    }

    /// Samples for ever.
    pub async fn run(&self, store: &Store, metrics: &Metrics) {
        let Some(shared) = &self.0 else { return std::future::pending().await };
        let mut was_late = false;
        loop {
            let (pick, next_at) = {
                let mut rota = shared.rota();
                (rota.take(Instant::now()), rota.next_at())
            };
            let Some(pick) = pick else {
                let rest = next_at.map_or(IDLE_MAX, |at| at.saturating_duration_since(Instant::now()).min(IDLE_MAX));
                tokio::select! {
                    () = shared.news.notified() => {}
                    () = sleep(rest) => {}
                }
                continue;
            };
            let late = pick.late > shared.every;
            if late && !was_late {
                let (late_s, every_s) = (pick.late.as_secs(), shared.every.as_secs());
                tracing::warn!(late_s, every_s, "decoding samples of channels falls behind");
            } else if !late && was_late {
                tracing::info!("decoding samples of channels has caught up");
            }
            was_late = late;
            let channel = shared.channels().get(&pick.seat).cloned();
            if let Some(channel) = channel {
                let outcome = Work { shared, store, metrics, channel: &channel, pick: &pick }.run(late).await;
                metrics.live_sampled(outcome, late);
            }
        }
    }
}

/// One sample.
struct Work<'a> {
    shared: &'a Shared,
    store: &'a Store,
    metrics: &'a Metrics,
    channel: &'a Channel,
    pick: &'a Pick,
}

impl Work<'_> {
    /// Takes it, and tells what it shows.
    async fn run(&self, late: bool) -> Sampled {
        let (folder, sample) = (&self.channel.folder, &self.pick.sample);
        let rendition = sample.timeline.renditions().nth(self.pick.index).unwrap_or_default();
        let number = sample.commit.number;
        let decoded = match timeout(SAMPLE_MAX, self.decode(rendition)).await {
            Ok(Ok(Some(decoded))) => decoded,
            // The check of its boxes says that it is missing.
            Ok(Ok(None)) => return Sampled::Unread,
            Ok(Err(failure)) => {
                tracing::debug!(folder, rendition, number, reason = failure.reason, "a sample could not be taken");
                return Sampled::Unread;
            }
            Err(_) => {
                tracing::warn!(folder, rendition, number, "a sample was given up: decoding it takes too long");
                return Sampled::GivenUp;
            }
        };
        let mut findings = self.channel.findings.lock().unwrap_or_else(PoisonError::into_inner);
        let before = findings.samples.get(rendition);
        let (said, found) = judge(sample, self.pick.index, &decoded, before, now_ms());
        let job = sample.commit.what.tracks().get(self.pick.index).map(|track| track.by.to_string());
        for finding in &found {
            tracing::warn!(folder, number, job, ?finding, "a published segment is not what it should be");
        }
        let outcome = match (&said.fault, said.seen.is_empty()) {
            (Some(_), _) => Sampled::Broken,
            (None, false) => Sampled::Flawed,
            (None, true) => Sampled::Good,
        };
        self.metrics.live_found(&found);
        findings.samples.retain(|name, _| sample.timeline.renditions().any(|rendition| rendition == name));
        findings.samples.insert(rendition.to_owned(), said);
        findings.samples_late = late;
        findings.note(number, found);
        outcome
    }

    /// Decodes it, and what a decoder refuses once more: one that was disturbed condemns a good segment, while
    /// what is broken stays so. Nothing where it is not stored.
    async fn decode(&self, rendition: &str) -> Result<Option<Decoded>, Failure> {
        let Some(bytes) = self.fetch(rendition).await? else { return Ok(None) };
        let media = if self.pick.index < self.pick.sample.timeline.rungs.len() { Media::Video } else { Media::Audio };
        match self.look(media, &bytes).await? {
            Decoded::Refused(_) => self.look(media, &bytes).await.map(Some),
            whole @ Decoded::Whole(_) => Ok(Some(whole)),
        }
    }

    async fn look(&self, media: Media, bytes: &[bytes::Bytes; 2]) -> Result<Decoded, Failure> {
        let (decoder, coming) = mpsc::channel(bytes.len());
        for part in bytes {
            decoder.try_send(part.clone()).expect("there is room for all of it");
        }
        drop(decoder);
        match look(&self.shared.tools, media, coming, &CancellationToken::new()).await {
            Ok(look) => Ok(Decoded::Whole(look)),
            Err(DecodeFault::Stream { evidence }) => Ok(Decoded::Refused(evidence)),
            Err(DecodeFault::Failure(failure)) => Err(failure),
        }
    }

    /// Its init and its segment.
    async fn fetch(&self, rendition: &str) -> Result<Option<[bytes::Bytes; 2]>, Failure> {
        let Sample { commit, timeline } = &self.pick.sample;
        let Some(track) = commit.what.tracks().get(self.pick.index) else {
            return Err(Failure::new(Class::Bug, "no-such-track", format!("{rendition} is no part of its commit")));
        };
        let folder = format!("{}/{}", self.channel.folder, folder_of(timeline));
        let init = self.store.get(&init_key(&folder, rendition, &track.init)).await;
        let segment = self.store.get(&commit.object_key(&folder, rendition)).await;
        let (init, segment) = (init.map_err(|error| error.to_failure())?, segment.map_err(|error| error.to_failure())?);
        Ok(init.zip(segment).map(|(init, segment)| [init.body, segment.body]))
    }
}
