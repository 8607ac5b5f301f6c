//! What a run came to, for people and as one document.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
};

use framemill_schemas::finding::Finding;
use serde::Serialize;

use super::{audit::fates::Fates, clips::SOUND, fault::Fault, strike::Struck, witness::Recovery};
use crate::{figures::Spread, rig::Member};

/// Findings that are shown of one code; the rest are counted.
const SHOWN_MAX: usize = 20;

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The seed: the same one strikes the same way again.
    pub seed: u64,
    /// Minutes of faults.
    pub minutes: u64,
    /// Seconds from the first fault to the end of the audit.
    pub wall_s: f64,
    /// Seconds from the last fault until everything was at rest.
    pub settled_s: f64,
    /// Faults by kind.
    pub faults: BTreeMap<String, Count>,
    /// SIGKILLs that struck: roles, ffmpegs and NATS together.
    pub kills: u64,
    /// Tricks that an encoder played; each was armed by a fault.
    pub tricks: BTreeMap<String, u64>,
    /// From SIGKILL of a worker to its job claimed again.
    pub recovery: Recoveries,
    /// Work done more than once.
    pub work: Work,
    /// What became of titles.
    pub assets: Fates,
    /// Starts that a role refused: NATS or the store was away.
    pub failed_starts: u64,
    /// Jobs or titles committed more than once.
    pub duplicate_commits: u64,
    /// Published titles that are not what they should be.
    pub invalid_outputs: u64,
    /// Processes that nobody ended.
    pub leftover_processes: u64,
    /// Everything that should not be.
    pub findings: Vec<Finding>,
}

/// How often a kind of fault was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// It struck.
    pub struck: u64,
    /// There was nobody to strike.
    pub missed: u64,
}

/// Recovery times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recoveries {
    /// Jobs whose worker was killed while another had a free slot, and nothing else that they
    /// need was struck until they were claimed.
    pub undisturbed: Spread,
    /// All jobs of killed workers that were claimed again.
    pub all: Spread,
}

/// Segments that were encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Work {
    /// Different segments that were put.
    pub segments: u64,
    /// Puts of a segment by another start of a process than the first.
    pub repeated: u64,
    /// Puts of a picture segment that was stored already: all rungs of a chunk go on where the
    /// last of them ended, so some are encoded in vain.
    pub in_vain_picture: u64,
    /// Puts of a sound segment that was stored already.
    pub in_vain_sound: u64,
    /// The repeated ones as a share of all puts.
    pub share: f64,
}

/// Counts faults by kind.
pub fn count(struck: &[Struck]) -> BTreeMap<String, Count> {
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for one in struck {
        let count = counts.entry(one.fault.kind()).or_default();
        if one.hit { count.struck += 1 } else { count.missed += 1 }
    }
    counts
}

/// Puts by path, each once for a start of a process, and those that the store had already.
pub fn work(puts: &[String], vain: &[String]) -> Work {
    let segments = puts.iter().collect::<BTreeSet<_>>().len() as u64;
    let repeated = puts.len() as u64 - segments;
    let share = if puts.is_empty() { 0.0 } else { repeated as f64 / puts.len() as f64 };
    let sound = vain.iter().filter(|path| path.contains(&format!("/{SOUND}/"))).count() as u64;
    Work { segments, repeated, in_vain_picture: vain.len() as u64 - sound, in_vain_sound: sound, share }
}

/// Recovery times, with those told apart that no other fault disturbed.
pub fn recoveries(recoveries: &[Recovery], struck: &[Struck]) -> Recoveries {
    let spread = |of: Vec<&Recovery>| Spread::of(of.iter().map(|one| one.claimed_ms - one.killed_ms).collect());
    let disturbed = |one: &Recovery| struck.iter().filter(|fault| fault.hit).any(|fault| disturbs(fault, one));
    let quiet = recoveries.iter().filter(|one| one.had_room && !disturbed(one)).collect();
    Recoveries { undisturbed: spread(quiet), all: spread(recoveries.iter().collect()) }
}

/// How long a scheduler's end or sleep may delay others: it may hold the reaper's lease, and then
/// another takes that over first.
const HANDOVER_MS: i64 = 10_000;

/// Whether a fault took away what a recovery needs besides a worker: NATS, the store, or the
/// scheduler whose reaper takes jobs back. Room was looked for at the kill, so other workers
/// disturb it only when they are struck after that.
fn disturbs(fault: &Struck, one: &Recovery) -> bool {
    let overlaps = |from_ms: i64, to_ms: i64| from_ms < one.claimed_ms && to_ms > one.killed_ms;
    match (fault.fault, fault.member) {
        (Fault::KillNats { .. } | Fault::Store { .. }, _) => overlaps(fault.began_ms, fault.ended_ms),
        (Fault::Network { .. }, Some(Member::Scheduler(_))) => overlaps(fault.began_ms, fault.ended_ms + HANDOVER_MS),
        (_, Some(Member::Scheduler(_))) => overlaps(fault.began_ms, fault.began_ms + HANDOVER_MS),
        (_, Some(Member::Worker(_))) => overlaps(fault.began_ms, fault.ended_ms) && fault.began_ms > one.killed_ms,
        (_, Some(Member::Packager(_)) | None) => false,
    }
}

