//! What kinds of processes take of a machine.

use std::{collections::BTreeMap, time::Instant};

use crate::rig::{Farm, Member, proc};

/// Processor time that each process of a farm took so far.
#[derive(Debug)]
pub struct Taken {
    /// Milliseconds, by what it is and its number.
    by: BTreeMap<(&'static str, i32), u64>,
    /// Milliseconds of everything on the machine.
    machine: Option<u64>,
    at: Instant,
}

/// Shares of a core between two moments, in thousandths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    by: BTreeMap<&'static str, i64>,
    machine: i64,
}

impl Taken {
    /// That of a farm now: `scheduler`, `worker`, `packager`, `nats`, `ffmpeg`, and `trial` for this process,
    /// which serves the store.
    pub fn by(farm: &Farm) -> Self {
        let mut by = BTreeMap::new();
        let mut note = |role, pid: Option<i32>| {
            by.extend(pid.and_then(|pid| Some(((role, pid), proc::cpu_ms(pid)?))));
        };
        for (member, seat) in &farm.seats {
            let role = match member {
                Member::Scheduler(_) => "scheduler",
                Member::Worker(_) => "worker",
                Member::Packager(_) => "packager",
            };
            note(role, seat.process.pid());
        }
        note("nats", farm.nats.process.pid());
        note("trial", Some(std::process::id().cast_signed()));
        farm.others().iter().for_each(|found| note("ffmpeg", Some(found.pid)));
        Self { by, machine: proc::machine_ms(), at: Instant::now() }
    }

    /// What was taken since a moment; a process that was not there then, or is not now, does not count.
    pub fn since(&self, before: &Self) -> Shares {
        let took = (self.at - before.at).as_millis().max(1);
        let milli = |ms: u64| i64::try_from(u128::from(ms) * 1000 / took).unwrap_or(i64::MAX);
        let mut by: BTreeMap<&'static str, i64> = BTreeMap::new();
        for (key, ms) in &self.by {
            let Some(known) = before.by.get(key) else { continue };
            *by.entry(key.0).or_default() += milli(ms.saturating_sub(*known));
        }
        let machine = self.machine.zip(before.machine).map_or(0, |(now, then)| now.saturating_sub(then));
        Shares { by, machine: milli(machine) }
    }
}

impl Shares {
    /// That of one kind.
    pub fn of(&self, role: &str) -> i64 {
        self.by.get(role).copied().unwrap_or_default()
    }

    /// That of everything else on the machine.
    pub fn others(&self) -> i64 {
        self.machine - self.by.values().sum::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_who_was_there_all_the_time_counts() {
        let at = Instant::now();
        let taken = |after, by: &[((&'static str, i32), u64)], machine| Taken {
            by: by.iter().copied().collect(),
            machine: Some(machine),
            at: at + Duration::from_secs(after),
        };
        let before = taken(0, &[(("worker", 1), 100), (("worker", 2), 0), (("ffmpeg", 3), 500)], 1000);
        let after = taken(10, &[(("worker", 1), 300), (("worker", 2), 100), (("ffmpeg", 4), 900)], 6000);
        let shares = after.since(&before);
        assert_eq!((shares.of("worker"), shares.of("ffmpeg"), shares.others()), (30, 0, 470));
    }
}
