//! Whose turn it is to be sampled: of all renditions of all channels that this packager writes, the one that has
//! been due for longest. Pure: the times are what the caller says they are.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::inspect::Sample;

/// A channel on the rota.
pub type Seat = u64;

/// What is to be sampled now.
#[derive(Clone, Debug)]
pub struct Pick {
    /// The channel.
    pub seat: Seat,
    /// Which of the renditions of its timeline.
    pub index: usize,
    /// The number.
    pub sample: Sample,
    /// For how long it has been due.
    pub late: Duration,
}

/// A rendition: the number that was sampled last, and when it is due again.
#[derive(Clone, Copy, Debug)]
struct Due {
    number: u64,
    at: Instant,
}

#[derive(Debug)]
struct Channel {
    newest: Sample,
    due: BTreeMap<String, Due>,
}

/// All channels.
#[derive(Debug)]
pub struct Rota {
    every: Duration,
    channels: BTreeMap<Seat, Channel>,
}

impl Rota {
    /// One on which each rendition is due once in this time.
    pub fn new(every: Duration) -> Self {
        Self { every, channels: BTreeMap::new() }
    }

    /// A channel's newest number that is stored. Renditions that are new are due at once.
    pub fn offer(&mut self, seat: Seat, sample: Sample, now: Instant) {
        let before = self.channels.remove(&seat).map_or_else(BTreeMap::new, |channel| channel.due);
        let number = sample.commit.number.saturating_sub(1);
        let renditions = sample.timeline.renditions().map(|name| {
            let due = before.get(name).copied().unwrap_or(Due { number, at: now });
            (name.to_owned(), due)
        });
        let due = renditions.collect();
        self.channels.insert(seat, Channel { newest: sample, due });
    }

    /// A channel is not written here any more.
    pub fn leave(&mut self, seat: Seat) {
        self.channels.remove(&seat);
    }

    /// The one that is due for longest, which is then due again a while later; a rendition of which nothing new came has to wait.
    pub fn take(&mut self, now: Instant) -> Option<Pick> {
        let (seat, index, at) = self.waiting().filter(|(.., at)| *at <= now).min_by_key(|(.., at)| *at)?;
        let channel = self.channels.get_mut(&seat)?;
        let sample = channel.newest.clone();
        let name = sample.timeline.renditions().nth(index)?;
        channel.due.insert(name.to_owned(), Due { number: sample.commit.number, at: now + self.every });
        Some(Pick { seat, index, sample, late: now - at })
    }

    /// When the next one is due of those that have something new.
    pub fn next_at(&self) -> Option<Instant> {
        self.waiting().map(|(.., at)| at).min()
    }

    /// Renditions with a number that was not sampled, and when they are due.
    fn waiting(&self) -> impl Iterator<Item = (Seat, usize, Instant)> {
        self.channels.iter().flat_map(|(seat, channel)| {
            let names = channel.newest.timeline.renditions().enumerate();
            names.filter_map(|(index, name)| {
                let due = channel.due.get(name)?;
                (due.number < channel.newest.commit.number).then_some((*seat, index, due.at))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::live::sample::{FIRST, commit, timeline};

    const EVERY: Duration = Duration::from_secs(30);

    fn sample(number: u64) -> Sample {
        Sample { commit: commit(1, FIRST + number, 's'), timeline: Arc::new(timeline(1, FIRST)) }
    }

    /// Offers a number of each of some channels each second, and samples while there is time: a sample takes as
    /// long as given. Tells how often each rendition was sampled, and the longest that one had been due.
    fn run(channels: u64, seconds: u64, sample_ms: u64) -> (BTreeMap<(Seat, usize), u64>, Duration) {
        let start = Instant::now();
        let mut rota = Rota::new(EVERY);
        let (mut counts, mut latest, mut free) = (BTreeMap::new(), Duration::ZERO, start);
        for second in 0..seconds {
            let now = start + Duration::from_secs(second);
            (0..channels).for_each(|seat| rota.offer(seat, sample(second), now));
            while free < now + Duration::from_secs(1) {
                let Some(pick) = rota.take(free.max(now)) else { break };
                *counts.entry((pick.seat, pick.index)).or_default() += 1;
                latest = latest.max(pick.late);
                free = free.max(now) + Duration::from_millis(sample_ms);
            }
        }
        (counts, latest)
    }

    #[test]
    fn each_rendition_has_its_turn_within_the_time() {
        let (counts, latest) = run(4, 300, 200);
        assert_eq!(counts.len(), 12);
        assert!(counts.values().all(|count| *count == 10), "{counts:?}");
        assert!(latest < Duration::from_secs(4), "{latest:?}");
    }

    #[test]
    fn where_there_is_not_the_time_all_fall_behind_alike() {
        let (counts, latest) = run(20, 600, 1000);
        assert_eq!(counts.len(), 60);
        assert!(counts.values().all(|count| *count == 10), "{counts:?}");
        assert!(latest > EVERY - Duration::from_secs(2), "{latest:?}");
    }

    #[test]
    fn nothing_is_sampled_twice_and_nobody_who_left() {
        let now = Instant::now();
        let mut rota = Rota::new(EVERY);
        assert!(rota.take(now).is_none() && rota.next_at().is_none());
        rota.offer(1, sample(0), now);
        for index in 0..3 {
            assert_eq!(rota.take(now).map(|pick| pick.index), Some(index));
        }
        assert!(rota.take(now + EVERY).is_none(), "nothing new came");
        rota.offer(1, sample(9), now + EVERY);
        assert_eq!(rota.next_at(), Some(now + EVERY));
        let pick = rota.take(now + EVERY * 2).unwrap();
        assert_eq!((pick.sample.commit.number, pick.late), (FIRST + 9, EVERY));
        rota.leave(1);
        assert!(rota.take(now + EVERY * 9).is_none());
    }
}
