//! Who is still there: which running attempts no heartbeat has listed for a whole lease. Pure: the
//! time is what the caller says it is, and is only ever compared with the caller's own.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use framemill_schemas::ids::JobId;
use uuid::Uuid;

/// For this long a silent holder keeps its job, and a silent scheduler its loops. One value for
/// the farm: who beats and who listens must mean the same by it.
pub const LEASE: Duration = Duration::from_secs(4);

/// Pulses in a lease below which listening was interrupted. A server that stood still for less
/// than this part of a lease held back fewer heartbeats than a holder may miss.
const PULSES_PER_LEASE: u32 = 2;

/// What was heard.
#[derive(Debug)]
pub struct Hearing {
    lease: Duration,
    /// Since when heartbeats have been heard in one piece.
    since: Instant,
    /// When it was last certain that the server brings us what is said.
    pulse: Instant,
    /// When each nonce was listed last, or first seen in a record.
    heard: HashMap<Uuid, Instant>,
}

impl Hearing {
    /// Starts to listen.
    pub fn new(lease: Duration, now: Instant) -> Self {
        Self { lease, since: now, pulse: now, heard: HashMap::new() }
    }

    /// Listening was interrupted: nobody is judged until one whole lease was heard again.
    pub fn restart(&mut self, now: Instant) {
        *self = Self::new(self.lease, now);
    }

    /// A word of our own came back through the server. When the one before is too long ago, the
    /// server stood still or we did, and the silence was not the holders'.
    pub fn pulse(&mut self, now: Instant) {
        if self.is_deaf(now) {
            self.restart(now);
        }
        self.pulse = now;
    }

    /// A heartbeat lists these attempts.
    pub fn hear(&mut self, nonces: &[Uuid], now: Instant) {
        self.heard.extend(nonces.iter().map(|nonce| (*nonce, now)));
    }

    /// Which of the running attempts are lost. Takes all of them: the rest is forgotten.
    pub fn lost(&mut self, running: &[(JobId, Uuid)], now: Instant) -> Vec<(JobId, Uuid)> {
        for (_, nonce) in running {
            // A claim seen for the first time has a whole lease to be heard of.
            self.heard.entry(*nonce).or_insert(now);
        }
        let held: HashSet<Uuid> = running.iter().map(|(_, nonce)| *nonce).collect();
        self.heard.retain(|nonce, _| held.contains(nonce));
        if self.is_deaf(now) || now.duration_since(self.since) <= self.lease {
            return Vec::new();
        }
        let late = |nonce: &Uuid| self.heard.get(nonce).is_some_and(|at| now.duration_since(*at) > self.lease);
        running.iter().filter(|(_, nonce)| late(nonce)).copied().collect()
    }

    fn is_deaf(&self, now: Instant) -> bool {
        now.duration_since(self.pulse) > self.lease / PULSES_PER_LEASE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn ids(n: u128) -> (JobId, Uuid) {
        (JobId::new(Uuid::from_u128(n)), Uuid::from_u128(n))
    }

    #[test]
    fn only_silence_of_a_whole_lease_heard_in_one_piece_is_judged() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let (silent, heard, new) = (ids(1), ids(2), ids(3));
        let mut hearing = Hearing::new(LEASE, start);
        let lost = |hearing: &mut Hearing, running: &[_], s| {
            hearing.pulse = at(s);
            hearing.lost(running, at(s))
        };
        assert!(lost(&mut hearing, &[silent, heard], 1).is_empty());
        assert!(lost(&mut hearing, &[silent, heard], 15).is_empty());
        hearing.hear(&[heard.1], at(16));
        assert_eq!(lost(&mut hearing, &[silent, heard, new], 17), [silent]);
        // After a reconnect the judgement starts anew, for everybody.
        hearing.restart(at(18));
        assert!(lost(&mut hearing, &[silent, heard, new], 33).is_empty());
        assert_eq!(lost(&mut hearing, &[silent, heard, new], 49), [silent, heard, new]);
    }

    #[test]
    fn silence_of_the_server_is_nobodys() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let silent = ids(1);
        // (when pulses came, when it is judged, whether the holder is lost)
        for (pulses, judged, expected) in [
            (&[0, 5, 10, 15, 20][..], 21, true),
            // It stands still now.
            (&[0, 5, 10], 21, false),
            // It stood still, which is known only now.
            (&[0, 5, 10, 21], 21, false),
            (&[0, 5, 10, 21, 28], 35, false),
            (&[0, 5, 10, 21, 28, 35], 37, true),
        ] {
            let mut hearing = Hearing::new(LEASE, start);
            hearing.lost(&[silent], start);
            for pulse in pulses {
                hearing.pulse(at(*pulse));
                hearing.lost(&[silent], at(*pulse));
            }
            assert_eq!(!hearing.lost(&[silent], at(judged)).is_empty(), expected, "{pulses:?} {judged}");
        }
    }

    #[test]
    fn what_no_longer_runs_is_forgotten() {
        let start = Instant::now();
        let mut hearing = Hearing::new(LEASE, start);
        hearing.hear(&[Uuid::from_u128(9)], start);
        assert!(hearing.lost(&[], start).is_empty());
        assert!(hearing.heard.is_empty());
    }
}
