//! What happened to every job of a fleet, and what the fleet looked like each second.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use framemill_schemas::{ids::JobId, job::JobRecord};

use super::{node::DeviceSeen, report::Sample, work::LARGE_UNIT};

/// Time over which starts are counted: small jobs are bound by them, and not by the encoder.
const STARTS_OVER: Duration = Duration::from_secs(6);
/// How long a device may idle while jobs wait that fit it: one start, and one sweep.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// A device of the fleet.
pub(super) type DeviceId = (usize, u32);

/// What is known of a job.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub large: bool,
    pub submitted: Instant,
    pub started: Option<Instant>,
    pub ended: Option<Instant>,
    pub refused: Option<Instant>,
}

#[derive(Default)]
struct Pages {
    jobs: HashMap<JobId, Entry>,
    starts: HashMap<DeviceId, Vec<Instant>>,
    refusals: HashMap<String, u64>,
    /// Since when a device has run nothing while jobs waited.
    idle_since: HashMap<DeviceId, Instant>,
    idle_longest: Duration,
    over: HashMap<DeviceId, u32>,
    over_longest: u32,
    started_recently: Vec<Duration>,
}

/// The book of a fleet.
pub(super) struct Book {
    jobs: usize,
    pages: Mutex<Pages>,
}

/// What the book tells at the end.
pub(super) struct Account {
    pub entries: Vec<Entry>,
    pub closest_starts: Option<Duration>,
    pub most_starts: usize,
    pub refusals: u64,
    pub idle_longest: Duration,
    pub over_longest: u32,
}

impl Book {
    pub fn new(jobs: usize) -> Self {
        Self { jobs, pages: Mutex::default() }
    }

    pub fn jobs(&self) -> usize {
        self.jobs
    }

    pub fn submitted(&self, job: &JobRecord, at: Instant) {
        let large = job.unit.starts_with(LARGE_UNIT);
        let entry = Entry { large, submitted: at, started: None, ended: None, refused: None };
        self.pages().jobs.insert(job.id, entry);
    }

    pub fn started(&self, job: JobId, device: DeviceId, at: Instant) {
        let mut pages = self.pages();
        pages.starts.entry(device).or_default().push(at);
        let Some(entry) = pages.jobs.get_mut(&job) else { return };
        entry.started = Some(at);
        let waited = at - entry.submitted;
        pages.started_recently.push(waited);
    }

    pub fn ended(&self, job: JobId, at: Instant) {
        if let Some(entry) = self.pages().jobs.get_mut(&job) {
            entry.ended = Some(at);
        }
    }

    pub fn refused(&self, job: JobId, code: &str, at: Instant) {
        let mut pages = self.pages();
        *pages.refusals.entry(code.to_owned()).or_default() += 1;
        if let Some(entry) = pages.jobs.get_mut(&job) {
            entry.refused.get_or_insert(at);
        }
    }

    pub fn is_done(&self) -> bool {
        self.left() == 0
    }

    pub fn left(&self) -> usize {
        let pages = self.pages();
        self.jobs - pages.jobs.values().filter(|entry| entry.ended.is_some()).count()
    }

    /// One look at the fleet.
    pub fn sample(&self, devices: &[DeviceSeen], elapsed: Duration, now: Instant) -> Sample {
        let mut pages = self.pages();
        let waiting = pages.jobs.values().filter(|entry| entry.started.is_none()).count();
        let running = pages.jobs.values().filter(|entry| entry.started.is_some() && entry.ended.is_none()).count();
        let long_waiting = |entry: &&Entry| entry.started.is_none() && now - entry.submitted > IDLE_MAX;
        // More than could be on their way to somebody: what is left last is claimed by whoever is first.
        let plenty = pages.jobs.values().filter(long_waiting).count() > devices.len();
        let mut filled = 0.0;
        let mut encoder = 0.0;
        for seen in devices {
            let id = (seen.node, seen.reading.index);
            let percent = seen.reading.encoder_percent.unwrap_or_default();
            encoder += f64::from(percent);
            let starts = pages
                .starts
                .get(&id)
                .map_or(0, |starts| starts.iter().rev().take_while(|start| now - **start < STARTS_OVER).count());
            filled +=
                fill(seen).max(starts as f64 * seen.gap.as_secs_f64() * 100.0 / STARTS_OVER.as_secs_f64()).min(100.0);
            let over = pages.over.entry(id).or_default();
            *over = if percent > seen.encoder_percent { *over + 1 } else { 0 };
            let over = *over;
            pages.over_longest = pages.over_longest.max(over);
            if seen.reading.sessions == Some(0) && plenty {
                let since = *pages.idle_since.entry(id).or_insert(now);
                pages.idle_longest = pages.idle_longest.max(now - since);
            } else {
                pages.idle_since.remove(&id);
            }
        }
        let count = devices.len().max(1) as f64;
        let mut waits = std::mem::take(&mut pages.started_recently);
        waits.sort_unstable();
        let wait_s = crate::figures::nearest_rank(&waits, 50).map(|wait| wait.as_secs_f64());
        Sample {
            seconds: elapsed.as_secs_f64(),
            filled_percent: filled / count,
            encoder_percent: encoder / count,
            waiting,
            running,
            started: waits.len(),
            wait_s,
        }
    }

    pub fn account(&self) -> Account {
        let pages = self.pages();
        let gaps = pages.starts.values().flat_map(|starts| {
            let mut starts = starts.clone();
            starts.sort_unstable();
            starts.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>()
        });
        Account {
            entries: pages.jobs.values().cloned().collect(),
            closest_starts: gaps.min(),
            most_starts: pages.starts.values().map(Vec::len).max().unwrap_or_default(),
            refusals: pages.refusals.values().sum(),
            idle_longest: pages.idle_longest,
            over_longest: pages.over_longest,
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How full a device is in what binds it beside its starts, percent of what its ceilings allow.
fn fill(seen: &DeviceSeen) -> f64 {
    let part = |used: f64, most: f64| if most > 0.0 { used * 100.0 / most } else { 0.0 };
    let reading = &seen.reading;
    let encoder = part(f64::from(reading.encoder_percent.unwrap_or_default()), f64::from(seen.encoder_percent));
    let sessions =
        seen.sessions.map_or(0.0, |most| part(f64::from(reading.sessions.unwrap_or_default()), f64::from(most)));
    let memory = part(reading.memory_used_bytes.unwrap_or_default() as f64, seen.memory_bytes as f64);
    encoder.max(sessions).max(memory).min(100.0)
}
