//! `framemill token`, `tenant` and `account`, against a farm in one process tree.

use serde_json::Value;

use crate::support::{
    Place, Ran,
    up::{is_ready, up},
    wait,
};

const RESELLER: &str = "tenant: reseller\n\
    parent: op\n\
    address_binding: off\n\
    accounts: known\n\
    packages:\n\
    \x20 - { name: sport, paths: [/live/op/sport/], regions: [NO] }\n";

#[test]
fn what_is_wrong_is_said_before_anything_is_sent() {
    let place = Place::new();
    let nowhere = |args: &[&str]| {
        let all: Vec<&str> = args.iter().copied().chain(["--api", "http://127.0.0.1:1"]).collect();
        place.run(&all)
    };
    nowhere(&["token", "revoke"]).ends(2).says("--session");
    nowhere(&["token", "revoke", "--session", "a", "--account", "b"]).ends(2);
    nowhere(&["token", "issue", "--account", "u1", "--channel", "No!"]).ends(2).says("--channel");
    nowhere(&["token", "issue", "--account", "u1", "--address", "here"]).ends(2).says("--address");
    nowhere(&["token", "key", "create", "--secret-file", "none"]).ends(2).says("none");
    nowhere(&["account", "apply", "u1", "--end", "soon"]).ends(2).says("--end");
    for (text, says) in [("tenant: [", "valid YAML"), ("parent: op", "tenant: NAME")] {
        let bad = place.write("bad.yaml", text);
        nowhere(&["tenant", "apply", "-f", bad.to_str().unwrap()]).ends(2).says(says).says("bad.yaml");
    }
    // It never asks anybody.
    let inspected = place.run(&["token", "inspect", "x", "--json"]).ends(0).stdout;
    assert_eq!(serde_json::from_str::<Value>(&inspected).unwrap()["format"], Value::Null);
}

#[test]
fn a_viewer_is_let_in_and_no_more() {
    let place = Place::new();
    let (_farm, api, health) = up(&place, "data");
    wait("ready", 10, || is_ready(&health));
    let api = format!("http://{api}");
    let run = |args: &[&str]| -> Ran {
        let all: Vec<&str> = args.iter().copied().chain(["--api", &api]).collect();
        place.run(&all)
    };
    let json = |args: &[&str]| -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&run(&args).ends(0).stdout).unwrap()
    };
    let ask = ["token", "issue", "--account", "u1", "--channel", "news", "--address", "203.0.113.7"];
    run(&ask).ends(5).says("framemill token key create --tenant default");
    let kid = run(&["token", "key", "create"]).ends(0).stdout.trim().to_owned();
    assert_eq!(json(&["token", "key", "ls"])[0]["kid"], *kid);

    let token = run(&ask).ends(0).stdout.trim().to_owned();
    let inspected = json(&["token", "inspect", &token]);
    assert_eq!((&inspected["format"], &inspected["kid"]), (&Value::from("jwt"), &Value::from(kid.clone())));
    let renewed = json(&["token", "renew", &token]);
    let session = renewed["session"].as_str().unwrap();
    run(&["token", "revoke", "--session", session]).ends(0);
    assert!(run(&["token", "revoked"]).ends(0).stdout.contains(session));
    run(&["token", "renew", renewed["token"].as_str().unwrap()]).ends(5).says("revoked");
    run(&["token", "renew", "x"]).ends(5).says("not well formed");
    run(&ask[..6]).ends(5).says("address");
    let trail = json(&["token", "audit", "--account", "u1", "--refused"]);
    assert!(trail.as_array().unwrap().iter().any(|entry| entry["refused"] == "revoked"), "{trail}");

    // Replaced, and put out of use.
    let next = run(&["token", "key", "create", "--algorithm", "es256"]).ends(0).stdout.trim().to_owned();
    assert_eq!(json(&["token", "key", "ls"])[0]["state"], "retiring");
    assert_eq!(json(&["token", "key", "retire", &next, "--now"])["state"], "retired");
    run(&["token", "key", "retire", "nobody"]).ends(4);

    // A reseller and its accounts.
    place.write("op.yaml", "tenant: op\n");
    place.write("reseller.yaml", RESELLER);
    run(&["tenant", "apply", "-f", "op.yaml"]).ends(0);
    assert!(run(&["tenant", "apply", "-f", "reseller.yaml"]).ends(0).stdout.contains("1 packages"));
    place.write("bad.yaml", RESELLER.replace("/live/op/sport/", "/live/other/"));
    run(&["tenant", "apply", "-f", "bad.yaml"]).ends(2).says("/packages/0/paths/0").says("bad.yaml");
    assert_eq!(json(&["tenant", "ls"]).as_array().unwrap().len(), 2);
    assert_eq!(json(&["tenant", "show", "reseller"])["parent"], "op");
    run(&["tenant", "show", "nobody"]).ends(4);
    run(&["token", "key", "create", "--tenant", "reseller"]).ends(0);
    let path = ["--tenant", "reseller", "--path", "/live/op/sport/"];
    let asked =
        |region: &str| run(&[&["token", "issue", "--account", "a@b", "--region", region][..], &path[..]].concat());
    asked("NO").ends(5).says("account is not known");
    run(&["account", "apply", "a@b", "--tenant", "reseller", "--package", "sport"]).ends(0);
    asked("NO").ends(0);
    asked("SE").ends(5).says("region");
    assert_eq!(json(&["account", "ls", "--tenant", "reseller"])[0]["packages"][0], "sport");
    run(&["account", "rm", "a@b", "--tenant", "reseller"]).ends(0);
    run(&["account", "show", "a@b", "--tenant", "reseller"]).ends(4);
    run(&["tenant", "rm", "op"]).ends(5).says("below");
    run(&["tenant", "rm", "reseller"]).ends(0);
}
