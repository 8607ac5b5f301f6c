//! What the errors that a GPU reports (XIDs) mean for its jobs. Pure.
//!
//! Numbers and meanings are the vendor's catalogue; which of them an application causes itself is what
//! the vendor's own Kubernetes plugin ignores. For a transcoder those are strikes: one job broke, and
//! only a row of them says something about the GPU.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Strikes within [`STRIKE_TIME`] after which a GPU takes nothing more.
const STRIKES_MAX: usize = 3;
/// How long a strike counts.
const STRIKE_TIME: Duration = Duration::from_secs(600);

/// How long a GPU that asked for a reset takes nothing, though it encodes.
const STOP_TIME: Duration = Duration::from_secs(60);

/// What an XID asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A job broke: it is tried elsewhere, and the GPU watched.
    Strike,
    /// The GPU takes nothing more until it encodes again: it has to be reset, or its machine.
    Stop(&'static str),
    /// Written down.
    Note,
}

/// What an XID means.
pub fn meaning(xid: u64) -> Meaning {
    match xid {
        13 | 31 | 43 | 45 | 68 | 109 => Meaning::Strike,
        79 => Meaning::Stop("it has fallen off the bus; restart the machine"),
        62 => Meaning::Stop("its controller halted; reset it"),
        46 | 64 | 95 | 119 | 120 | 142 => Meaning::Stop("it has to be reset"),
        _ => Meaning::Note,
    }
}

/// The strikes of one device.
#[derive(Clone, Debug, Default)]
pub struct Strikes(VecDeque<Instant>);

impl Strikes {
    /// Takes note of an XID; why the device is to take nothing more, and for how long at least, where it is.
    pub fn report(&mut self, xid: u64, now: Instant) -> Option<(String, Duration)> {
        match meaning(xid) {
            Meaning::Note => None,
            Meaning::Stop(mend) => Some((format!("XID {xid}: {mend}"), STOP_TIME)),
            Meaning::Strike => {
                self.0.push_back(now);
                while self.0.front().is_some_and(|first| now.duration_since(*first) > STRIKE_TIME) {
                    self.0.pop_front();
                }
                (self.0.len() >= STRIKES_MAX).then(|| {
                    let minutes = STRIKE_TIME.as_secs() / 60;
                    (format!("{} errors (XIDs) in {minutes} minutes, the last {xid}", self.0.len()), STRIKE_TIME)
                })
            }
        }
    }

    /// It encodes again.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_strike_and_lost_gpus_stop() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut strikes = Strikes::default();
        for (xid, s, stops) in [
            (31, 0, false),
            (63, 1, false),
            (43, 10, false),
            // The first no longer counts.
            (68, 601, false),
            (13, 605, true),
        ] {
            assert_eq!(strikes.report(xid, at(s)).is_some(), stops, "{xid} at {s}");
        }
        strikes.clear();
        assert_eq!(strikes.report(13, at(606)), None);
        for xid in [46, 62, 64, 79, 95, 119, 120, 142] {
            assert!(Strikes::default().report(xid, start).is_some(), "{xid}");
        }
    }
}
