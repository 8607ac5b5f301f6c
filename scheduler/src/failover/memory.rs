//! What one scheduler remembers of a channel between two looks: since when its replicas say what they
//! say. Another that takes over begins anew, and so judges later, never sooner.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use framemill_schemas::{
    ids::JobId,
    job::JobState,
    live::{ChannelRecord, Flaw, ReplicaStatus},
};

use super::Facts;
use crate::{diagnose::SLOW_MILLI, view::Word};

/// For how long restarts of an encoder are counted.
const RESTARTS_WITHIN: Duration = Duration::from_secs(60);
/// Words that are counted for restarts: one each second.
const RESTARTS_KEPT: usize = 128;
/// A word older than this says nothing of now.
pub(super) const FRESH: Duration = Duration::from_secs(5);

/// What is remembered of a channel.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    edition: u32,
    replicas: HashMap<JobId, Seen>,
    sources: Vec<Light>,
    /// When each job was offered again.
    offered: HashMap<JobId, Instant>,
}

/// What is remembered of a replica.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Since when it runs, as far as was seen.
    pub running: Instant,
    /// Since when nothing keeps it from making numbers: it has its source, and its encoder and timeline
    /// are what they were.
    pub settled: Instant,
    /// The timeline it encodes.
    timeline: Option<u32>,
    /// Its last number, and since when it is that.
    pub number: Option<(u64, Instant)>,
    /// The number from which on it was slow.
    pub slow_from: Option<u64>,
    /// Since when its picture is flawed.
    pub flawed: Option<Instant>,
    /// Starts of its encoder by then, over the last minute.
    restarts: VecDeque<(Instant, u32)>,
}

impl Seen {
    /// How often its encoder was started again within a minute.
    pub fn restarts(&self) -> u32 {
        let counts = self.restarts.front().zip(self.restarts.back());
        counts.map_or(0, |((_, first), (_, last))| last.saturating_sub(*first))
    }
}

/// Since when a source is reached by some replica, or by none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Light {
    pub on: bool,
    pub since: Instant,
}

/// Shortest time between two offers of a job.
const OFFER_AGAIN: Duration = Duration::from_millis(1500);

impl Memory {
    /// Whether a job that waits may be offered again now; takes note that it is.
    pub fn offer(&mut self, job: JobId, now: Instant) -> bool {
        self.offered.retain(|_, at| now.duration_since(*at) < OFFER_AGAIN);
        let may = !self.offered.contains_key(&job);
        if may {
            self.offered.insert(job, now);
        }
        may
    }

    /// Listening was interrupted: nothing is judged by what was heard before.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// Takes in what is known now.
    pub fn observe(&mut self, record: &ChannelRecord, facts: &Facts<'_>) {
        if self.edition != record.edition.number {
            self.edition = record.edition.number;
            self.sources.clear();
        }
        self.replicas.retain(|job, _| record.replicas.iter().any(|replica| replica.job == *job));
        for replica in &record.replicas {
            if facts.job(replica.job).is_none_or(|job| job.state != JobState::Running) {
                self.replicas.remove(&replica.job);
                continue;
            }
            let seen = self.replicas.entry(replica.job).or_insert_with(|| Seen {
                running: facts.now,
                settled: facts.now,
                timeline: None,
                number: None,
                slow_from: None,
                flawed: None,
                restarts: VecDeque::new(),
            });
            if let Some(word) = facts.known.words.get(&replica.job) {
                seen.hear(&word.status, word.at);
            }
        }
        self.see_sources(record, facts);
    }

    fn see_sources(&mut self, record: &ChannelRecord, facts: &Facts<'_>) {
        let count = record.edition.sources.len();
        let words: Vec<&Word> = facts.known.words.values().map(|word| &**word).collect();
        let fresh = words.iter().filter(|word| facts.now.saturating_duration_since(word.at) < FRESH);
        let told: Vec<_> = fresh.map(|word| &word.status.sources).filter(|sources| sources.len() == count).collect();
        if told.is_empty() {
            // Nobody says: since when what is the case is not known any more.
            self.sources.clear();
            return;
        }
        for index in 0..count {
            let on = told.iter().any(|sources| sources[index].reachable);
            match self.sources.get_mut(index) {
                Some(light) if light.on == on => {}
                Some(light) => *light = Light { on, since: facts.now },
                None => self.sources.push(Light { on, since: facts.now }),
            }
        }
    }

    pub(super) fn replica(&self, job: JobId) -> Option<&Seen> {
        self.replicas.get(&job)
    }

    pub(super) fn source(&self, index: usize) -> Option<Light> {
        self.sources.get(index).copied()
    }

    /// Since when the longest of its replicas runs.
    pub(super) fn runs_since(&self) -> Option<Instant> {
        self.replicas.values().map(|seen| seen.running).min()
    }
}

impl Seen {
    fn hear(&mut self, status: &ReplicaStatus, at: Instant) {
        let has_source = status.sources.iter().any(|source| source.active && source.reachable);
        let restarted = self.restarts.back().is_some_and(|(_, before)| *before != status.restarts);
        if !has_source || restarted || self.timeline != status.timeline {
            self.settled = self.settled.max(at);
        }
        self.timeline = status.timeline;
        if self.number.map(|(number, _)| number) != status.number {
            self.number = status.number.map(|number| (number, at));
        }
        let slow = status.encoding && status.speed_milli.is_some_and(|speed| speed < SLOW_MILLI);
        self.slow_from = if slow { self.slow_from.or(status.number) } else { None };
        let flawed = status.flaws.iter().any(|flaw| matches!(flaw, Flaw::Black | Flaw::Frozen | Flaw::Silent));
        self.flawed = if flawed { self.flawed.or(Some(at)) } else { None };
        if self.restarts.back().is_none_or(|(last, _)| *last < at) {
            self.restarts.push_back((at, status.restarts));
        }
        let old = |(first, _): &(Instant, u32)| at.saturating_duration_since(*first) > RESTARTS_WITHIN;
        while self.restarts.len() > RESTARTS_KEPT || self.restarts.front().is_some_and(old) {
            self.restarts.pop_front();
        }
    }
}
