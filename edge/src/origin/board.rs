//! How origins stand, channel by channel, over several looks. Pure.

use std::collections::HashMap;

use super::health::{Health, Look, Seen, Standing, compare, judge};

/// Good looks in a row after which an origin that was sick is trusted again: it does not go to and fro.
const GOOD_LOOKS: u8 = 3;

/// What is known of all origins.
#[derive(Debug)]
pub struct Board {
    origins: usize,
    /// By the folder of the channel.
    channels: HashMap<String, Channel>,
}

#[derive(Debug)]
struct Channel {
    /// The playlist that was looked at last.
    key: String,
    by_origin: Vec<Past>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Past {
    seen: Option<Seen>,
    standing: Standing,
    good_looks: u8,
    /// Whether it said anything of the channel. One that has some channels only is no worse for the others.
    has: bool,
}

/// That an origin stands otherwise than before.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub origin: usize,
    /// How it stands now for the channel that was looked at.
    pub standing: Standing,
    /// What that look showed.
    pub health: Health,
}

impl Board {
    /// Takes how many origins there are.
    pub fn new(origins: usize) -> Self {
        Self { origins, channels: HashMap::new() }
    }

    /// Takes what looks at every origin brought of a channel's playlist; returns which origins became sick, or well again.
    pub fn take(&mut self, channel: &str, key: &str, looks: &[Look], now_ms: i64) -> Vec<Change> {
        let fresh = || Channel { key: key.to_owned(), by_origin: vec![Past::default(); self.origins] };
        let channel = self.channels.entry(channel.to_owned()).or_insert_with(fresh);
        if channel.key != key {
            // Another rendition may count otherwise.
            key.clone_into(&mut channel.key);
            channel.by_origin.iter_mut().for_each(|past| past.seen = None);
        }
        let judged = channel.by_origin.iter_mut().zip(looks).map(|(past, look)| {
            if let Look::Playlist(newest, _) = look {
                past.seen = Some(Seen::next(past.seen, newest.next_number, now_ms));
            }
            judge(look, past.seen, now_ms)
        });
        let healths: Vec<_> = judged.collect();
        let standings = compare(&healths);
        let mut changes = Vec::new();
        for (origin, (past, (health, standing))) in
            channel.by_origin.iter_mut().zip(healths.into_iter().zip(standings)).enumerate()
        {
            if past.take(health, standing) {
                changes.push(Change { origin, standing: past.standing, health });
            }
        }
        changes
    }

    /// Forgets the channels that nobody asks for.
    pub fn retain(&mut self, mut is_asked: impl FnMut(&str) -> bool) {
        self.channels.retain(|channel, _| is_asked(channel));
    }

    /// How origins stand for what lies below a channel's folder; for one that was not looked at it goes by the others.
    pub fn standings(&self, channel: Option<&str>) -> Vec<Standing> {
        match channel.and_then(|channel| self.channels.get(channel)) {
            Some(channel) => channel.by_origin.iter().map(|past| past.standing).collect(),
            None => {
                let standing = |origin| if self.is_sick(origin) { Standing::Behind } else { Standing::Well };
                (0..self.origins).map(standing).collect()
            }
        }
    }

    /// Whether an origin is sick for at least half of the channels that it has, as far as that is known.
    pub fn is_sick(&self, origin: usize) -> bool {
        let has = self.channels.values().map(|channel| &channel.by_origin[origin]).filter(|past| past.has);
        let (mut all, mut sick) = (0, 0);
        for past in has {
            all += 1;
            sick += usize::from(past.standing != Standing::Well);
        }
        sick > 0 && sick * 2 >= all
    }

    /// For how many channels an origin is sick.
    pub fn sick(&self, origin: usize) -> usize {
        self.channels.values().filter(|channel| channel.by_origin[origin].standing != Standing::Well).count()
    }
}

impl Past {
    /// Takes one more look; returns whether the standing has changed. What an origin that says nothing is worth stays as
    /// it was.
    fn take(&mut self, health: Health, standing: Standing) -> bool {
        if health == Health::Unknown {
            return false;
        }
        self.has = health != Health::Lacking;
        let before = self.standing;
        if standing == Standing::Well {
            self.good_looks = self.good_looks.saturating_add(1);
            if self.good_looks >= GOOD_LOOKS {
                self.standing = Standing::Well;
            }
        } else {
            (self.standing, self.good_looks) = (standing, 0);
        }
        self.standing != before
    }
}

