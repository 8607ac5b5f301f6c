//! Which faults happen when. Pure: a seed and a length give the same plan everywhere, so that a
//! run that went wrong can be run again.

use serde::Serialize;

use super::fault::{Fault, PACKAGERS, SCHEDULERS, Trick, WORKERS, Whom, members};
use crate::rig::{Link, Member, Seed, Trouble};

/// A fault and its moment, counted from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Milliseconds.
    pub at_ms: u64,
    /// What happens.
    pub fault: Fault,
}

/// The farm gets this long to begin its first jobs.
const FIRST_MS: u64 = 4_000;
/// Pauses between faults.
const GAP_MS: (u64, u64) = (500, 3_000);
/// Longer than any lease of the farm: whoever wakes up after it was given up.
const STOPPED_MS: (u64, u64) = (6_000, 20_000);
/// How long a process that was struck is left alone afterwards: it is to begin something.
const REST_MS: u64 = 1_500;
/// A farm that heals itself gets time between troubles that strike all of it.
const GLOBAL_REST_MS: u64 = 9_000;
/// Tries to find a fault whose victim is free.
const TRIES: usize = 8;

/// What is drawn, before it has its details.
#[derive(Clone, Copy)]
enum Draw {
    KillBusyWorker,
    KillScheduler,
    KillPackager,
    Stop,
    KillEncoder,
    StopEncoder,
    KillNats,
    Network,
    Store,
    Trick,
}

const WEIGHTS: [(u64, Draw); 10] = [
    (32, Draw::KillBusyWorker),
    (9, Draw::KillScheduler),
    (11, Draw::KillPackager),
    (7, Draw::Stop),
    (13, Draw::KillEncoder),
    (3, Draw::StopEncoder),
    (4, Draw::KillNats),
    (9, Draw::Network),
    (4, Draw::Store),
    (8, Draw::Trick),
];

/// The faults of a run of so many minutes, in order. Each one ends before the run does.
pub fn plan(seed: u64, minutes: u64) -> Vec<Planned> {
    let end_ms = minutes * 60_000;
    let mut seed = Seed::new(seed);
    let mut planned = Vec::new();
    let mut taken = Taken::default();
    let mut at_ms = FIRST_MS;
    while at_ms < end_ms {
        let mut tries = (0..TRIES).map(|_| draw(&mut seed));
        if let Some(fault) = tries.find(|fault| at_ms + fault.length_ms() < end_ms && taken.allows(at_ms, fault)) {
            taken.book(at_ms, &fault);
            planned.push(Planned { at_ms, fault });
        }
        at_ms += seed.between(GAP_MS.0, GAP_MS.1);
    }
    planned
}

fn draw(seed: &mut Seed) -> Fault {
    match seed.weighted(&WEIGHTS) {
        Draw::KillBusyWorker => kill(seed, Whom::BusyWorker),
        Draw::KillScheduler => kill(seed, |pick| Whom::Member(Member::Scheduler(number(pick, SCHEDULERS)))),
        Draw::KillPackager => kill(seed, |pick| Whom::Member(Member::Packager(number(pick, PACKAGERS)))),
        Draw::Stop => {
            let member = seed.pick(&members());
            Fault::Stop { whom: Whom::Member(member), for_ms: seed.between(STOPPED_MS.0, STOPPED_MS.1) }
        }
        Draw::KillEncoder => Fault::KillEncoder { pick: seed.below(64) },
        Draw::StopEncoder => Fault::StopEncoder { pick: seed.below(64), for_ms: seed.between(2_000, 15_000) },
        Draw::KillNats => Fault::KillNats { for_ms: seed.between(100, 6_000) },
        Draw::Network => {
            let member = seed.pick(&members());
            let link = seed.pick(&[Link::Nats, Link::Store]);
            let trouble = match link {
                Link::Nats => seed.pick(&[Trouble::Refuse, Trouble::Stall]),
                Link::Store => store_trouble(seed),
            };
            Fault::Network { member, link, trouble, for_ms: seed.between(1_000, 20_000) }
        }
        Draw::Store => Fault::Store { trouble: store_trouble(seed), for_ms: seed.between(1_000, 9_000) },
        Draw::Trick => {
            let tricks = [
                (4, Trick::Crash),
                (2, Trick::Hang),
                (3, Trick::Flood),
                (2, Trick::Short),
                (3, Trick::Grandchild),
                (2, Trick::Escape),
            ];
            Fault::Trick { trick: seed.weighted(&tricks), worker: number(seed.below(64), WORKERS) }
        }
    }
}

