//! `framemill channel`, against a farm in one process tree.

use serde_json::Value;

use crate::support::{
    Place, Ran, SMALL_LADDER,
    up::{is_ready, up},
    wait,
};

const NEWS: &str = "channel_id: news\n\
    sources:\n\
    \x20 - { uri: \"udp://127.0.0.1:59999\", rights: licensed-live-feed }\n\
    ladder: ./ladder.yaml\n\
    segment_s: 2\n\
    window_s: 30\n";

#[test]
fn a_file_that_is_no_channel_is_refused_with_its_place() {
    let place = Place::new();
    let nowhere = ["--api", "http://127.0.0.1:1"];
    for (text, says) in [("channel_id: [", "valid YAML"), ("sources: []", "channel_id: NAME")] {
        let bad = place.write("bad.yaml", text);
        for command in ["check", "apply"] {
            let args = ["channel", command, "-f", bad.to_str().unwrap(), nowhere[0], nowhere[1]];
            place.run(&args).ends(2).says(says).says("bad.yaml");
        }
    }
    place.run(&["channel", "apply", "-f", "none.yaml"]).ends(2).says("none.yaml");
    place.run(&["channel", "apply"]).ends(2).says("--file");
}

#[test]
fn a_channel_is_applied_looked_at_and_removed() {
    let place = Place::new();
    place.write("ladder.yaml", SMALL_LADDER);
    place.write("news.yaml", NEWS);
    let (_farm, api, health) = up(&place, "data");
    wait("ready", 10, || is_ready(&health));
    let api = format!("http://{api}");
    let channel = |args: &[&str]| -> Ran {
        let mut all = vec!["channel"];
        all.extend(args);
        all.extend(["--api", &api]);
        place.run(&all)
    };
    let json = |args: &[&str]| -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&channel(&args).ends(0).stdout).unwrap()
    };
    let checked = channel(&["check", "-f", "news.yaml"]).ends(0).stdout;
    assert!(checked.contains("would be made"), "{checked}");
    assert_eq!(json(&["ls"]), serde_json::json!([]));
    place.write("bad.yaml", NEWS.replace("window_s: 30", "window_s: 1\nwindows: 2"));
    channel(&["apply", "-f", "bad.yaml"]).ends(2).says("/windows").says("bad.yaml");

    let made = channel(&["apply", "-f", "news.yaml"]).ends(0).stdout;
    assert!(made.contains("created, edition 1") && made.contains("channel start news"), "{made}");
    assert_eq!(json(&["apply", "-f", "news.yaml"])["outcome"], "unchanged");
    place.write("news.yaml", NEWS.replace("window_s: 30", "window_s: 60"));
    let changed = channel(&["apply", "-f", "news.yaml"]).ends(0).stdout;
    assert!(changed.contains("window: 30 s -> 60 s"), "{changed}");
    channel(&["diagnose", "news"]).ends(1).says("it is stopped").says("channel start");

    let started = json(&["apply", "-f", "news.yaml", "--start"]);
    assert_eq!((&started["outcome"], &started["channel"]["wanted"]), (&"unchanged".into(), &"running".into()));
    place.write("news.yaml", NEWS.replace("segment_s: 2", "segment_s: 4"));
    channel(&["apply", "-f", "news.yaml"]).ends(5).says("stop it first");
    wait("a replica is placed", 20, || {
        (json(&["show", "news"])["replicas"].as_array().unwrap().len() == 1).then_some(())
    });
    let shown = channel(&["show", "news"]).ends(0).stdout;
    assert!(shown.contains("udp://127.0.0.1:59999") && shown.contains("live/default/news/master.m3u8"), "{shown}");
    assert!(channel(&["ls"]).ends(0).stdout.contains("news"));

    channel(&["stop", "news"]).ends(0);
    wait("it is off air", 20, || (json(&["show", "news"])["state"] == "stopped").then_some(()));

    // A schedule: what of it is past is said, and what comes stands in the list.
    let past = "on_air: [{ from: \"2020-01-01T10:00:00Z\", until: \"2020-01-01T11:00:00Z\" }]\n";
    place.write("news.yaml", format!("{NEWS}{past}"));
    let checked = channel(&["check", "-f", "news.yaml"]).ends(0).stdout;
    assert!(checked.contains("note: all spans of its schedule are past"), "{checked}");
    place.write("news.yaml", format!("{NEWS}{}", past.replace("2020", "2998")));
    let applied = channel(&["apply", "-f", "news.yaml", "--start"]).ends(0).stdout;
    assert!(applied.contains("off air until 2998-01-01T10:00:00Z"), "{applied}");
    let listed = channel(&["ls", "--state", "scheduled"]).ends(0).stdout;
    assert!(listed.contains("on 2998-01-01T10:00:00Z") && listed.contains("off air until"), "{listed}");
    let shown = channel(&["show", "news"]).ends(0).stdout;
    let schedule = "schedule: 2998-01-01T10:00:00Z to 2998-01-01T11:00:00Z; next: on 2998-01-01T10:00:00Z";
    assert!(shown.contains(schedule), "{shown}");
    channel(&["diagnose", "news"]).ends(0);
    channel(&["rm", "news"]).ends(0);
    channel(&["show", "nope"]).ends(4).says("nope");
}