#[cfg(test)]
mod tests {
    use Standing::{Behind, Broken, Well};

    use super::*;
    use crate::origin::{health::First, playlist::Newest};

    const NEWS: &str = "live/acme/news";

    fn at(age_ms: i64) -> Look {
        let newest = Newest { target_ms: 4000, ends_ms: Some(1_000_000 - age_ms), ..Newest::default() };
        Look::Playlist(newest, First::Unasked)
    }

    fn take(board: &mut Board, channel: &str, looks: &[Look]) -> Vec<(usize, Standing)> {
        let changes = board.take(channel, "video.m3u8", looks, 1_000_000);
        changes.into_iter().map(|change| (change.origin, change.standing)).collect()
    }

    #[test]
    fn one_bad_look_is_enough_and_several_good_ones_are_needed() {
        let mut board = Board::new(2);
        assert!(take(&mut board, NEWS, &[at(0), at(0)]).is_empty());
        assert_eq!(take(&mut board, NEWS, &[at(60_000), at(0)]), [(0, Behind)]);
        assert!(take(&mut board, NEWS, &[at(60_000), at(0)]).is_empty());
        assert_eq!(board.standings(Some(NEWS)), [Behind, Well]);
        assert!(take(&mut board, NEWS, &[at(0), at(0)]).is_empty());
        assert!(take(&mut board, NEWS, &[at(0), at(0)]).is_empty());
        // It says nothing: that neither heals nor hurts.
        assert!(take(&mut board, NEWS, &[Look::Silent, at(0)]).is_empty());
        assert_eq!(take(&mut board, NEWS, &[at(0), at(0)]), [(0, Well)]);
        assert_eq!(take(&mut board, NEWS, &[at(0), Look::NoPlaylist]), [(1, Broken)]);
    }

    #[test]
    fn a_playlist_without_times_that_stands_still_beside_one_that_moves() {
        let mut board = Board::new(2);
        let at =
            |next_number| Look::Playlist(Newest { target_ms: 4000, next_number, ..Newest::default() }, First::Unasked);
        let mut changed_ms = None;
        for second in 0..30_u64 {
            let now_ms = i64::try_from(second).unwrap() * 1000;
            let changes = board.take(NEWS, "video.m3u8", &[at(7), at(7 + second / 4)], now_ms);
            changed_ms = changed_ms.or((!changes.is_empty()).then_some(now_ms));
        }
        assert_eq!((changed_ms, board.standings(Some(NEWS))), (Some(13_000), vec![Behind, Well]));
    }

    #[test]
    fn a_channel_that_was_not_looked_at_goes_by_the_others() {
        let mut board = Board::new(2);
        assert_eq!(board.standings(Some(NEWS)), [Well, Well]);
        take(&mut board, "live/acme/a", &[at(60_000), at(0)]);
        assert_eq!(board.standings(Some(NEWS)), [Behind, Well]);
        take(&mut board, "live/acme/b", &[at(0), at(0)]);
        assert_eq!(board.standings(None), [Behind, Well]);
        take(&mut board, "live/acme/c", &[at(0), at(0)]);
        assert_eq!((board.standings(None), board.sick(0)), (vec![Well, Well], 1));
        // Each is served by the one that is good for it.
        take(&mut board, "live/acme/c", &[at(0), at(60_000)]);
        assert_eq!(board.standings(Some("live/acme/a")), [Behind, Well]);
        assert_eq!(board.standings(Some("live/acme/c")), [Well, Behind]);
        // It has never had this one.
        take(&mut board, "live/acme/d", &[Look::Missing, at(0)]);
        take(&mut board, "live/acme/e", &[Look::Missing, at(0)]);
        assert_eq!(
            (board.standings(Some("live/acme/d")), board.standings(None)),
            (vec![Behind, Well], vec![Well, Well])
        );
        board.retain(|channel| channel == "live/acme/b");
        assert_eq!((board.standings(None), board.sick(0)), (vec![Well, Well], 0));
    }
}
