//! Channels under fire, run as a user would: short forms of the trials. A program of its own, one trial at a
//! time: promises about seconds are not judged on a machine that does something else beside.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use support::{Place, Ran};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a trial says of itself; it must have kept every bar.
fn outcome(ran: &Ran) -> Value {
    // The report is worth reading either way.
    eprintln!("{}\n{}", ran.stderr, ran.stdout);
    let outcome: Value = serde_json::from_str(ran.stdout.trim()).unwrap_or_else(|_| panic!("{}", ran.stderr));
    assert_eq!(outcome["findings"], serde_json::json!([]), "{}", ran.stderr);
    for bar in outcome["bars"].as_array().unwrap() {
        assert_eq!(bar["kept"], true, "{bar}");
    }
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    outcome
}

/// A player before a trial; it is let go when its stdin ends.
struct Player(Child);

impl Player {
    /// One that plays `url`; nothing where the judges are not installed.
    fn start(url: &str) -> Option<Self> {
        let judges: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/judges");
        if !judges.join("node_modules").exists() {
            eprintln!("not run: live-play.mjs: the judges are not installed; run infra/setup --tests");
            return None;
        }
        let mut node = Command::new("node");
        node.args(["live-play.mjs", url]).current_dir(judges).stdin(Stdio::piped()).stdout(Stdio::piped());
        Some(Self(node.spawn().unwrap()))
    }

    /// Lets it go, and asks how it was.
    fn end(mut self) {
        const NOT_RUN: i32 = 77;
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.code() == Some(NOT_RUN) {
            return eprintln!("not run: live-play.mjs: {}", said.trim());
        }
        eprintln!("{said}");
        assert!(output.status.success(), "the player: {said}");
    }
}

/// Whether a player can be put before a trial on this machine.
fn has_player() -> bool {
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/judges");
    let browser = "import { findBrowser } from './lib/browser.mjs'; process.exit(findBrowser() ? 0 : 1)";
    let asked = Command::new("node").args(["--input-type=module", "-e", browser]).current_dir(&judges).status();
    judges.join("node_modules").exists() && asked.is_ok_and(|status| status.success())
}

#[test]
fn one_replica_after_the_other_is_struck_and_no_viewer_notices() {
    let _alone = alone();
    let place = Place::new();
    let mut args = vec!["loadtest", "live", "kills", "--kills", "5", "--seed", "11", "--json"];
    if has_player() {
        args.push("--serve");
    } else {
        eprintln!("not run: a player on a channel: there is no browser, or the judges are not installed");
    }
    let mut trial = place.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut player = None;
    let mut stderr = String::new();
    for line in BufReader::new(trial.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(url) = line.strip_prefix("viewers are served at ") {
            player = Player::start(url);
        }
        if line == "the strikes are over" {
            player.take().into_iter().for_each(Player::end);
        }
        stderr += &format!("{line}\n");
    }
    let mut stdout = String::new();
    trial.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let code = trial.wait().unwrap().code().unwrap_or(-1);
    let outcome = outcome(&Ran { code, stdout, stderr });
    // It did strike, and there was something to see.
    assert_eq!(outcome["detail"]["strikes"].as_array().unwrap().len(), 5);
    assert!(outcome["detail"]["verdict"]["pictures"].as_u64().unwrap() > 1000, "{outcome}");
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