fn kill(seed: &mut Seed, whom: impl Fn(u64) -> Whom) -> Fault {
    let whom = whom(seed.below(64));
    Fault::Kill { whom, pause_ms: seed.between(50, 5_000) }
}

fn store_trouble(seed: &mut Seed) -> Trouble {
    match seed.below(6) {
        0 => Trouble::Refuse,
        1 => Trouble::Stall,
        2 => Trouble::Answer(500),
        3 => Trouble::Answer(503),
        4 => Trouble::Answer(507),
        _ => Trouble::Cut(u32::try_from(seed.between(200, 20_000)).expect("it is small")),
    }
}

fn number(pick: u64, of: u8) -> u8 {
    u8::try_from(pick % u64::from(of)).expect("it is below a u8") + 1
}

/// Until when nobody is struck again.
#[derive(Default)]
struct Taken {
    members: Vec<(Member, u64)>,
    global_until_ms: u64,
}

impl Taken {
    fn allows(&self, at_ms: u64, fault: &Fault) -> bool {
        match member(fault) {
            Some(member) => self.members.iter().all(|(other, until_ms)| *other != member || *until_ms <= at_ms),
            None => !is_global(fault) || self.global_until_ms <= at_ms,
        }
    }

    fn book(&mut self, at_ms: u64, fault: &Fault) {
        let end_ms = at_ms + fault.length_ms();
        self.members.retain(|(_, until_ms)| *until_ms > at_ms);
        if let Some(member) = member(fault) {
            self.members.push((member, end_ms + REST_MS));
        }
        if is_global(fault) {
            self.global_until_ms = end_ms + GLOBAL_REST_MS;
        }
    }
}

/// Whom a fault occupies, where the plan can know it.
const fn member(fault: &Fault) -> Option<Member> {
    match *fault {
        Fault::Kill { whom: Whom::Member(member), .. }
        | Fault::Stop { whom: Whom::Member(member), .. }
        | Fault::Network { member, .. } => Some(member),
        _ => None,
    }
}

const fn is_global(fault: &Fault) -> bool {
    matches!(fault, Fault::KillNats { .. } | Fault::Store { .. })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_replays() {
        for seed in [0, 1, 42, u64::MAX] {
            assert_eq!(plan(seed, 3), plan(seed, 3));
        }
        assert_ne!(plan(1, 3), plan(2, 3));
    }

    #[test]
    fn every_fault_has_its_time() {
        for seed in 0..200 {
            let planned = plan(seed, 2);
            assert!(planned.len() > 20, "{seed}: {}", planned.len());
            assert!(planned.is_sorted_by_key(|planned| planned.at_ms));
            for Planned { at_ms, fault } in &planned {
                assert!(*at_ms >= FIRST_MS && at_ms + fault.length_ms() < 120_000, "{seed}: {fault:?}");
            }
        }
    }

    #[test]
    fn nobody_is_struck_while_he_is_down() {
        for seed in 0..100 {
            let planned = plan(seed, 5);
            for (index, first) in planned.iter().enumerate() {
                let Some(victim) = member(&first.fault) else { continue };
                let end_ms = first.at_ms + first.fault.length_ms();
                let again = planned[index + 1..].iter().find(|later| member(&later.fault) == Some(victim));
                assert!(again.is_none_or(|later| later.at_ms >= end_ms), "{seed}: {victim}");
            }
        }
    }

    #[test]
    fn every_kind_is_planned_sooner_or_later() {
        let kinds: BTreeSet<String> =
            (0..40).flat_map(|seed| plan(seed, 5)).map(|planned| planned.fault.kind()).collect();
        for kind in ["kill worker", "stop packager", "kill nats", "store full", "ffmpeg hang", "network nats stalled"] {
            assert!(kinds.contains(kind), "{kind} in {kinds:?}");
        }
    }
}
