//! How a channel is, why, and what is told of it when that changes.

use std::time::Duration;

use framemill_schemas::{
    failure::{Class, Failure},
    live::{ChannelRecord, ChannelState},
};

use super::{
    Facts,
    place::{Placed, tell_failover},
    published, tell,
};
use crate::{ops::channel::Told, view::Outcome};

/// How long a channel may take to get on air, at least.
const START_MS: i64 = 30_000;
/// How long its second replica may take after the first was seen to publish.
const SECOND: Duration = Duration::from_secs(20);

/// Decides how a channel is, whose replicas were looked after, and tells of it.
pub(super) fn settle(
    next: &mut ChannelRecord,
    before: ChannelState,
    fault: Option<Failure>,
    placed: Placed,
    facts: &Facts<'_>,
) {
    let state = state(next, before, &placed, facts);
    let why = why(next, state, fault.as_ref(), &placed, facts);
    explain(next, why, facts.now_ms);
    next.state = state;
    if state != before {
        next.since_ms = facts.now_ms;
        if let Some(what) = told_as(before, state) {
            let why = next.why.clone();
            tell(next, what, "", Told { why: why.as_ref(), ..Told::default() }, facts);
        }
    }
    if placed == Placed::One {
        let why = fault.or_else(|| next.why.clone());
        tell_failover(next, why.as_ref(), facts);
    }
    if state == ChannelState::Live {
        next.upkeep.lost = 0;
    }
}

/// Writes down why a channel is as it is. One reason has one time, however often it is found.
pub(super) fn explain(next: &mut ChannelRecord, why: Option<Failure>, now_ms: i64) {
    let is_same =
        next.why.as_ref().map(|why| (&why.code, &why.reason)) == why.as_ref().map(|why| (&why.code, &why.reason));
    if !is_same {
        next.why = why.map(|why| Failure { at_ms: now_ms, ..why });
    }
}

fn told_as(before: ChannelState, now: ChannelState) -> Option<&'static str> {
    use ChannelState::{Degraded, Down, Live, Starting};
    match (before, now) {
        (Starting | Down, Degraded) | (Starting, Live) => Some("live"),
        (Degraded | Down, Live) => Some("recovered"),
        (Live, Degraded) | (_, Down) => Some("degraded"),
        _ => None,
    }
}

fn state(next: &ChannelRecord, before: ChannelState, placed: &Placed, facts: &Facts<'_>) -> ChannelState {
    let proven = next.replicas.iter().filter(|replica| replica.proven).count();
    let is_whole = *placed == Placed::Enough
        && proven == next.edition.redundancy as usize
        && !next.upkeep.dark.contains(&0)
        && next.upkeep.shown.is_empty()
        && shows(next, facts) == Some(Outcome::Segment);
    let is_starting = before == ChannelState::Starting;
    // What is in the log may be of the time before it was started.
    let is_on_air = shows(next, facts).is_some() && (proven > 0 || !is_starting);
    // Nothing is published before its span begins.
    let begins_ms = next.on_air.begins_ms(facts.now_ms).unwrap_or_default();
    let starts_ms = facts.now_ms - next.since_ms.max(begins_ms);
    match (is_on_air, is_whole) {
        (true, true) => ChannelState::Live,
        (true, false) if is_starting && !is_late(next, placed, facts) => ChannelState::Starting,
        (true, false) => ChannelState::Degraded,
        (false, _) if is_starting && starts_ms < START_MS.max(alert_ms(next)) => ChannelState::Starting,
        (false, _) => ChannelState::Down,
    }
}

/// Whether a channel that got on air has something missing that will not be there in a moment.
fn is_late(next: &ChannelRecord, placed: &Placed, facts: &Facts<'_>) -> bool {
    let ours = facts.known.log.values().filter(|noted| {
        let by = noted.by.as_ref().map(|(job, _)| *job);
        next.replicas.iter().any(|replica| Some(replica.job) == by)
    });
    let since = ours.map(|noted| noted.at).min();
    matches!(placed, Placed::Nowhere(_))
        || next.upkeep.dark.contains(&0)
        || since.is_some_and(|since| facts.now.saturating_duration_since(since) > SECOND)
}

/// What viewers get, by the last number that is no gap; nothing where that is too long ago, or where no playlist
/// tells of it.
fn shows(next: &ChannelRecord, facts: &Facts<'_>) -> Option<Outcome> {
    committed(next, facts).filter(|_| !published::stands_still(next, facts))
}

/// What was made of the last number that is no gap; nothing where that is too long ago.
fn committed(next: &ChannelRecord, facts: &Facts<'_>) -> Option<Outcome> {
    let last = facts.known.log.values().rfind(|noted| noted.what != Outcome::Gap)?;
    let age = facts.now.saturating_duration_since(last.at);
    (age.as_millis() <= alert_ms(next).unsigned_abs().into()).then_some(last.what)
}

