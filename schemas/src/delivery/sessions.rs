//! How many sessions an account has at once, and which one yields.

use serde::{Deserialize, Serialize};

use super::Yields;
use crate::ids::Tenant;

/// Format of session records written by this version.
pub const SESSIONS_VERSION: u32 = 1;
/// How long a seat is kept of which nothing is heard, milliseconds.
pub const SEAT_MS: i64 = 90_000;
/// How long it is remembered that a session has yielded, milliseconds: as long as a token lives.
const OUT_MS: i64 = 12 * 3600 * 1000;
/// Most sessions of which that is remembered: beyond it the one that yielded first could come back.
const OUT_MAX: usize = 256;
/// Most seats of an account, whatever its tokens say.
const SEATS_MAX: usize = 64;

/// The sessions of an account: bucket `sessions`, by [`sessions_key`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// Format of this record.
    pub v: u32,
    /// Those that watch.
    pub seats: Vec<Seat>,
    /// Those that have yielded, the last one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out: Vec<Out>,
}

/// One session that watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Which.
    pub session: String,
    /// Since when, Unix milliseconds.
    pub began_ms: i64,
    /// When it was last heard of, Unix milliseconds.
    pub seen_ms: i64,
}

/// One session that has yielded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Out {
    /// Which.
    pub session: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// Why a session has no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSeat {
    /// It yielded to another one, for good: watching again takes a new session.
    Yielded,
    /// Others have them all. One may become free.
    Full,
}

/// Key of an account's record: a digest, since names of accounts may hold what keys must not.
pub fn sessions_key(tenant: &Tenant, account: &str) -> String {
    format!("{tenant}.{}", &blake3::hash(account.as_bytes()).to_hex()[..32])
}

impl Sessions {
    /// Takes a session that watches since `began_ms`, how many may and which one yields; the record afterwards. Guards: a
    /// session that has yielded does not come back, and one that has a seat keeps it. Where the oldest yields, what counts is when each began,
    /// not when its claim arrived here: of two whose claims overtake each other the same one yields. Where the newest does,
    /// whoever is here first has the seat.
    ///
    /// # Errors
    /// Why it has no seat; the record says so too.
    pub fn enter(
        &self,
        session: &str,
        began_ms: i64,
        max: u32,
        yields: Yields,
        now_ms: i64,
    ) -> (Self, Result<(), NoSeat>) {
        let mut next = self.current(now_ms);
        next.v = SESSIONS_VERSION;
        if next.has_yielded(session) {
            return (next, Err(NoSeat::Yielded));
        }
        if let Some(seat) = next.seats.iter_mut().find(|seat| seat.session == session) {
            seat.seen_ms = seat.seen_ms.max(now_ms);
            return (next, Ok(()));
        }
        let max = usize::try_from(max).unwrap_or(SEATS_MAX).clamp(1, SEATS_MAX);
        if next.seats.len() >= max && yields == Yields::Newest {
            return (next, Err(NoSeat::Full));
        }
        next.seats.push(Seat { session: session.to_owned(), began_ms, seen_ms: now_ms });
        next.seats.sort_by(|a, b| (a.began_ms, &a.session).cmp(&(b.began_ms, &b.session)));
        let over = next.seats.len().saturating_sub(max);
        next.out.extend(next.seats.drain(..over).map(|seat| Out { session: seat.session, at_ms: now_ms }));
        let forgotten = next.out.len().saturating_sub(OUT_MAX);
        next.out.drain(..forgotten);
        let entered = if next.has_yielded(session) { Err(NoSeat::Yielded) } else { Ok(()) };
        (next, entered)
    }

    /// Whether a session that had a seat has one no more.
    pub fn has_yielded(&self, session: &str) -> bool {
        self.out.iter().any(|out| out.session == session)
    }

    /// Without what is over.
    fn current(&self, now_ms: i64) -> Self {
        let mut next = self.clone();
        next.seats.retain(|seat| seat.seen_ms.saturating_add(SEAT_MS) > now_ms);
        next.out.retain(|out| out.at_ms.saturating_add(OUT_MS) > now_ms);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(sessions: &Sessions) -> Vec<&str> {
        sessions.seats.iter().map(|seat| seat.session.as_str()).collect()
    }

    /// A script of who asks when, and what comes of it.
    #[test]
    fn the_oldest_or_the_newest_yields() {
        use NoSeat::{Full, Yielded};
        type Step = (&'static str, i64, Result<(), NoSeat>, &'static [&'static str]);
        let oldest: &[Step] = &[
            ("a", 0, Ok(()), &["a"]),
            ("a", 10, Ok(()), &["a"]),
            ("b", 20, Ok(()), &["b"]),
            ("a", 30, Err(Yielded), &["b"]),
            ("c", 40, Ok(()), &["c"]),
            ("b", 40 + OUT_MS - 1, Err(Yielded), &[]),
        ];
        let newest: &[Step] = &[
            ("a", 0, Ok(()), &["a"]),
            ("b", 10, Err(Full), &["a"]),
            ("a", 20, Ok(()), &["a"]),
            ("b", 20 + SEAT_MS - 1, Err(Full), &["a"]),
            ("b", 20 + SEAT_MS, Ok(()), &["b"]),
            ("a", 30 + SEAT_MS, Err(Full), &["b"]),
        ];
        for (yields, steps) in [(Yields::Oldest, oldest), (Yields::Newest, newest)] {
            let mut sessions = Sessions::default();
            for (session, now_ms, expected, left) in steps {
                let (next, entered) = sessions.enter(session, *now_ms, 1, yields, *now_ms);
                assert_eq!((entered, seats(&next)), (*expected, left.to_vec()), "{yields:?} {session} {now_ms}");
                sessions = next;
            }
        }
    }

    #[test]
    fn claims_that_overtake_each_other_end_alike() {
        let enter =
            |sessions: Sessions, session: &str, began_ms| sessions.enter(session, began_ms, 1, Yields::Oldest, 9);
        let (one, entered) = enter(enter(Sessions::default(), "a", 1).0, "b", 2);
        assert_eq!((seats(&one), entered), (vec!["b"], Ok(())));
        let (other, entered) = enter(enter(Sessions::default(), "b", 2).0, "a", 1);
        assert_eq!((seats(&other), entered), (vec!["b"], Err(NoSeat::Yielded)));
        assert!(one.has_yielded("a") && other.has_yielded("a"));
    }

    #[test]
    fn there_are_never_more_seats_than_allowed() {
        let mut sessions = Sessions::default();
        for number in 0..600_i64 {
            let (next, entered) = sessions.enter(&format!("s{number}"), number, 3, Yields::Oldest, number);
            assert_eq!(entered, Ok(()));
            assert!(next.seats.len() <= 3 && next.out.len() <= OUT_MAX);
            sessions = next;
        }
        assert_eq!(seats(&sessions), ["s597", "s598", "s599"]);
        let (next, _) = sessions.enter("t", 600, 1, Yields::Oldest, 600);
        assert_eq!(seats(&next), ["t"], "a limit that was lowered");
    }
}
