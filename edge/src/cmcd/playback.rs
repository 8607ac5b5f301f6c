//! One playback: what its player told so far, and what a further record adds to that. Pure.
//!
//! Three things happen to a viewer: it starts, it stands still, it fails. A player of version 2 says so itself, by its
//! state or by how long it took; one of version 1 leaves it to be seen from its requests. Whoever sends reports says it
//! there and with its requests too: once one has come, what requests say of these three is not counted again.

use super::record::{Event, Kind, Record, State};

/// Longest start that is one: beyond it somebody was away.
const START_MS_MAX: i64 = 120_000;
/// Longest standstill that is one, milliseconds.
const STOOD_MS_MAX: i64 = 600_000;
/// Records that say "starved" within it speak of one standstill: sound and pictures each do.
const ONE_STANDSTILL_MS: i64 = 2_000;

/// How a record came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With a request.
    Request,
    /// In a report.
    Report,
}

/// What is known of a playback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Playback {
    /// It sends reports.
    reports: bool,
    /// Its requests tell something too.
    requests: bool,
    /// It has started, or it can no longer be told when.
    started: bool,
    /// Since when it starts, milliseconds by the clock of whatever way it tells.
    starts_ms: Option<i64>,
    /// Since when it stands still.
    stands_ms: Option<i64>,
    /// It says how long it stood.
    tells_durations: bool,
    /// Standstills that are counted and of which no duration was told.
    untold: u32,
    /// When it last said "starved".
    starved_ms: Option<i64>,
    /// It has given up.
    failed: bool,
}

/// What a record adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// It started, and this took so long.
    pub start_ms: Option<u64>,
    /// So many standstills.
    pub standstills: u32,
    /// How long each took that is over.
    pub stood_ms: Vec<u64>,
    /// The player gave up.
    pub failed: bool,
    /// It met a fault that it went on from.
    pub faulted: bool,
    /// An object was fetched.
    pub object: Option<Fetched>,
}

/// An object that is watched or heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Sound alone.
    pub is_audio: bool,
    /// Its bitrate.
    pub bitrate_kbps: Option<u64>,
    /// Its duration.
    pub duration_ms: Option<u64>,
    /// What was buffered.
    pub buffer_ms: Option<u64>,
    /// What the player measured.
    pub throughput_kbps: Option<u64>,
}

impl Playback {
    /// Takes a record that came at `now_ms`; returns what it adds.
    pub fn take(&mut self, record: &Record, way: Way, now_ms: i64) -> Added {
        if way == Way::Report && !self.reports {
            // From here on by the player's clock.
            (self.starts_ms, self.stands_ms) = (None, None);
        }
        self.reports |= way == Way::Report;
        self.requests |= way == Way::Request;
        let mut added = Added { object: self.object(record, way), ..Added::default() };
        added.start_ms = self.told_start(record);
        if self.reports && way == Way::Request {
            return added;
        }
        let at_ms = record.at_ms.filter(|_| way == Way::Report).unwrap_or(now_ms);
        if added.start_ms.is_none() {
            added.start_ms =
                if record.is_v2 { self.seen_start(record, at_ms) } else { self.guessed_start(record, now_ms) };
        }
        self.standstills(record, at_ms, &mut added);
        let fails = record.state == Some(State::Failed);
        added.failed = fails && !std::mem::replace(&mut self.failed, fails);
        added.faulted = record.event == Some(Event::Error) && !fails;
        added
    }

    /// Whoever fetches tells it with the request; what a report says of it is for those that do not.
    fn object(&self, record: &Record, way: Way) -> Option<Fetched> {
        let counts = match way {
            Way::Request => true,
            Way::Report => record.event == Some(Event::Response) && !self.requests,
        };
        let is_media = record.kind != Some(Kind::Other) && record.bitrate_kbps.is_some();
        (counts && is_media).then_some(Fetched {
            is_audio: record.kind == Some(Kind::Audio),
            bitrate_kbps: record.bitrate_kbps,
            duration_ms: record.duration_ms,
            buffer_ms: record.buffer_ms,
            throughput_kbps: record.throughput_kbps,
        })
    }

    /// Version 2 says it once in each way (`msd`).
    fn told_start(&mut self, record: &Record) -> Option<u64> {
        let start_ms = record.start_ms?;
        (!std::mem::replace(&mut self.started, true)).then_some(start_ms)
    }

    /// From "starting" to "playing".
    fn seen_start(&mut self, record: &Record, at_ms: i64) -> Option<u64> {
        match record.state? {
            State::Starting => {
                self.starts_ms.get_or_insert(at_ms);
                None
            }
            State::Playing => self.ends_start(at_ms),
            _ => None,
        }
    }

    /// From the first record to the first request for something to watch that is not urgent: `su` stands for "to start",
    /// and "to seek" or "to go on" later. One that is not seen to start is under way already.
    fn guessed_start(&mut self, record: &Record, now_ms: i64) -> Option<u64> {
        if record.urgent {
            self.starts_ms.get_or_insert(now_ms);
            return None;
        }
        if matches!(record.kind, Some(Kind::Audio | Kind::Video)) { self.ends_start(now_ms) } else { None }
    }

    fn ends_start(&mut self, at_ms: i64) -> Option<u64> {
        let since_ms = self.starts_ms.take();
        if std::mem::replace(&mut self.started, true) {
            return None;
        }
        between(since_ms?, at_ms, START_MS_MAX)
    }

    fn standstills(&mut self, record: &Record, at_ms: i64, added: &mut Added) {
        if !record.stood_ms.is_empty() {
            self.tells_durations = true;
            let told = u32::try_from(record.stood_ms.len()).unwrap_or(u32::MAX);
            added.standstills += told.saturating_sub(self.untold);
            self.untold = self.untold.saturating_sub(told);
            added.stood_ms.clone_from(&record.stood_ms);
        }
        match record.state {
            Some(State::Rebuffering) if self.stands_ms.is_none() => {
                self.stands_ms = Some(at_ms);
                self.untold = self.untold.saturating_add(1);
                added.standstills += 1;
            }
            Some(State::Rebuffering) => {}
            Some(_) => {
                let stood_ms = self.stands_ms.take().and_then(|since_ms| between(since_ms, at_ms, STOOD_MS_MAX));
                if let Some(stood_ms) = stood_ms.filter(|_| !self.tells_durations) {
                    self.untold = self.untold.saturating_sub(1);
                    added.stood_ms.push(stood_ms);
                }
            }
            // Whoever tells neither says at least that there was one.
            None if record.starved && record.stood_ms.is_empty() => {
                let again =
                    self.starved_ms.replace(at_ms).and_then(|before_ms| between(before_ms, at_ms, ONE_STANDSTILL_MS));
                added.standstills += u32::from(again.is_none());
            }
            None => {}
        }
    }
}

/// How long it is from one to the other; nothing for what is no time, or longer than is believed.
fn between(since_ms: i64, until_ms: i64, max_ms: i64) -> Option<u64> {
    let ms = until_ms.checked_sub(since_ms).filter(|ms| (0..=max_ms).contains(ms))?;
    u64::try_from(ms).ok()
}

#[cfg(test)]
#[path = "playback_tests.rs"]
mod tests;
