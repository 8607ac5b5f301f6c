//! Traces of viewers' requests: some of them, and of faults as many as anybody reads. A request is recorded when it has
//! ended, below the trace of those who watch the same thing that day ([`viewing`]), with the fetches it waited for.
//! Never in one: a token, an address, a session.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use framemill_schemas::delivery::{tags_of, viewing};
use framemill_telemetry::span;
use hyper::StatusCode;

/// Faults that are traced in a second.
const FAULTS_MAX: u32 = 5;
/// Other requests that are, whatever the share.
const OTHERS_MAX: u32 = 50;
/// Fetches that are remembered: more than may be under way at once.
const FETCHES_MAX: usize = 512;
/// A whole, in millionths.
const WHOLE_PPM: u64 = 1_000_000;

/// What decides what is traced, and what is known of fetches.
#[derive(Debug)]
pub struct Traces {
    share_ppm: u32,
    /// What the requests so far add up to, millionths: one is taken whenever that makes another whole.
    carried_ppm: AtomicU64,
    bounds: Mutex<Bounds>,
    fetches: Mutex<VecDeque<Fetch>>,
}

/// One answer of an origin, or that there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// What was asked for.
    pub key: String,
    /// Who was asked.
    pub origin: String,
    /// From when, Unix milliseconds.
    pub begun_ms: i64,
    /// For how long, milliseconds.
    pub took_ms: i64,
    /// Whether there was an answer.
    pub answered: bool,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// What it asked for.
    pub key: &'a str,
    /// When it came, Unix milliseconds.
    pub at_ms: i64,
    /// When its answer began.
    pub end_ms: i64,
    /// The answer's status.
    pub status: StatusCode,
    /// What became of it, in one word.
    pub outcome: &'static str,
    /// Bytes of the body.
    pub bytes: u64,
}

impl Traces {
    /// Takes the share of requests that is traced, 0 to 1.
    ///
    /// # Errors
    /// It is no share.
    pub fn new(share: f64) -> Result<Self, String> {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("{share} is no share: use 0 to 1"));
        }
        // In range by the check above.
        let share_ppm = (share * WHOLE_PPM as f64).round() as u32;
        Ok(Self { share_ppm, carried_ppm: AtomicU64::new(0), bounds: Mutex::default(), fetches: Mutex::default() })
    }

    /// Takes what an origin said, for requests that wait for it.
    pub fn fetched(&self, fetch: Fetch) {
        let mut fetches = lock(&self.fetches);
        if fetches.len() >= FETCHES_MAX {
            fetches.pop_front();
        }
        fetches.push_back(fetch);
    }

    /// Takes a request that has ended; records it if it is one of those.
    pub fn ended(&self, ended: &Ended<'_>) {
        if !self.takes(ended.status.is_server_error(), ended.end_ms.div_euclid(1000)) {
            return;
        }
        let tags = tags_of(ended.key);
        let told = |kind: &str| tags.iter().find_map(|tag| tag.strip_prefix(kind));
        let thing = tags.iter().find(|tag| tag.starts_with("asset:") || tag.starts_with("channel:"));
        let Some(thing) = thing else { return };
        let mut facts = vec![
            ("outcome", ended.outcome.to_owned()),
            ("status", ended.status.as_u16().to_string()),
            ("bytes", ended.bytes.to_string()),
            ("object", ended.key.to_owned()),
        ];
        for (name, kind) in [("tenant", "tenant:"), ("asset", "asset:"), ("channel", "channel:")] {
            facts.extend(told(kind).map(|value| (name, value.to_owned())));
        }
        let request = span::past("edge.request", &viewing(thing, ended.at_ms), ended.at_ms, ended.end_ms, &facts);
        if request.traceparent.is_empty() || ended.outcome == "hit" {
            return;
        }
        let fetches = waited_for(&lock(&self.fetches), ended);
        for fetch in fetches {
            let facts = [("origin", fetch.origin.clone()), ("answered", fetch.answered.to_string())];
            span::past("edge.fetch", &request, fetch.begun_ms, fetch.begun_ms.saturating_add(fetch.took_ms), &facts);
        }
    }

    /// Whether a request is taken that ended in that second: of those without a fault the share, evenly, whatever chance
    /// would do.
    fn takes(&self, is_fault: bool, second: i64) -> bool {
        if !is_fault {
            let before = self.carried_ppm.fetch_add(self.share_ppm.into(), Ordering::Relaxed);
            let after = before.wrapping_add(self.share_ppm.into());
            if before / WHOLE_PPM == after / WHOLE_PPM {
                return false;
            }
        }
        lock(&self.bounds).takes(is_fault, second)
    }
}

/// The fetches of the same object that ended while the request waited; one may have begun before it, for another.
fn waited_for(fetches: &VecDeque<Fetch>, ended: &Ended<'_>) -> Vec<Fetch> {
    let ended_in_time = |fetch: &Fetch| {
        let end_ms = fetch.begun_ms.saturating_add(fetch.took_ms);
        (ended.at_ms..=ended.end_ms).contains(&end_ms)
    };
    fetches.iter().filter(|fetch| fetch.key == ended.key && ended_in_time(fetch)).cloned().collect()
}

/// How many were taken in a second.
#[derive(Debug, Default)]
struct Bounds {
    /// The second that is counted, Unix.
    second: i64,
    faults: u32,
    others: u32,
}

impl Bounds {
    fn takes(&mut self, is_fault: bool, second: i64) -> bool {
        if second != self.second {
            *self = Self { second, faults: 0, others: 0 };
        }
        let (count, max) = if is_fault { (&mut self.faults, FAULTS_MAX) } else { (&mut self.others, OTHERS_MAX) };
        *count = count.saturating_add(1);
        *count <= max
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_taken_and_faults_within_a_bound() {
        for (share, faults, requests, taken) in [
            (0.0, false, 1000, 0),
            (0.001, false, 5000, 5),
            (0.25, false, 100, 25),
            (1.0, false, 1000, OTHERS_MAX),
            (0.0, true, 1000, FAULTS_MAX),
        ] {
            let traces = Traces::new(share).unwrap();
            let found = (0..requests).filter(|_| traces.takes(faults, 7)).count();
            assert_eq!(found, taken as usize, "{share}");
        }
        let traces = Traces::new(0.0).unwrap();
        let found = (0..100).filter(|second| traces.takes(true, *second)).count();
        assert_eq!(found, 100, "a fault in each second");
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(Traces::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_waited_for_the_fetches_that_ended_meanwhile() {
        let fetch = |key: &str, begun_ms, took_ms| Fetch {
            key: key.to_owned(),
            origin: "s3".to_owned(),
            begun_ms,
            took_ms,
            answered: true,
        };
        let ended = Ended { key: "a", at_ms: 100, end_ms: 200, status: StatusCode::OK, outcome: "miss", bytes: 1 };
        let fetches = VecDeque::from([
            fetch("a", 10, 50),
            fetch("a", 90, 20),
            fetch("b", 120, 20),
            fetch("a", 120, 80),
            fetch("a", 150, 100),
        ]);
        let found: Vec<_> = waited_for(&fetches, &ended).iter().map(|fetch| fetch.begun_ms).collect();
        assert_eq!(found, [90, 120]);
    }

    #[test]
    fn fetches_are_forgotten() {
        let traces = Traces::new(0.0).unwrap();
        for number in 0..2 * FETCHES_MAX {
            let key = number.to_string();
            traces.fetched(Fetch { key, origin: String::new(), begun_ms: 0, took_ms: 0, answered: true });
        }
        assert_eq!(lock(&traces.fetches).len(), FETCHES_MAX);
    }
}
