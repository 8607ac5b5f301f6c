//! The protocol under a virtual clock: thousands of random schedules of claims, stalls, crashes,
//! lost answers, cuts, cancels and reaping, stepped through the functions that decide in earnest
//! (`judge`, `standing`, `ending`, `transition`, `Hearing`), against a model of the server.
//!
//! `server` is the model, and knows what must never happen; `net` is time and the network, `faults`
//! what goes wrong, `world` all of it together; `attempt` and `node` are a worker, `keeper` and
//! `errand` a scheduler. Nothing here may
//! be random but through the seed.
#![allow(clippy::print_stderr)]

mod attempt;
mod errand;
mod faults;
mod keeper;
mod net;
mod node;
mod server;
mod world;

use faults::{Faults, Slip};
use server::Tally;
use world::World;

/// How many schedules one test run tries; `FRAMEMILL_TEST_SCHEDULES` sets another number.
const SCHEDULES: u64 = 3_000;
/// Tries one seed alone, and says what happens: `FRAMEMILL_TEST_SEED`.
const SEED: &str = "FRAMEMILL_TEST_SEED";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Runs schedules until one breaks a rule; a failure names its seed, which repeats it.
fn try_all(faults: fn(u64) -> Faults, also: fn(&World) -> Result<(), String>) -> Tally {
    let told = |seed| {
        let mut world = World::new(seed, faults(seed));
        world.loud = number(SEED).is_some();
        world.run().and_then(|()| also(&world)).map(|()| world.server.tally.clone())
    };
    if let Some(seed) = number(SEED) {
        if let Err(broken) = told(seed) {
            panic!("seed {seed}: {broken}");
        }
        return Tally::default();
    }
    let mut all = Tally::default();
    for seed in 0..number("FRAMEMILL_TEST_SCHEDULES").unwrap_or(SCHEDULES) {
        match told(seed) {
            Ok(tally) => all.add(&tally),
            Err(broken) => panic!("seed {seed}: {broken}; {SEED}={seed} repeats it"),
        }
    }
    all
}

#[test]
fn no_schedule_loses_or_repeats_a_job() {
    let mut tally = try_all(Faults::wild, |_| Ok(()));
    // A simulation in which nothing happens shows nothing.
    if number(SEED).is_none() {
        let missing: Vec<_> = tally.fields().into_iter().filter(|(_, count)| **count == 0).collect();
        assert!(missing.is_empty(), "these never happened: {missing:?}");
    }
}

/// A server or a scheduler that stands still is no reason to take a job from a worker that lives.
#[test]
fn a_stall_of_those_who_listen_costs_no_holder_its_job() {
    try_all(Faults::deaf, |world| match world.server.tally.lost {
        0 => Ok(()),
        lost => Err(format!("{lost} jobs were taken from workers that never fell silent")),
    });
}

/// The simulation is only worth something if it finds what is wrong.
#[test]
fn a_broken_rule_is_found() {
    for (slip, found) in [
        (Slip::AcksInDoubt, "acknowledged without a commit"),
        (Slip::CommitsOver, "a fenced holder changed the record"),
        (Slip::ClaimsHeld, "a held job was claimed"),
        (Slip::NoSweep, "had not ended"),
        (Slip::NoReaper, "had not ended"),
    ] {
        let mut seeds = 0..SCHEDULES;
        let broken = seeds.find_map(|seed| {
            let mut faults = Faults::wild(seed);
            faults.slip = Some(slip);
            World::new(seed, faults).run().err().filter(|broken| broken.contains(found))
        });
        assert!(broken.is_some(), "{slip:?} was not found out in {SCHEDULES} schedules");
    }
}