impl Report {
    /// Whether the farm kept every promise.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.values().map(|count| count.struck).sum();
        writeln!(
            f,
            "seed {}, {} min: {faults} faults, {} of them kills; at rest {:.1} s after the last",
            self.seed, self.minutes, self.kills, self.settled_s
        )?;
        for (kind, Count { struck, missed }) in &self.faults {
            let missed = if *missed > 0 { format!(" ({missed} found nobody)") } else { String::new() };
            writeln!(f, "  {kind}: {struck}{missed}")?;
        }
        let tricks: Vec<_> = self.tricks.iter().map(|(trick, count)| format!("{trick} {count}")).collect();
        writeln!(
            f,
            "tricks that encoders played: {}",
            if tricks.is_empty() { "none".into() } else { tricks.join(", ") }
        )?;
        for (name, spread) in [("with a free slot, undisturbed", self.recovery.undisturbed), ("all", self.recovery.all)]
        {
            let Spread { count, p50_ms, p99_ms, max_ms } = spread;
            writeln!(
                f,
                "killed to claimed elsewhere, {name}: {count} jobs, p50 {p50_ms} ms, p99 {p99_ms} ms, max {max_ms} ms"
            )?;
        }
        let Work { segments, repeated, in_vain_picture, in_vain_sound, share } = self.work;
        writeln!(
            f,
            "repeated work: {repeated} puts again of {segments} segments, {:.1} %; of what was stored already {in_vain_picture} of picture and {in_vain_sound} of sound",
            share * 100.0
        )?;
        let Fates { accepted, submitted_twice, published, failed, lost } = &self.assets;
        let failures: u64 = failed.values().sum();
        let codes = failed.iter().fold(String::new(), |mut text, (code, count)| {
            // Writing to a string cannot fail.
            let _ = write!(text, ", {code} {count}");
            text
        });
        writeln!(
            f,
            "titles: {accepted} accepted ({submitted_twice} submitted twice), {published} published, {failures} failed{codes}, {lost} lost"
        )?;
        writeln!(
            f,
            "starts refused by a role: {}; duplicate commits: {}, invalid outputs: {}, leftover processes: {}",
            self.failed_starts, self.duplicate_commits, self.invalid_outputs, self.leftover_processes
        )?;
        self.show_findings(f)
    }
}

impl Report {
    fn show_findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for Finding { code, at, measured, expected, .. } in &self.findings {
            let count = shown.entry(code).or_default();
            *count += 1;
            if *count <= SHOWN_MAX {
                writeln!(f, "{code} in {at}: {measured}; expected {expected}")?;
            }
        }
        for (code, count) in shown.iter().filter(|(_, count)| **count > SHOWN_MAX) {
            writeln!(f, "{code}: {} more", count - SHOWN_MAX)?;
        }
        write!(f, "{}", if self.is_clean() { "the audit is clean" } else { "the audit found breaches" })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fault::Whom, *};

    #[test]
    fn ranks_are_of_what_was_measured() {
        assert_eq!(Spread::of(vec![]), Spread::default());
        assert_eq!(Spread::of(vec![7]), Spread { count: 1, p50_ms: 7, p99_ms: 7, max_ms: 7 });
        assert_eq!(Spread::of((1..=200).collect()), Spread { count: 200, p50_ms: 100, p99_ms: 198, max_ms: 200 });
    }

    #[test]
    fn a_segment_put_by_two_starts_is_repeated_once() {
        let puts = ["a", "a", "b", "c"].map(str::to_owned);
        let vain = ["/b/v/stereo/1.m4s", "/b/v/96p/1.m4s", "/b/v/96p/2.m4s"].map(str::to_owned);
        let want = Work { segments: 3, repeated: 1, in_vain_picture: 2, in_vain_sound: 1, share: 0.25 };
        assert_eq!(work(&puts, &vain), want);
    }

    #[test]
    fn a_recovery_is_disturbed_by_what_takes_its_means_away() {
        let recovery = |had_room| Recovery { killed_ms: 1000, claimed_ms: 5000, had_room };
        let struck = |fault, member, began_ms, ended_ms| Struck { fault, member, began_ms, ended_ms, hit: true };
        let kill = |member| Fault::Kill { whom: Whom::Member(member), pause_ms: 1 };
        let worker = struck(kill(Member::Worker(1)), Some(Member::Worker(1)), 999, 1500);
        let other = struck(kill(Member::Worker(2)), Some(Member::Worker(2)), 3000, 3500);
        let scheduler = struck(kill(Member::Scheduler(1)), Some(Member::Scheduler(1)), 2000, 2500);
        let nats_before = struck(Fault::KillNats { for_ms: 5 }, None, 1, 900);
        let counted = |had_room, struck: &[Struck]| recoveries(&[recovery(had_room)], struck).undisturbed.count;
        assert_eq!(counted(true, &[worker, nats_before]), 1);
        assert_eq!(counted(true, &[worker, scheduler]), 0);
        assert_eq!(counted(true, &[worker, other]), 0);
        assert_eq!(counted(true, &[Struck { hit: false, ..scheduler }]), 1);
        assert_eq!(counted(false, &[worker]), 0);
    }
}
