//! SIGTERM under load: every role ends within 15 s, hands back what it holds without spending an
//! attempt, and the title is published by whoever comes after.

use std::time::{Duration, Instant};

use crate::support::{
    Place, Running, SMALL_LADDER, clip, processes_with,
    separate::{Role, Separate, jobs, post_asset, tiny_ladder},
    up::{asset, is_ready, submit, up_with},
    wait, wait_or,
    wrapper::Wrapper,
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Within which every role promises to end. It drains for half of it, so a slow machine has room.
const PROMISE: Duration = Duration::from_secs(15);

/// Tells a process to end and says how long it took.
fn end(what: &str, process: &mut Running, said: impl Fn() -> String) {
    let begun = Instant::now();
    process.signal(Signal::SIGTERM);
    let status = wait_or(&format!("{what} to end"), 60, &said, || process.0.try_wait().unwrap());
    let took = begun.elapsed();
    eprintln!("shutdown: {what} ended after {took:?}");
    assert_eq!(status.code(), Some(0), "{what}: {}", said());
    assert!(took <= PROMISE, "{what} took {took:?}: {}", said());
}

fn end_role(what: &str, mut role: Role) {
    let log = role.log.clone();
    end(what, &mut role.process, move || std::fs::read_to_string(&log).unwrap_or_default());
}

fn running_on(api: &str, id: &str, kind: &str, node: &str) -> Option<()> {
    let held = |job: &Value| job["kind"] == kind && job["state"] == "running" && job["node"] == node;
    jobs(api, id).iter().any(held).then_some(())
}

/// Published, and nothing was held against any job.
fn published_without_a_failure(api: &str, id: &str) {
    let title = wait("published", 180, || {
        let title = asset(api, id);
        assert!(["accepted", "published"].contains(&title["state"].as_str().unwrap()), "{title}");
        (title["state"] == "published").then_some(title)
    });
    assert_eq!(title["validation"]["state"], "passed", "{title}");
    for job in jobs(api, id) {
        assert_eq!((&job["state"], &job["failures"]), (&Value::from("done"), &serde_json::json!([])), "{job}");
    }
}

#[test]
fn each_role_hands_back_what_it_holds() {
    let place = Place::new();
    let wrapper = Wrapper::new(&place);
    clip(&place.path().join("clip.mp4"), 4, "128x72");
    let mut farm = Separate::start(&place);
    farm.set("FFMPEG__FFMPEG", wrapper.script.display().to_string());
    farm.set("WORKER__SLOTS", "1");
    let scheduler = farm.role(&place, "scheduler", "s", None);
    let api = scheduler.api.clone();
    let worker = farm.role(&place, "worker", "w1", None);
    let packager = farm.role(&place, "packager", "p1", None);

    wrapper.tell("hold-encode", "");
    let file = place.path().canonicalize().unwrap().join("clip.mp4").display().to_string();
    let body = serde_json::json!({ "source": file, "ladder": tiny_ladder() });
    let (status, _, title) = post_asset(&api, &body, "k").unwrap();
    assert_eq!(status, 202, "{title}");
    let id = title["id"].as_str().unwrap().to_owned();

    wait("an encode on the first worker", 60, || running_on(&api, &id, "transcode", "w1"));
    end_role("a worker in the middle of an encode", worker);
    let _worker = farm.role(&place, "worker", "w2", None);
    // Not before: a worker that starts decodes what it tries.
    wrapper.tell("hold-decode", "");
    wait("the encode on the second worker", 60, || running_on(&api, &id, "transcode", "w2"));
    // An encode goes on while there is no scheduler at all.
    end_role("a scheduler with work under way", scheduler);
    wrapper.forget("hold-encode");
    let scheduler = farm.role(&place, "scheduler", "t", Some(&api));
    wait("a check on the first packager", 60, || running_on(&api, &id, "validate", "p1"));
    end_role("a packager in the middle of a check", packager);
    let _packager = farm.role(&place, "packager", "p2", None);
    wait("the check on the second packager", 60, || running_on(&api, &id, "validate", "p2"));
    wrapper.forget("hold-decode");
    published_without_a_failure(&api, &id);
    let attempts: u64 = jobs(&api, &id).iter().map(|job| job["attempt"].as_u64().unwrap()).sum();
    assert!(attempts >= jobs(&api, &id).len() as u64 + 2, "two jobs were handed back, {attempts} attempts in all");
    end_role("a scheduler with nothing to do", scheduler);
}

#[test]
fn a_whole_farm_ends_and_goes_on_where_it_was() {
    let place = Place::new();
    let wrapper = Wrapper::new(&place);
    clip(&place.path().join("clip.mp4"), 4, "128x72");
    place.write("ladder.yaml", SMALL_LADDER);
    let environment = [("FRAMEMILL_FFMPEG__FFMPEG", wrapper.script.to_str().unwrap())];
    let (mut farm, api, health) = up_with(&place, "data", &environment);
    wait("ready", 20, || is_ready(&health));
    wrapper.tell("hold-encode", "");
    let id = submit(&place, &api, "clip.mp4", "./ladder.yaml");
    let encoding = |api: &str| jobs(api, &id).iter().any(|job| job["kind"] == "transcode" && job["state"] == "running");
    wait("an encode", 60, || encoding(&api).then_some(()));
    end("a whole farm", &mut farm, || std::fs::read_to_string(place.path().join("up.log")).unwrap_or_default());
    // The script that waits would be among them.
    let left = processes_with(&place.path().canonicalize().unwrap().display().to_string());
    assert_eq!(left, Vec::<String>::new());

    let (_farm, api, health) = up_with(&place, "data", &environment);
    wait("ready again", 20, || is_ready(&health));
    wrapper.forget("hold-encode");
    published_without_a_failure(&api, &id);
}

/// With NATS away nothing can be handed back: the reaper finds it later. No role waits for that.
#[test]
fn roles_end_in_time_without_nats() {
    let place = Place::new();
    let wrapper = Wrapper::new(&place);
    clip(&place.path().join("clip.mp4"), 4, "128x72");
    let mut farm = Separate::start(&place);
    farm.set("FFMPEG__FFMPEG", wrapper.script.display().to_string());
    let scheduler = farm.role(&place, "scheduler", "s", None);
    let worker = farm.role(&place, "worker", "w", None);
    let packager = farm.role(&place, "packager", "p", None);
    wrapper.tell("hold-encode", "");
    let file = place.path().canonicalize().unwrap().join("clip.mp4").display().to_string();
    let body = serde_json::json!({ "source": file, "ladder": tiny_ladder() });
    let (_, _, title) = post_asset(&scheduler.api, &body, "k").unwrap();
    let id = title["id"].as_str().unwrap().to_owned();
    wait("an encode", 60, || running_on(&scheduler.api, &id, "transcode", "w"));
    farm.kill_nats();
    let begun = Instant::now();
    let mut roles = [("scheduler", scheduler), ("worker", worker), ("packager", packager)];
    for (_, role) in &roles {
        role.process.signal(Signal::SIGTERM);
    }
    for (name, role) in &mut roles {
        let process = &mut role.process.0;
        let status = wait(&format!("{name} to end"), 60, || process.try_wait().unwrap());
        let took = begun.elapsed();
        eprintln!("shutdown: {name} without NATS ended after {took:?}, {status}");
        assert!(took <= PROMISE, "{name} took {took:?}");
    }
    let left = processes_with(wrapper.script.to_str().unwrap());
    assert_eq!(left, Vec::<String>::new());
}
