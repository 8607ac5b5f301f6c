//! The rest of an object whose beginning has come: from the origin that began it, and when that breaks off from the next one
//! that has the same object.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use tokio::{sync::SemaphorePermit, time::timeout};

use super::{
    begun::{Begun, Parts},
    origins::{ANSWER_MAX, Origin},
};
use crate::{
    cache::{Object, Pouring},
    clock::now_ms,
    metrics::Metrics,
};

/// Longest that one origin may take for its bytes: what comes no faster keeps others from coming at all.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// After how long an origin's pace is looked at while another one could go on, and within how long it has to bring the
/// whole at that pace: about a segment's duration.
const PACE_AFTER: Duration = Duration::from_secs(3);
const PACE_WHOLE_MAX: Duration = Duration::from_secs(8);
/// Longest silence of an origin while another one could go on: players have a few seconds in hand.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// The same when there is no other one.
const LAST_SILENCE_MAX: Duration = Duration::from_secs(8);

/// An object that has begun to arrive.
pub struct Flow<'a> {
    pub(super) origin: &'a Origin,
    pub(super) begun: Begun,
    /// Who could go on, the best first.
    pub(super) others: Vec<&'a Origin>,
    /// When its origin was asked, and how long the beginning took.
    pub(super) asked: Instant,
    pub(super) took_ms: i64,
    /// Memory for what arrives is bounded.
    pub(super) place: SemaphorePermit<'a>,
}

impl Flow<'_> {
    /// What is known of the object before its bytes have come.
    pub const fn head(&self) -> &Object {
        &self.begun.head
    }

    /// How many bytes it has.
    pub const fn size(&self) -> usize {
        self.begun.size
    }

    /// Brings all of its bytes, within this one call and whichever origins it takes; returns whether they have all come.
    pub async fn pour(self, key: &str, place: u64, into: &mut Pouring, metrics: &Metrics) -> bool {
        let Self { mut origin, begun, mut others, mut asked, took_ms, place: _place } = self;
        let Begun { head, size, resumable, mut stream } = begun;
        // A connection that broke is no origin that did: at last the first one is asked for the rest too.
        others.push(origin);
        let mut others = if resumable { others } else { Vec::new() }.into_iter();
        let mut first = true;
        loop {
            let patience = if others.len() > 1 { Patience::Short } else { Patience::Long };
            let mut ended = drain(&mut stream, into, patience).await;
            let mut next = None;
            while !matches!(ended, Ended::Whole)
                && next.is_none()
                && let Some(other) = others.next()
            {
                let rest = other.resume(key, place, into.bytes(), &head, size).await;
                next = rest.map(|rest| (other, rest));
            }
            // Nobody else has the same: the one that was slow may have gone on meanwhile.
            if matches!(ended, Ended::Slow) && next.is_none() {
                ended = drain(&mut stream, into, Patience::Long).await;
            }
            let all_ms = i64::try_from(asked.elapsed().as_millis()).unwrap_or(i64::MAX);
            metrics.fetched(&origin.name, matches!(ended, Ended::Whole), all_ms);
            match ended {
                Ended::Whole if first => origin.breaker().answered(took_ms),
                Ended::Whole => origin.breaker().lives(now_ms()),
                Ended::Slow => origin.failed(key, "too little came in time"),
                Ended::Broken(error) => origin.failed(key, &error),
            }
            if into.is_whole() {
                return true;
            }
            let Some((other, rest)) = next else {
                metrics.broke_off();
                return false;
            };
            asked = Instant::now();
            tracing::debug!(key, from = origin.name, to = other.name, "another origin goes on with an object");
            (origin, stream, first) = (other, rest, false);
        }
    }
}

impl Origin {
    /// The rest of an object, where it has the same.
    async fn resume(&self, key: &str, place: u64, at: usize, head: &Object, size: usize) -> Option<Parts> {
        match timeout(ANSWER_MAX, self.source.resume(key, place, at, head, size)).await {
            // One that does not have it, or has another one under the name, has not failed.
            Ok(Ok(rest)) => return rest,
            Ok(Err(error)) => self.failed(key, &error),
            Err(_) => self.failed(key, "no answer in time"),
        }
        None
    }
}

/// How the bytes of one origin ended.
enum Ended {
    /// All are there.
    Whole,
    /// It may go on yet.
    Slow,
    /// It will not.
    Broken(String),
}

/// How long an origin is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// While somebody else could go on.
    Short,
    /// While nobody could.
    Long,
}

/// Whether an origin that brought so many bytes of so many in this time is too slow.
fn is_too_slow(bytes: usize, of: usize, elapsed: Duration) -> bool {
    let at_this_pace = elapsed.as_millis() * of as u128;
    elapsed >= PACE_AFTER && at_this_pace > PACE_WHOLE_MAX.as_millis() * bytes as u128
}

/// Takes what comes until all is there.
async fn drain(stream: &mut Parts, into: &mut Pouring, patience: Patience) -> Ended {
    let silence_max = if patience == Patience::Short { SILENCE_MAX } else { LAST_SILENCE_MAX };
    let (began, before) = (Instant::now(), into.bytes());
    let taken = async {
        while !into.is_whole() {
            let (brought, of) = (into.bytes() - before, into.size() - before);
            if patience == Patience::Short && is_too_slow(brought, of, began.elapsed()) {
                return Ended::Slow;
            }
            match timeout(silence_max, stream.next()).await {
                Err(_) => return Ended::Slow,
                Ok(None) => return Ended::Broken("the body ended early".to_owned()),
                Ok(Some(Err(error))) => return Ended::Broken(error),
                Ok(Some(Ok(part))) => {
                    if !into.push(part) {
                        return Ended::Broken("the body is longer than it said".to_owned());
                    }
                }
            }
        }
        // Read to its end, a connection serves again.
        let _ = stream.next().now_or_never();
        Ended::Whole
    };
    let late = |_| Ended::Broken(format!("not done within {} s", DRAIN_MAX.as_secs()));
    timeout(DRAIN_MAX, taken).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_will_not_be_done_in_time_is_too_slow() {
        let ms = Duration::from_millis;
        for (bytes, of, elapsed, slow) in [
            (0, 100, ms(2_999), false),
            (0, 100, ms(3_000), true),
            (30, 100, ms(3_000), true),
            (38, 100, ms(3_000), false),
            (99, 100, ms(7_900), false),
            (90, 100, ms(7_900), true),
        ] {
            assert_eq!(is_too_slow(bytes, of, elapsed), slow, "{bytes} {elapsed:?}");
        }
    }
}
