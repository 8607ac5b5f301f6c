//! How good an origin is for one channel: what one look at it shows, and how it compares with the others. Pure.

use framemill_media::boxes::check_start;

use super::playlist::Newest;

/// Target durations after which a newest segment is old.
const STALE_TARGETS: i64 = 3;

/// What one look at an origin brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It did not answer: others count that.
    Silent,
    /// It does not have the playlist.
    Missing,
    /// It sent something else in its place.
    NoPlaylist,
    /// It sent a multivariant playlist, which says nothing of segments.
    Multivariant,
    /// The playlist, and the first bytes of the newest segment.
    Playlist(Newest, First),
}

/// The first bytes of a newest segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// They are these.
    Bytes(Vec<u8>),
    /// It is listed, and not there.
    Missing,
    /// None was asked for: nothing that could be read is listed.
    Unasked,
}

/// How far a playlist without times was, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its [`Newest::next_number`].
    pub number: u64,
    /// When that was seen first, Unix milliseconds.
    pub since_ms: i64,
    /// Whether it was another one before that.
    pub moved: bool,
}

/// What a look shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is fresh, and its newest segment begins as one.
    Good {
        /// How old the newest segment's end is, milliseconds.
        age_ms: i64,
    },
    /// It answers, with something old.
    Stale {
        /// How old the newest segment's end is, milliseconds.
        age_ms: i64,
        /// Target duration, milliseconds.
        target_ms: i64,
    },
    /// It answers, and has nothing of the channel.
    Lacking,
    /// It answers, with something that nobody can play.
    Broken(&'static str),
    /// Nothing is said for it or against it.
    Unknown,
}

/// How an origin compares with the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// None is better.
    #[default]
    Well,
    /// Another one has newer segments, or has the channel at all.
    Behind,
    /// Another one has what can be played.
    Broken,
}

impl Seen {
    /// Takes what was seen before, and how far a playlist is now.
    pub fn next(before: Option<Self>, number: u64, now_ms: i64) -> Self {
        match before {
            Some(before) if before.number == number => before,
            Some(_) => Self { number, since_ms: now_ms, moved: true },
            None => Self { number, since_ms: now_ms, moved: false },
        }
    }
}

/// Takes a look, and how far its playlist was when it was looked at before and now; says what that shows.
pub fn judge(look: &Look, seen: Option<Seen>, now_ms: i64) -> Health {
    let (newest, first) = match look {
        Look::Silent => return Health::Unknown,
        Look::Missing => return Health::Lacking,
        Look::NoPlaylist => return Health::Broken("what it sends is no playlist"),
        Look::Multivariant => return Health::Good { age_ms: 0 },
        Look::Playlist(newest, first) => (newest, first),
    };
    match first {
        First::Missing => return Health::Broken("it lists a segment that it does not have"),
        First::Bytes(bytes) if check_start(bytes).is_err() => {
            return Health::Broken("its newest segment does not begin as one");
        }
        First::Bytes(_) | First::Unasked => {}
    }
    let limit_ms = newest.target_ms.saturating_mul(STALE_TARGETS);
    // Without times it is told from whether the playlist moves; one that has ended does not, and rightly.
    let age_ms = match (newest.ends_ms, seen) {
        (Some(ends_ms), _) => now_ms.saturating_sub(ends_ms),
        (None, Some(seen)) if !newest.ended => {
            let still_ms = now_ms.saturating_sub(seen.since_ms);
            if !seen.moved && still_ms <= limit_ms {
                return Health::Unknown;
            }
            still_ms
        }
        (None, _) => return Health::Unknown,
    };
    match age_ms > limit_ms {
        true => Health::Stale { age_ms, target_ms: newest.target_ms },
        false => Health::Good { age_ms },
    }
}

