//! Every border of a job and of a title: a process dies there, another one goes on, and nobody
//! can tell afterwards. Also what a process does that was not dead, only away.

use std::time::{Duration, Instant};

use crate::support::{
    Running,
    apart::{Apart, aborts, ffmpegs_of},
    wait, wait_or,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Seconds and pictures of the clip that dies at borders.
const CLIP_S: u32 = 6;
const FRAMES: u64 = CLIP_S as u64 * 25;

/// Kills `role` at each of `points` in turn, restarts it, and looks at what became of the title.
fn dies_at(role: &str, points: &[&str]) {
    let farm = Apart::new(CLIP_S, "ultrafast");
    let others: Vec<Running> = ["scheduler", "worker", "packager"]
        .iter()
        .filter(|other| **other != role)
        .map(|other| farm.role(other, "kept", None))
        .collect();
    for point in points {
        let log = || farm.log(role, "killed");
        let mut armed = farm.role(role, "killed", Some(point));
        let owner = armed.0.id();
        // A scheduler may die before it has answered; the same key then gives the same title.
        let submitted = farm.submit(point);
        aborts(&mut armed, &format!("{role} {point}"), log);
        wait("no child left", 20, || ffmpegs_of(owner).is_empty().then_some(()));
        let mut restarted = farm.role(role, "killed", None);
        let asset = farm.submit(point).expect("the title is accepted");
        assert!(submitted.is_none_or(|first| first == asset), "{point}: two titles");
        farm.is_whole(&asset, FRAMES);
        restarted.kill();
        wait("no child left", 20, || ffmpegs_of(restarted.0.id()).is_empty().then_some(()));
    }
    drop(others);
}

#[test]
fn a_worker_dies_at_every_border() {
    dies_at(
        "worker",
        &[
            "claim/before=1*return",
            "claim/stored=1*off->1*return",
            "put/before=1*return",
            // In the middle of a chunk: what is stored is adopted.
            "put/stored=3*off->1*return",
            "commit/before=1*off->1*return",
            "commit/stored=1*off->1*return",
            "ack/before=1*return",
            "ack/sent=1*return",
        ],
    );
}

#[test]
fn a_packager_dies_at_every_border() {
    dies_at(
        "packager",
        &[
            "claim/stored=1*return",
            "put/before=1*return",
            "put/stored=2*off->1*return",
            "commit/before=1*return",
            "commit/stored=1*off->1*return",
            "ack/before=1*off->1*return",
        ],
    );
}

#[test]
fn a_scheduler_dies_at_every_border() {
    dies_at(
        "scheduler",
        &[
            "dispatch/before=1*return",
            "dispatch/before=3*off->1*return",
            "event/before=1*return",
            "event/sent=1*return",
            "event/sent=4*off->1*return",
            "publish/before=1*return",
            "publish/stored=1*return",
        ],
    );
}

#[test]
fn a_worker_that_slept_longer_than_its_lease_changes_nothing() {
    for with_ffmpeg in [true, false] {
        let farm = Apart::new(20, "veryslow");
        let _scheduler = farm.role("scheduler", "kept", None);
        let _packager = farm.role("packager", "kept", None);
        let sleeper = farm.role("worker", "sleeper", None);
        let asset = farm.submit("first").unwrap();
        let encoder = wait("an encoder", 60, || {
            ffmpegs_of(sleeper.0.id()).into_iter().find(|(_, line)| line.contains("libx264")).map(|(pid, _)| pid)
        });
        sleeper.signal(Signal::SIGSTOP);
        if with_ffmpeg {
            kill(Pid::from_raw(encoder), Signal::SIGSTOP).unwrap();
        }
        let mut awake = farm.role("worker", "awake", None);
        farm.is_whole(&asset, 20 * 25);
        let held = farm
            .jobs(&asset)
            .into_iter()
            .find(|job| job["failures"].as_array().unwrap().iter().any(|failure| failure["code"] == "holder-lost"));
        assert!(held.is_some(), "the sleeper's job was taken back");
        let seen = || (farm.ask(&format!("/v1/assets/{asset}")).unwrap(), farm.jobs(&asset), farm.store.list("vod/"));
        // The farm's own last word on a title comes a moment after it is published.
        wait("the index", 60, || farm.store.list("vod/").iter().any(|o| o.key.ends_with("/index.json")).then_some(()));
        let before = seen();

        if with_ffmpeg {
            kill(Pid::from_raw(encoder), Signal::SIGCONT).unwrap();
        }
        sleeper.signal(Signal::SIGCONT);
        wait_or(
            "the sleeper gives up",
            60,
            || farm.log("worker", "sleeper"),
            || {
                let lost = farm.log("worker", "sleeper").contains("the claim was lost");
                (lost && ffmpegs_of(sleeper.0.id()).is_empty()).then_some(())
            },
        );
        // It has settled when it works again, alone.
        awake.kill();
        let next = farm.submit("second").unwrap();
        farm.is_whole(&next, 20 * 25);
        assert!(farm.jobs(&next).iter().any(|job| job["node"] == "sleeper"), "the sleeper works again");
        let (now, jobs, objects) = seen();
        let generation = |found: &framemill_storage::Listed| !found.key.contains(&next);
        let objects: Vec<_> = objects.into_iter().filter(generation).collect();
        assert_eq!((now, jobs, objects), before, "with its ffmpeg: {with_ffmpeg}");
        assert!(farm.completions(&asset).values().all(|ids| ids.len() == 1));
    }
}

#[test]
fn a_store_that_is_away_stops_no_encoder() {
    let farm = Apart::new(30, "medium");
    let _scheduler = farm.role("scheduler", "kept", None);
    let _packager = farm.role("packager", "kept", None);
    let worker = farm.role("worker", "kept", None);
    let asset = farm.submit("first").unwrap();
    let stored = wait("a segment", 60, || {
        let count = farm.store.list("vod/").iter().filter(|object| object.key.ends_with(".m4s")).count();
        (count > 0).then_some(count)
    });
    farm.store.set_away(true);
    let refused = farm.store.refused();
    // How long it is at least: FRAMEMILL_TEST_OUTAGE_S=60 shows what is promised.
    let seconds = std::env::var("FRAMEMILL_TEST_OUTAGE_S").map_or(0, |seconds| seconds.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds);
    // The client's own attempts are long over, and the pauses of whoever waits are at their
    // longest.
    wait_or(
        "a long outage",
        120,
        || farm.log("worker", "kept"),
        || {
            (Instant::now() >= until
                && farm.store.refused() >= refused + 16
                && farm.log("worker", "kept").contains("the store is away"))
            .then_some(())
        },
    );
    let running = |jobs: &[serde_json::Value]| jobs.iter().filter(|job| job["state"] == "running").count();
    let waiting = farm.jobs(&asset);
    assert!(running(&waiting) >= 1, "{waiting:?}");
    farm.store.set_away(false);

    farm.is_whole(&asset, 30 * 25);
    for job in farm.jobs(&asset) {
        assert_eq!(job["failures"].as_array().map(Vec::len), Some(0), "{job}");
        assert_eq!(job["attempt"], 1, "an encoder was stopped: {job}");
    }
    assert!(stored < farm.store.list("vod/").len());
    let log = farm.log("worker", "kept");
    assert!(log.contains("an outage of the store is over"), "{log}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.0.id())).unwrap();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    eprintln!("outage: {} connections refused, peak {peak:?} kB", farm.store.refused() - refused);
    assert!(peak.unwrap() < 256 * 1024, "{peak:?} kB");
}
