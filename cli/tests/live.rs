//! Channels under fire, run as a user would: short forms of the trials. A program of its own, one trial at a
//! time. Promises of speed are told and not judged here: they are for a machine that is known and idle.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use support::{Place, Ran};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a trial says of itself; it must have kept every bar but those of speed.
fn outcome(ran: &Ran) -> Value {
    // The report is worth reading either way.
    eprintln!("{}\n{}", ran.stderr, ran.stdout);
    let outcome: Value = serde_json::from_str(ran.stdout.trim()).unwrap_or_else(|_| panic!("{}", ran.stderr));
    assert_eq!(outcome["findings"], serde_json::json!([]), "{}", ran.stderr);
    let missed: Vec<&Value> = outcome["bars"].as_array().unwrap().iter().filter(|bar| bar["kept"] == false).collect();
    for bar in &missed {
        assert_eq!(bar["of_speed"], true, "{bar}");
    }
    assert_eq!(ran.code == 0, missed.is_empty(), "{}", ran.stderr);
    outcome
}

/// The folder of the outside judges, where they are installed.
fn judges() -> Option<String> {
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/judges");
    if judges.join("node_modules").exists() {
        return Some(judges.display().to_string());
    }
    eprintln!("not run: a player on a channel: the judges are not installed; run infra/setup --tests");
    None
}

#[test]
fn one_replica_after_the_other_is_struck_and_no_viewer_notices() {
    let _alone = alone();
    let mut args = vec!["loadtest", "live", "kills", "--kills", "5", "--seed", "11", "--json"];
    let judges = judges();
    if let Some(judges) = &judges {
        args.extend(["--judges", judges]);
    }
    let outcome = outcome(&Place::new().run(&args));
    // It did strike, and there was something to see.
    assert_eq!(outcome["detail"]["strikes"].as_array().unwrap().len(), 5);
    assert!(outcome["detail"]["verdict"]["pictures"].as_u64().unwrap() > 1000, "{outcome}");
    let player = &outcome["detail"]["others"]["player"];
    if player["state"] == "not-run" {
        eprintln!("not run: a player on a channel: {}", player["reason"]);
    } else if judges.is_some() {
        assert!(player["played_s"].as_f64().unwrap() > 30.0, "{player}");
    }
}

#[test]
fn both_replicas_are_lost_and_the_first_node_that_comes_back_is_enough() {
    let _alone = alone();
    let ran = Place::new().run(&["loadtest", "live", "both-lost", "--times", "1", "--seed", "3", "--json"]);
    let outcome = outcome(&ran);
    assert!(outcome["detail"]["verdict"]["gaps"].as_u64().unwrap() > 0, "{outcome}");
}

#[test]
fn the_judge_condemns_what_two_naive_encoders_make() {
    let _alone = alone();
    outcome(&Place::new().run(&["loadtest", "live", "control", "--seed", "5", "--json"]));
}
