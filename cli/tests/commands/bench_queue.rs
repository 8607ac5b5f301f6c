//! The benchmarks of the queue, small: that they measure what they say, not how fast it is.

use crate::support::Place;

fn json(args: &[&str]) -> serde_json::Value {
    let all: Vec<_> = ["loadtest", "bench", "queue", "--json"].iter().chain(args).copied().collect();
    let ran = Place::new().run(&all).ends(0);
    serde_json::from_str(ran.stdout.trim()).unwrap()
}

#[test]
fn both_sides_are_measured_in_turns() {
    let report = json(&["--jobs", "40", "--rounds", "2", "--parallel", "4", "--samples", "5"]);
    let rates = |side: &str| report[side].as_array().unwrap().iter().map(|rate| rate.as_f64().unwrap()).collect();
    let (bare, farm): (Vec<f64>, Vec<f64>) = (rates("bare_jobs_per_s"), rates("farm_jobs_per_s"));
    assert_eq!((bare.len(), farm.len()), (2, 2));
    let ratio = (farm[0] / bare[0] + farm[1] / bare[1]) / 2.0;
    assert!((report["ratio"].as_f64().unwrap() - ratio).abs() < 1e-9, "{report}");
    for latency in ["idle_claim", "load_claim"] {
        assert_eq!(report[latency]["samples"], 5);
        assert!(report[latency]["p99_ms"].as_f64().unwrap() >= report[latency]["p50_ms"].as_f64().unwrap());
    }
    // A record, a hint, a pull, a claim, a commit and an ack; the farm's has more to do.
    let into = |side: &str| report[side]["into_server"].as_f64().unwrap();
    assert!(into("bare_traffic") >= 6.0 && into("farm_traffic") > into("bare_traffic"), "{report}");
}

#[test]
fn a_queue_is_filled_and_a_scheduler_started_on_it() {
    let report = json(&["--backlog", "200", "--samples", "5"]);
    assert_eq!(report["titles"], 2);
    assert_eq!(report["jobs"], 242);
    for latency in ["empty_claim", "full_claim", "short_lane", "long_lane"] {
        assert_eq!(report[latency]["samples"], 5, "{latency}");
    }
    assert!(report["full_ready_s"].as_f64().unwrap() > 0.0 && report["empty_bytes"].as_u64().unwrap() > 1 << 20);
}
