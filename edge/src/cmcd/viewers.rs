//! The playbacks that tell something here, each for as long as it is heard of.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    fields::Malformed,
    labels::Labels,
    metrics::Metrics,
    playback::{Added, Playback, Way},
    record::Record,
};
use crate::folder::folder;

/// Sessions that are known at once; of one beyond it only objects are counted.
const SESSIONS_MAX: usize = 100_000;
/// Playbacks of one session that are: whoever goes through more is heard of the last ones. A session is signed for, what
/// it says that it watches is not.
const PLAYBACKS_MAX: usize = 8;
/// How long one is known that is not heard of, milliseconds.
const SILENT_MS: i64 = 120_000;
/// How often those are looked for while there is no room, milliseconds.
const PRUNE_MS: i64 = 5_000;
/// Records of one playback that count in a second: nobody's word counts for more than a player's.
const RECORDS_MAX: u32 = 64;

/// Everybody who tells something.
#[derive(Debug)]
pub struct Viewers {
    known: Mutex<Known>,
    labels: Labels,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Known {
    /// By digest of the session, and each with one of what it watches: no name is kept.
    sessions: HashMap<[u8; 32], Vec<([u8; 32], Heard)>>,
    pruned_ms: i64,
}

#[derive(Debug, Default)]
struct Heard {
    playback: Playback,
    last_ms: i64,
    /// The second in which it told something last, and how often.
    second: i64,
    records: u32,
}

/// What is told, of what, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The session of the viewer's token.
    pub session: &'a str,
    /// The key of the object that was asked for, or of the report's place.
    pub key: &'a str,
    /// Whether that object was served; a report is about none.
    pub is_served: bool,
    /// In a report.
    pub is_report: bool,
}

impl Viewers {
    /// Nobody yet.
    pub fn new() -> Self {
        Self { known: Mutex::default(), labels: Labels::default(), metrics: Metrics::new() }
    }

    /// Takes that something was served: reports about its channel are then told apart from others.
    pub fn served(&self, key: &str) {
        self.labels.of(key, true);
    }