/// After how long without a number a channel counts as off air: as its owner says, but not sooner than
/// two and a half segments, milliseconds.
pub(super) fn alert_ms(next: &ChannelRecord) -> i64 {
    let asked = i64::from(next.edition.observability.alert_after_segment_gap_s) * 1000;
    asked.max(i64::from(next.edition.segment_ms) * 5 / 2)
}

/// Why a channel is not as it should be. Texts stay the same for as long as the cause does, so that a
/// look that finds nothing new changes nothing.
fn why(
    next: &ChannelRecord,
    state: ChannelState,
    fault: Option<&Failure>,
    placed: &Placed,
    facts: &Facts<'_>,
) -> Option<Failure> {
    if state == ChannelState::Live {
        return same_zone(next, facts);
    }
    let dark = &next.upkeep.dark;
    let all_dark = !dark.is_empty() && dark.len() >= next.edition.sources.len();
    if all_dark || (dark.contains(&0) && fault.is_none() && *placed == Placed::Enough) {
        let reason = if all_dark {
            "none of its sources comes through".to_owned()
        } else {
            format!("its first source does not come through: {}", next.edition.sources[0])
        };
        let mend = "look at whoever sends it, at the way here, and at its address";
        return Some(Failure::new(Class::Input, "source-lost", reason).mend(mend));
    }
    if committed(next, facts).is_some() && published::stands_still(next, facts) {
        return Some(published::still());
    }
    let proven = next.replicas.iter().filter(|replica| replica.proven).count();
    let is_whole = *placed == Placed::Enough && proven == next.edition.redundancy as usize;
    if let Some(shown) = published::why(next).filter(|_| is_whole && fault.is_none()) {
        return Some(shown);
    }
    let lately = || fault.cloned().or_else(|| next.why.clone().filter(|why| is_fault(&why.code)));
    let is_resting = next.why.as_ref().is_some_and(|why| why.code == RESTING);
    match placed {
        Placed::Nowhere(failure) => Some(failure.clone()),
        // Said once, with what went wrong then.
        Placed::Rests if is_resting && fault.is_none() => next.why.clone(),
        Placed::Rests if next.upkeep.strikes > 0 => Some(
            Failure::new(Class::Transient, RESTING, resting(next, lately().as_ref()))
                .mend("see what its replicas say: framemill channel diagnose"),
        ),
        _ => lately().or_else(|| Some(starting(next, state, facts))),
    }
}

/// That a pair stands where it may fail together. It is no reason to be degraded: nothing is missing, and in a
/// farm of one zone nobody can do anything about it.
fn same_zone(next: &ChannelRecord, facts: &Facts<'_>) -> Option<Failure> {
    let mut nodes = next.replicas.iter().filter_map(|replica| replica.node.as_ref());
    let zone = facts.fleet.shared_zone(nodes.next()?, nodes.next()?)?;
    let reason = format!("both replicas run in zone {zone}");
    let mend = "where another zone has room, let a node hand its replica over: framemill node drain";
    Some(Failure::new(Class::Resource, "same-zone", reason).mend(mend))
}

/// Symptom of a channel whose replicas keep failing.
const RESTING: &str = "replicas-fail";
/// Symptoms of a replica that is on its way.
const ON_ITS_WAY: [&str; 2] = ["replica-waits", "replica-starting"];

/// Whether it says what went wrong with a replica: that stays true until all is well again.
fn is_fault(code: &str) -> bool {
    code.starts_with("replica") && code != RESTING && !ON_ITS_WAY.contains(&code)
}

fn resting(next: &ChannelRecord, last: Option<&Failure>) -> String {
    let strikes = next.upkeep.strikes;
    let last = last.map_or_else(String::new, |failure| format!(": {}", failure.reason));
    format!("{strikes} replicas in a row ended before they published; the next is placed after a pause{last}")
}

fn starting(next: &ChannelRecord, state: ChannelState, facts: &Facts<'_>) -> Failure {
    let waits = next.replicas.iter().find(|replica| replica.node.is_none());
    let (code, reason) = match waits {
        Some(replica) if facts.fleet.with(replica.engine).iter().all(|node| replica.apart.contains(node)) => {
            ("no-node", "no worker is heard that could run it")
        }
        Some(_) => ("replica-waits", "a replica waits for a worker to take it"),
        None if shows(next, facts) == Some(Outcome::Filler) => ("filler", "viewers get filler in place of its source"),
        None if state == ChannelState::Down => {
            ("nothing-published", "its replicas run, and nothing of it is published")
        }
        None => ("replica-starting", "a replica was not seen to publish yet"),
    };
    Failure::new(Class::Transient, code, reason).mend("see where it stands: framemill channel diagnose")
}
