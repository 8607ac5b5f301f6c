//! Dead letters: what is kept of them, how they are chosen, and that a redrive goes on where the
//! attempts before it ended.

use crate::support::{
    Place, Ran, SMALL_LADDER, clip,
    up::{asset, is_ready, submit, up_with},
    wait,
    wrapper::Wrapper,
};
use serde_json::Value;

/// Frames of a segment: 2 s at 25 a second.
const SEGMENT: u64 = 50;

#[test]
fn a_redrive_encodes_only_what_is_missing() {
    let place = Place::new();
    let wrapper = Wrapper::new(&place);
    clip(&place.path().join("clip.mp4"), 48, "160x90");
    place.write("ladder.yaml", SMALL_LADDER);
    let environment = [
        ("FRAMEMILL_FFMPEG__FFMPEG", wrapper.script.to_str().unwrap()),
        ("FRAMEMILL_WORKER__SLOTS", "1"),
        ("FRAMEMILL_WORKER__NODE", "mill"),
    ];
    let (_farm, api, health) = up_with(&place, "data", &environment);
    wait("ready", 20, || is_ready(&health));
    // Every encode ends after one segment, by a fault that says nothing about the source.
    wrapper.tell("break-words", "tcp://127.0.0.1: Connection refused\n");
    wrapper.tell("break-after", &SEGMENT.to_string());
    let id = submit(&place, &api, "clip.mp4", "./ladder.yaml");
    wait("dead, and its title failed", 120, || (asset(&api, &id)["state"] == "failed").then_some(()));
    assert_eq!(asset(&api, &id)["failure"]["class"], "transient");

    // What is kept, for people and for scripts.
    let url = format!("http://{api}");
    let run = |args: &[&str]| place.run(&[args, &["--json", "--api", &url]].concat());
    let json = |ran: Ran| serde_json::from_str::<Value>(&ran.ends(0).stdout).unwrap();
    let ids = |args: &[&str]| -> Vec<String> {
        let list = json(run(args));
        list.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    let dead = ids(&["dead", "ls"]);
    assert!(!dead.is_empty());
    let shown = json(run(&["dead", "show", &dead[0]]));
    let failures = shown["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 3, "{shown}");
    for (n, failure) in (1..).zip(failures) {
        assert_eq!((&failure["attempt"], &failure["node"]), (&Value::from(n), &Value::from("mill")), "{failure}");
        assert_eq!(
            (failure["class"].as_str(), failure["code"].as_str()),
            (Some("transient"), Some("source-unreachable"))
        );
        assert!(failure["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{failure}");
        assert!(failure["evidence"].as_str().unwrap().contains("Connection refused"), "{failure}");
    }
    let text = place.run(&["dead", "show", &dead[0], "--api", &url]).ends(0).stdout;
    for part in ["attempt 1 on mill", "attempt 3 on mill", "source-unreachable (transient)", "Connection refused"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }

    // Filters let through what fits, and nothing else.
    for (filter, fits) in [
        (["--asset", id.as_str()], true),
        (["--kind", "transcode"], true),
        (["--tenant", "default"], true),
        (["--class", "transient"], true),
        (["--code", "source-unreachable"], true),
        (["--node", "mill"], true),
        (["--asset", "00000000-0000-7000-8000-000000000000"], false),
        (["--kind", "probe"], false),
        (["--tenant", "other"], false),
        (["--class", "bug"], false),
        (["--code", "disk-full"], false),
        (["--node", "other"], false),
    ] {
        let want = if fits { dead.clone() } else { Vec::new() };
        assert_eq!(ids(&[&["dead", "ls"], filter.as_slice()].concat()), want, "{filter:?}");
        let would = json(run(&[&["dead", "redrive", "--all", "--dry-run"], filter.as_slice()].concat()));
        assert_eq!(would["jobs"].as_array().unwrap().len(), want.len(), "{filter:?}: {would}");
    }
    run(&["dead", "ls", "--class", "none"]).ends(2);
    run(&["dead", "redrive", &dead[0], "--kind", "transcode"]).ends(2).says("--all");
    run(&["dead", "redrive"]).ends(2);
    assert_eq!(ids(&["dead", "ls"]), dead, "a dry run changes nothing");

    let broken = wrapper.encodes();
    wrapper.forget("break-after");
    let redriven = json(run(&["dead", "redrive", "--all", "--asset", &id]));
    assert_eq!(redriven["jobs"].as_array().unwrap().len(), dead.len(), "{redriven}");
    wait("published", 120, || {
        let title = asset(&api, &id);
        assert!(["accepted", "published"].contains(&title["state"].as_str().unwrap()), "{title}");
        (title["state"] == "published").then_some(())
    });
    assert_eq!(ids(&["dead", "ls"]), Vec::<String>::new());

    // Every frame was encoded once, by whichever attempt: none before the last was for nothing.
    let whole = wrapper.encodes().split_off(broken.len());
    let mut made: Vec<_> = broken.iter().map(|(start, end)| (*start, *end.min(&(start + SEGMENT)))).collect();
    assert!(made.len() >= 3, "{made:?}");
    made.extend(&whole);
    made.sort_unstable();
    let mut at = 0;
    for (start, end) in &made {
        assert_eq!(*start, at, "frames are encoded twice or not at all: {broken:?}, then {whole:?}");
        at = *end;
    }
    assert_eq!(at, 48 * 25);

    // What happened is told step by step.
    let trace = json(run(&["trace", &id]));
    let steps = trace["steps"].as_array().unwrap();
    assert_eq!((&steps[0]["unit"], &steps[0]["end"]), (&Value::from("asset"), &Value::from("submitted")));
    assert_eq!(steps.last().unwrap()["end"], "published");
    let of = |unit: &Value, end: &str| steps.iter().filter(|step| step["unit"] == *unit && step["end"] == end).count();
    assert_eq!((of(&shown["unit"], "failed"), of(&shown["unit"], "done")), (3, 1), "{trace}");
    for step in steps.iter().filter(|step| ["failed", "done"].contains(&step["end"].as_str().unwrap())) {
        assert!(step["ran_ms"].as_i64().is_some_and(|ran| ran >= 0), "{step}");
        assert!(step["waited_ms"].as_i64().is_some_and(|waited| waited >= 0), "{step}");
        assert!(step["node"].is_string(), "{step}");
    }
    let text = place.run(&["trace", &id, "--api", &url]).ends(0).stdout;
    assert!(text.contains("source-unreachable (transient)") && text.contains("published"), "{text}");
    run(&["trace", "00000000-0000-7000-8000-000000000000"]).ends(4);
}
