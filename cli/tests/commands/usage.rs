//! What the commands that need no farm say, and how they end.

use crate::support::Place;

#[test]
fn wrong_usage_ends_with_2() {
    let place = Place::new();
    for args in [
        &["fly"][..],
        &[],
        &["run"],
        &["submit"],
        &["asset", "show"],
        &["up", "--listen", "here"],
        &["up", "--workers", "0"],
        &["submit", "/x", "--priority", "soon"],
        &["version", "--api", "localhost:1", "extra"],
    ] {
        place.run(args).ends(2);
    }
}

#[test]
fn help_and_version_end_with_0() {
    let place = Place::new();
    assert!(place.run(&["--help"]).ends(0).stdout.contains("Exit codes"));
    assert!(place.run(&["version"]).ends(0).stdout.starts_with("framemill "));
    let json: serde_json::Value = serde_json::from_str(&place.run(&["version", "--json"]).ends(0).stdout).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(place.run(&["completions", shell]).ends(0).stdout.contains("framemill"), "{shell}");
    }
}

#[test]
fn an_api_that_is_not_there_is_a_failure_with_its_mend() {
    let place = Place::new();
    place.run(&["asset", "ls", "--api", "http://127.0.0.1:1"]).ends(1).says("framemill up");
    place.run_with(&["asset", "ls"], &[("FRAMEMILL_API", "nowhere")]).ends(2).says("http://");
}

#[test]
fn a_ladder_file_is_checked_with_its_place() {
    let place = Place::new();
    let good = place.write("good.yaml", crate::support::SMALL_LADDER);
    let ran = place.run(&["ladder", "check", "--json", good.to_str().unwrap()]).ends(0);
    let ladder: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(ladder["name"], "small");

    for (from, to, says) in [
        ("gop_s: 1", "gop_s: 1\ngpo: 2", "/gpo"),
        ("name: 90p", "name: 180p", "/video/1/name"),
        ("height: 180", "height: 0", "/video/0/height"),
        ("height: 180", "height: 100000", "/video/0/height"),
        ("height: 180", "height: 181", "/video/0/height"),
        ("maxrate_kbps: 360", "maxrate_kbps: 100", "/video/0/bitrate_kbps"),
        ("codec: h264", "codec: vp9", "/video/0/codec"),
        ("name: small", "name: [", "bad.yaml"),
    ] {
        let bad = place.write("bad.yaml", crate::support::SMALL_LADDER.replacen(from, to, 1));
        place.run(&["ladder", "check", bad.to_str().unwrap()]).ends(2).says(says).says("bad.yaml");
        // The same file is refused before anything is started or sent.
        place.run(&["submit", "/x.mp4", "--ladder", "./bad.yaml"]).ends(2).says(says);
    }
    let bad = place.write("bad.yaml", b"\xff\xfe\x00");
    place.run(&["ladder", "check", bad.to_str().unwrap()]).ends(2).says("UTF-8");
    let large = place.write("large.yaml", vec![b'#'; 100_000]);
    place.run(&["ladder", "check", large.to_str().unwrap()]).ends(2).says("100000 bytes");
    place.run(&["ladder", "check", "./none.yaml"]).ends(2).says("none.yaml");
    place.run(&["ladder", "check", "."]).ends(2);
}

#[test]
fn a_file_that_is_plainly_no_video_is_refused_before_a_farm_starts() {
    let place = Place::new();
    place.write("empty.mp4", "");
    place.run(&["run", "none.mp4"]).ends(3).says("none.mp4").says("mend");
    place.run(&["run", "empty.mp4"]).ends(3).says("empty");
    place.run(&["run", "."]).ends(3).says("folder");
    place.run(&["run", "/dev/null"]).ends(3);
}

#[test]
fn run_serves_this_machine_only() {
    let place = Place::new();
    place.write("x.mp4", "x");
    place.run(&["run", "x.mp4", "--listen", "0.0.0.0:0"]).ends(2).says("loopback");
}
