//! The simulated fleet, small: that it shows what it says, on a real NATS.

use crate::support::Place;

#[test]
fn a_fleet_is_filled_one_start_after_another_and_drawn() {
    let place = Place::new();
    let picture = place.path().join("fleet.svg").display().to_string();
    let args = ["loadtest", "fleet", "--nodes", "6", "--jobs", "60", "--large", "2", "--media", "8", "--json"];
    let ran = place.run(&[&args[..], &["--picture", &picture]].concat()).ends(0);
    let report: serde_json::Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    let figure = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name}: {report}"));
    assert_eq!((report["simulated"].as_bool(), figure("jobs")), (Some(true), 62.0));
    assert_eq!((figure("refused"), figure("over_ceiling_looks")), (0.0, 0.0), "{report}");
    // A gap is a promise, however busy this machine is; more than sixty starts on six or seven devices
    // would not fit into less time.
    assert!(figure("closest_starts_s") >= 1.5, "{report}");
    assert!(figure("most_starts") >= 8.0 && figure("seconds") >= 10.0, "{report}");
    assert!(figure("decision_us") > 0.0 && figure("readings_percent") > 0.0);
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("6 simulated nodes, 62 jobs"), "{svg}");
}

#[test]
fn a_device_that_refuses_is_given_less_and_fails_no_job() {
    let args = [
        "loadtest", "fleet", "--nodes", "3", "--liars", "3", "--jobs", "24", "--large", "0", "--media", "16", "--json",
    ];
    let ran = Place::new().run(&args).ends(0);
    let report: serde_json::Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    assert!(report["refused"].as_u64().unwrap() > 0, "the lie was never noticed: {report}");
    assert_eq!(report["jobs"], 24);
}
