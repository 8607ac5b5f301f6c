//! `framemill purge` and `framemill edge`, against a farm in one process tree.

use serde_json::Value;

use crate::support::{
    Place,
    up::{is_ready, up},
    wait,
};

#[test]
fn a_purge_is_asked_for_and_looked_at() {
    let place = Place::new();
    place.run(&["purge"]).ends(2).says("--tag");
    place.run(&["purge", "--tag", "tenant:acme", "--timeout", "3"]).ends(2).says("--watch");
    place.write("half.toml", "[scheduler.purge.fastly]\nservice = \"SU1Z0\"\n");
    place.run(&["config", "check", "half.toml"]).ends(2).says("scheduler.purge.fastly").says("api_key");
    let secret = [("FRAMEMILL_SCHEDULER__PURGE__WEBHOOK__SECRET", "hunter2")];
    let shown = place.run_with(&["config", "show"], &secret).ends(0).stdout;
    assert!(shown.contains("[scheduler.purge.webhook]") && !shown.contains("hunter2"), "{shown}");

    let (_farm, api, health) = up(&place, "data");
    wait("ready", 10, || is_ready(&health));
    let api = format!("http://{api}");
    let run = |args: &[&str]| {
        let all: Vec<&str> = args.iter().copied().chain(["--api", &api]).collect();
        place.run(&all)
    };
    let json = |args: &[&str]| -> Value {
        let all: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&run(&all).ends(0).stdout).unwrap()
    };
    run(&["purge", "--tag", "news"]).ends(2).says("/tags/0").says("channel:T/C");
    let done = json(&["purge", "--tag", "channel:acme/news", "--tag", "tenant:acme", "--watch", "--timeout", "20"]);
    assert_eq!((&done["state"], &done["tenant"]), (&"completed".into(), &"acme".into()));
    let first = done["id"].as_str().unwrap();
    let ask = ["purge", "--tag", "tenant:acme", "--refuse", "--idempotency-key", "k"];
    let (second, again) = (json(&ask), json(&ask));
    assert_eq!(second["id"], again["id"]);
    run(&["purge", "--tag", "tenant:acme", "--idempotency-key", "k"]).ends(5).says("Idempotency-Key");
    let second = second["id"].as_str().unwrap();
    wait("it is completed", 20, || (json(&["purge", "show", second])["state"] == "completed").then_some(()));
    let shown = run(&["purge", "show", second, "--report"]).ends(0).stdout;
    assert!(shown.contains("tag tenant:acme, refused to viewers"), "{shown}");
    assert!(shown.contains("gone: 0 objects are left in the store"), "{shown}");
    assert_eq!(json(&["purge", "show", second, "--report"])["gone"], true);
    let listed = run(&["purge", "ls", "--state", "completed"]).ends(0).stdout;
    assert!(listed.contains(first) && listed.contains("channel:acme/news and 1 more"), "{listed}");
    run(&["purge", "show", "none"]).ends(4).says("none");
    assert!(json(&["edge", "ls"]).is_array());
    run(&["edge", "rm", "edge-gone"]).ends(4).says("edge-gone");
}