    /// Takes a record, or one that cannot be read.
    pub fn take(&self, told: &Told<'_>, record: Result<Record, Malformed>, now_ms: i64) {
        let way = if told.is_report { Way::Report } else { Way::Request };
        let taken = record.map(|record| self.known().take(told, &record, way, now_ms));
        let outcome = match taken {
            Err(Malformed) => "malformed",
            Ok(None) => "too-many",
            Ok(Some(added)) => {
                self.metrics.add(&self.labels.of(told.key, told.is_served), &added);
                if told.is_report { "report" } else { "request" }
            }
        };
        self.metrics.recorded(outcome);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What a record adds; nothing of one too many.
    fn take(&mut self, told: &Told<'_>, record: &Record, way: Way, now_ms: i64) -> Option<Added> {
        let (session, place) = names(told);
        if self.sessions.len() >= SESSIONS_MAX && !self.sessions.contains_key(&session) {
            self.prune(now_ms);
            if self.sessions.len() >= SESSIONS_MAX {
                let added = Playback::default().take(record, way, now_ms);
                return Some(Added { object: added.object, ..Added::default() });
            }
        }
        let heard = playback(self.sessions.entry(session).or_default(), place);
        if now_ms.saturating_sub(heard.last_ms) > SILENT_MS {
            heard.playback = Playback::default();
        }
        heard.last_ms = now_ms;
        let second = now_ms.div_euclid(1000);
        heard.records = if heard.second == second { heard.records.saturating_add(1) } else { 1 };
        heard.second = second;
        (heard.records <= RECORDS_MAX).then(|| heard.playback.take(record, way, now_ms))
    }

    fn prune(&mut self, now_ms: i64) {
        if now_ms.saturating_sub(self.pruned_ms) >= PRUNE_MS {
            self.pruned_ms = now_ms;
            let is_heard = |(_, heard): &([u8; 32], Heard)| now_ms.saturating_sub(heard.last_ms) <= SILENT_MS;
            self.sessions.retain(|_, playbacks| playbacks.iter().any(is_heard));
        }
    }
}

/// What is known of a session on one thing; of a new one, in place of what was heard of longest ago.
fn playback(playbacks: &mut Vec<([u8; 32], Heard)>, place: [u8; 32]) -> &mut Heard {
    let at = playbacks.iter().position(|(name, _)| *name == place).unwrap_or_else(|| {
        if playbacks.len() >= PLAYBACKS_MAX
            && let Some((oldest, _)) = playbacks.iter().enumerate().min_by_key(|(_, (_, heard))| heard.last_ms)
        {
            playbacks.swap_remove(oldest);
        }
        playbacks.push((place, Heard::default()));
        playbacks.len() - 1
    });
    &mut playbacks[at].1
}

/// The session, and the one channel or title that it watches.
fn names(told: &Told<'_>) -> ([u8; 32], [u8; 32]) {
    let place = folder(told.key).unwrap_or(told.key);
    let digest = |text: &str| *blake3::hash(text.as_bytes()).as_bytes();
    (digest(told.session), digest(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmcd::record::State;

    const TOLD: Told<'_> =
        Told { session: "s-1", key: "live/acme/news/t1-0/v/1.m4s", is_served: true, is_report: false };

    fn state(state: State) -> Record {
        Record { is_v2: true, state: Some(state), ..Record::default() }
    }

    fn standstills(known: &mut Known, told: &Told<'_>, record: &Record, now_ms: i64) -> Option<u32> {
        known.take(told, record, Way::Request, now_ms).map(|added| added.standstills)
    }

    #[test]
    fn a_playback_is_a_session_on_a_channel() {
        let mut known = Known::default();
        let stands = state(State::Rebuffering);
        let other_segment = Told { key: "live/acme/news/cmcd", ..TOLD };
        let other_channel = Told { key: "live/acme/sport/t1-0/v/1.m4s", ..TOLD };
        let other_session = Told { session: "s-2", ..TOLD };
        for (told, counts) in [(TOLD, 1), (TOLD, 0), (other_segment, 0), (other_channel, 1), (other_session, 1)] {
            assert_eq!(standstills(&mut known, &told, &stands, 1000), Some(counts), "{told:?}");
        }
        // Whoever was silent for long begins anew.
        assert_eq!(standstills(&mut known, &TOLD, &stands, 1000 + SILENT_MS), Some(0));
        assert_eq!(standstills(&mut known, &TOLD, &stands, 2001 + 2 * SILENT_MS), Some(1));
    }

    #[test]
    fn nobody_tells_more_than_a_player_could() {
        let mut known = Known::default();
        let counted =
            (0..RECORDS_MAX * 2).filter(|_| known.take(&TOLD, &Record::default(), Way::Report, 1500).is_some());
        assert_eq!(counted.count(), RECORDS_MAX as usize);
        assert!(known.take(&TOLD, &Record::default(), Way::Report, 2000).is_some());
    }

    #[test]
    fn there_is_no_room_for_more_than_the_bound_until_some_fall_silent() {
        let mut known = Known::default();
        for number in 0..SESSIONS_MAX {
            let session = number.to_string();
            known.take(&Told { session: &session, ..TOLD }, &Record::default(), Way::Request, 10_000);
        }
        let late = Told { session: "late", ..TOLD };
        assert_eq!(standstills(&mut known, &late, &state(State::Rebuffering), 20_000), Some(0));
        assert_eq!(known.sessions.len(), SESSIONS_MAX);
        assert_eq!(standstills(&mut known, &late, &state(State::Rebuffering), 10_001 + SILENT_MS), Some(1));
        assert_eq!(known.sessions.len(), 1);
    }

    #[test]
    fn a_session_is_on_a_few_things_at_a_time() {
        let mut known = Known::default();
        let stands = state(State::Rebuffering);
        for number in 0..1000 {
            let key = format!("live/acme/c{number}/cmcd");
            assert_eq!(standstills(&mut known, &Told { key: &key, ..TOLD }, &stands, 1000 + number), Some(1));
        }
        assert_eq!(known.sessions.values().map(Vec::len).collect::<Vec<_>>(), [PLAYBACKS_MAX]);
        // The last one is still known.
        assert_eq!(standstills(&mut known, &Told { key: "live/acme/c999/cmcd", ..TOLD }, &stands, 2000), Some(0));
    }
}
