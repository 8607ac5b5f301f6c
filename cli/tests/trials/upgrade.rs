//! A rolling upgrade under load: while titles come in, every process of a farm is ended and started
//! anew, one after the other. No title fails, and none is lost.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::support::{
    Place, clip, get,
    separate::{Role, Separate, jobs, post_asset, tiny_ladder},
    wait, wait_or,
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Titles that are in the making at any time.
const OPEN: usize = 3;
/// A title that is not at its end after this long is lost.
const PATIENCE: Duration = Duration::from_secs(240);

/// A title as whichever scheduler is there shows it.
fn title(apis: &[String; 2], id: &str) -> Option<Value> {
    apis.iter().find_map(|api| match get(api, &format!("/v1/assets/{id}"))? {
        (200, body) => serde_json::from_str(&body).ok(),
        _ => None,
    })
}

/// Submits under a key of its own until somebody takes it, as a client should.
fn submit(apis: &[String; 2], file: &str, n: usize) -> String {
    let body = serde_json::json!({ "source": file, "ladder": tiny_ladder() });
    wait("a submission to be taken", 120, || {
        let (status, _, answer) =
            (0..2).find_map(|turn| post_asset(&apis[(n + turn) % 2], &body, &format!("upgrade-{n}")))?;
        match status {
            202 => Some(answer["id"].as_str().unwrap().to_owned()),
            // A scheduler that ends, or has just begun.
            503 => None,
            _ => panic!("{status}: {answer}"),
        }
    })
}

/// Keeps some titles in the making until told to stop; gives the state each one came to.
fn stream(apis: &[String; 2], file: &str, over: &AtomicBool) -> BTreeMap<String, String> {
    let mut ended = BTreeMap::new();
    let mut open: Vec<(String, Instant)> = Vec::new();
    let mut submitted = 0;
    loop {
        while open.len() < OPEN && !over.load(Ordering::Relaxed) {
            open.push((submit(apis, file, submitted), Instant::now()));
            submitted += 1;
        }
        if open.is_empty() {
            return ended;
        }
        let index = wait("a title to end", PATIENCE.as_secs(), || {
            open.iter().position(|(id, since)| {
                assert!(since.elapsed() < PATIENCE, "{id} is lost: {:?}", title(apis, id));
                title(apis, id).is_some_and(|title| title["state"] != "accepted")
            })
        });
        let (id, _) = open.remove(index);
        let state = wait("its state", 60, || title(apis, &id));
        ended.insert(id, state["state"].as_str().unwrap().to_owned());
    }
}

fn replace(farm: &Separate, place: &Place, name: &str, node: &str, mut old: Role) -> Role {
    let begun = Instant::now();
    old.process.signal(Signal::SIGTERM);
    let (process, log) = (&mut old.process.0, &old.log);
    let said = || std::fs::read_to_string(log).unwrap_or_default();
    let status = wait_or(&format!("{name} {node} to end"), 60, said, || process.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{name} {node}: {}", old.said());
    eprintln!("upgrade: {name} {node} ended after {:?}", begun.elapsed());
    let api = (name == "scheduler").then(|| old.api.clone());
    farm.role(place, name, node, api.as_deref())
}

#[test]
fn every_process_is_replaced_under_load() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 4, "128x72");
    let file = place.path().canonicalize().unwrap().join("clip.mp4").display().to_string();
    let mut farm = Separate::start(&place);
    farm.set("WORKER__SLOTS", "1");
    farm.set("PACKAGER__SLOTS", "1");
    let mut roles: Vec<(&str, &str, Role)> = Vec::new();
    for (name, node) in [
        ("scheduler", "a"),
        ("scheduler", "b"),
        ("worker", "one"),
        ("worker", "two"),
        ("packager", "three"),
        ("packager", "four"),
    ] {
        roles.push((name, node, farm.role(&place, name, node, None)));
    }
    let apis = [roles[0].2.api.clone(), roles[1].2.api.clone()];
    let over = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        let titles = scope.spawn(|| stream(&apis, &file, &over));
        // Told to stop however this ends, so that a failed step shows its own reason.
        let _told = Tell(&over);
        for (name, node, role) in std::mem::take(&mut roles) {
            let new = replace(&farm, &place, name, node, role);
            roles.push((name, node, new));
        }
        over.store(true, Ordering::Relaxed);
        titles.join().unwrap()
    });

    eprintln!("upgrade: {} titles while 6 processes were replaced", ended.len());
    assert!(ended.len() >= OPEN, "{ended:?}");
    let (mut all, mut again) = (0, 0);
    for (id, state) in &ended {
        assert_eq!(state, "published", "{:?}", title(&apis, id));
        for job in jobs(&apis[0], id) {
            all += 1;
            again += u64::from(job["attempt"].as_u64().unwrap() > 1);
            assert_eq!(job["failures"], serde_json::json!([]), "{job}");
        }
    }
    eprintln!("upgrade: {again} of {all} jobs were begun more than once");
    // What the farm knows of is what was accepted: nothing was made twice.
    let (_, body) = get(&apis[0], "/v1/assets?limit=200").unwrap();
    let listed: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), ended.len());
}

/// Sets a flag when it is dropped.
struct Tell<'a>(&'a AtomicBool);

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
