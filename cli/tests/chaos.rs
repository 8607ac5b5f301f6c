//! The saboteur, run as a user would: a short run of a fixed seed must leave no breach.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use serde_json::Value;
use support::Place;

#[test]
fn a_farm_that_is_struck_for_a_while_keeps_its_promises() {
    let place = Place::new();
    let ran = place.run(&["loadtest", "chaos", "--seed", "20", "--minutes", "1", "--json"]);
    // The report is worth reading either way.
    eprintln!("{}\n{}", ran.stderr, ran.stdout);
    let report: Value = serde_json::from_str(ran.stdout.trim()).unwrap_or_else(|_| panic!("{}", ran.stderr));
    assert_eq!(report["findings"], serde_json::json!([]), "{}", ran.stderr);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!((&report["assets"]["lost"], &report["duplicate_commits"]), (&Value::from(0), &Value::from(0)));
    // It did strike, and the farm did work.
    assert!(report["kills"].as_u64().unwrap() > 10, "{report}");
    assert!(report["assets"]["published"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_plan_is_shown_and_replays() {
    let place = Place::new();
    let plan =
        |seed| place.run(&["loadtest", "chaos", "--plan", "--seed", seed, "--minutes", "3", "--json"]).ends(0).stdout;
    assert_eq!(plan("7"), plan("7"));
    assert_ne!(plan("7"), plan("8"));
    let first: Value = serde_json::from_str(&plan("7")).unwrap();
    assert!(first[0]["at_ms"].is_u64() && first[0]["fault"].is_object(), "{first}");
}