/// Takes what looks at all origins showed for one channel; says how they compare. A channel that is old everywhere has
/// stopped, which is no origin's fault.
pub fn compare(healths: &[Health]) -> Vec<Standing> {
    let played = healths.iter().any(|health| matches!(health, Health::Good { .. } | Health::Stale { .. }));
    let standing = |health: &Health| match *health {
        Health::Good { .. } | Health::Unknown => Standing::Well,
        Health::Stale { age_ms, target_ms } => {
            // By more than a segment: two copies of one playlist are never read at the same moment.
            let newer = |other: &Health| match *other {
                Health::Good { age_ms: theirs } | Health::Stale { age_ms: theirs, .. } => age_ms - theirs > target_ms,
                Health::Lacking | Health::Broken(_) | Health::Unknown => false,
            };
            if healths.iter().any(newer) { Standing::Behind } else { Standing::Well }
        }
        Health::Lacking if played => Standing::Behind,
        Health::Broken(_) if played => Standing::Broken,
        Health::Lacking | Health::Broken(_) => Standing::Well,
    };
    healths.iter().map(standing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn newest(ends_ms: Option<i64>, ended: bool) -> Newest {
        Newest { target_ms: 4000, ended, next_number: 7, ends_ms, key: None }
    }

    #[test]
    fn what_a_look_shows() {
        let dated = |age_ms: i64, first: First| Look::Playlist(newest(Some(NOW - age_ms), false), first);
        let ended = |age_ms: i64| Look::Playlist(newest(Some(NOW - age_ms), true), First::Unasked);
        let plain = |ended: bool| Look::Playlist(newest(None, ended), First::Unasked);
        let seen = |still_ms: i64, moved: bool| Some(Seen { number: 7, since_ms: NOW - still_ms, moved });
        let stale = |age_ms| Health::Stale { age_ms, target_ms: 4000 };
        let good = |age_ms| Health::Good { age_ms };
        for (look, seen, expected) in [
            (Look::Silent, None, Health::Unknown),
            (Look::Multivariant, None, good(0)),
            (dated(1000, First::Unasked), None, good(1000)),
            (dated(12_000, First::Unasked), None, good(12_000)),
            (dated(12_001, First::Unasked), None, stale(12_001)),
            (dated(-500, First::Unasked), None, good(-500)),
            (ended(1000), None, good(1000)),
            (ended(60_000), None, stale(60_000)),
            (plain(false), None, Health::Unknown),
            (plain(false), seen(0, false), Health::Unknown),
            (plain(false), seen(12_000, false), Health::Unknown),
            (plain(false), seen(12_001, false), stale(12_001)),
            (plain(false), seen(0, true), good(0)),
            (plain(false), seen(12_001, true), stale(12_001)),
            (plain(true), seen(60_000, true), Health::Unknown),
            (plain(true), None, Health::Unknown),
        ] {
            assert_eq!(judge(&look, seen, NOW), expected, "{look:?} {seen:?}");
        }
        assert_eq!(judge(&Look::Missing, None, NOW), Health::Lacking);
        for look in [
            Look::NoPlaylist,
            dated(1000, First::Missing),
            dated(1000, First::Bytes(Vec::new())),
            dated(1000, First::Bytes(b"<html>502 Bad Gateway".to_vec())),
        ] {
            assert!(matches!(judge(&look, None, NOW), Health::Broken(_)), "{look:?}");
        }
    }

    #[test]
    fn a_newest_segment_that_begins_as_one_is_good() {
        let moof = b"\0\0\0\x08styp\0\0\x02\0moof\0\0\0\x10mfhd".to_vec();
        let look = Look::Playlist(newest(Some(NOW), false), First::Bytes(moof));
        assert_eq!(judge(&look, None, NOW), Health::Good { age_ms: 0 });
    }

    #[test]
    fn an_origin_is_sick_only_beside_a_better_one() {
        use Standing::{Behind, Broken, Well};
        let good = Health::Good { age_ms: 2000 };
        let stale = |age_ms| Health::Stale { age_ms, target_ms: 4000 };
        let broken = Health::Broken("why");
        for (healths, expected) in [
            (vec![good, good], vec![Well, Well]),
            (vec![stale(20_000), good], vec![Behind, Well]),
            (vec![good, stale(20_000)], vec![Well, Behind]),
            // The channel has stopped.
            (vec![stale(60_000), stale(60_900)], vec![Well, Well]),
            // It has stopped, and one has less of it.
            (vec![stale(90_000), stale(60_000)], vec![Behind, Well]),
            // Read a moment apart.
            (vec![stale(12_100), Health::Good { age_ms: 11_900 }], vec![Well, Well]),
            (vec![broken, good], vec![Broken, Well]),
            (vec![broken, stale(60_000)], vec![Broken, Well]),
            (vec![broken, broken], vec![Well, Well]),
            (vec![Health::Lacking, good], vec![Behind, Well]),
            (vec![Health::Lacking, broken], vec![Well, Well]),
            (vec![broken, Health::Unknown], vec![Well, Well]),
            (vec![stale(60_000), Health::Unknown], vec![Well, Well]),
            (vec![stale(60_000)], vec![Well]),
            (vec![broken, stale(60_000), good], vec![Broken, Behind, Well]),
        ] {
            assert_eq!(compare(&healths), expected, "{healths:?}");
        }
    }

    #[test]
    fn a_playlist_without_times_is_watched_for_whether_it_moves() {
        let first = Seen::next(None, 7, 100);
        assert_eq!(first, Seen { number: 7, since_ms: 100, moved: false });
        assert_eq!(Seen::next(Some(first), 7, 200), first);
        assert_eq!(Seen::next(Some(first), 8, 200), Seen { number: 8, since_ms: 200, moved: true });
        // Begun anew.
        assert_eq!(Seen::next(Some(first), 0, 200), Seen { number: 0, since_ms: 200, moved: true });
    }
}
