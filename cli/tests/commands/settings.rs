//! The configuration: where it comes from, what is refused, what is shown.

use crate::support::Place;

#[test]
fn file_then_environment() {
    let place = Place::new();
    place.write(
        "framemill.toml",
        "data = \"/srv/d\"\n[s3]\nendpoint = \"http://a:1\"\nbucket = \"films\"\n[scheduler]\nfolders = [\"/a\"]\n",
    );
    let environment = [
        ("FRAMEMILL_S3__ENDPOINT", "http://b:2"),
        ("FRAMEMILL_S3__SECRET_KEY", "hunter2"),
        ("FRAMEMILL_S3__ACCESS_KEY", "0007"),
        ("FRAMEMILL_S3__PATH_STYLE", "false"),
        ("FRAMEMILL_NATS__URL", "nats://user:hunter3@h:4222"),
        ("FRAMEMILL_NATS__REPLICAS", "3"),
        ("FRAMEMILL_SOURCES__FOLDERS", "/x,/y"),
        ("FRAMEMILL_OTEL__ENDPOINT", ""),
        ("FRAMEMILL_TEST_ANYTHING", "1"),
    ];
    let ran = place.run_with(&["config", "show", "--json"], &environment).ends(0);
    assert!(!ran.stdout.contains("hunter") && !ran.stdout.contains("0007"), "{}", ran.stdout);
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    for (pointer, want) in [
        ("/data", serde_json::json!("/srv/d")),
        ("/s3/endpoint", serde_json::json!("http://b:2")),
        ("/s3/bucket", serde_json::json!("films")),
        ("/s3/path_style", serde_json::json!(false)),
        ("/nats/replicas", serde_json::json!(3)),
        ("/scheduler/folders", serde_json::json!(["/a"])),
        ("/sources/folders", serde_json::json!(["/x", "/y"])),
        ("/otel/endpoint", serde_json::json!(null)),
    ] {
        assert_eq!(shown.pointer(pointer), Some(&want), "{pointer}");
    }
    let text = place.run_with(&["config", "show"], &environment).ends(0).stdout;
    assert!(!text.contains("hunter"));
    // What is shown is a configuration again.
    place.write("shown.toml", text);
    place.run(&["config", "check", "shown.toml"]).ends(0);
}

#[test]
fn what_is_unknown_is_refused_with_its_place() {
    let place = Place::new();
    for (text, says) in [
        ("[s3]\nendpont = \"x\"\n", "s3.endpont"),
        ("[nats]\nurls = \"x\"\n", "nats.urls"),
        ("[worker]\nslot = 1\n", "worker.slot"),
        ("[s4]\n", "s4"),
        ("[worker]\nslots = \"many\"\n", "worker.slots"),
        ("[worker]\nslots = 0\n", "worker.slots"),
        ("[worker]\nnode = \"GPU 7\"\n", "worker.node"),
        ("[scheduler]\nlisten = \"here\"\n", "scheduler.listen"),
        ("[nats]\nreplicas = 2\n", "nats.replicas"),
        ("[log\n", "TOML"),
    ] {
        place.write("framemill.toml", text);
        place.run(&["config", "check"]).ends(2).says(says).says("framemill.toml");
        place.run(&["config", "show"]).ends(2).says(says);
        place.run(&["worker"]).ends(2).says(says);
    }
    place.write("framemill.toml", "");
    for (name, says) in [
        ("FRAMEMILL_S3__ENDPONT", "FRAMEMILL_S3__ENDPONT"),
        ("FRAMEMILL_S3_ENDPOINT", "FRAMEMILL_S3__ENDPOINT"),
        ("FRAMEMILL_WORKER__SLOTS", "FRAMEMILL_WORKER__SLOTS"),
        ("FRAMEMILL_NOTHING__X", "FRAMEMILL_NOTHING__X"),
    ] {
        place.run_with(&["config", "show"], &[(name, "x")]).ends(2).says(says);
    }
    place.run(&["config", "check", "none.toml"]).ends(2).says("none.toml");
    place.run(&["--config", "none.toml", "config", "show"]).ends(2).says("none.toml");
    place.write("binary.toml", b"\xff\xfe");
    place.run(&["config", "check", "binary.toml"]).ends(2).says("UTF-8");
}

#[test]
fn roles_refuse_what_is_not_there_in_one_sentence() {
    let place = Place::new();
    let environment = [
        ("FRAMEMILL_NATS__URL", "nats://127.0.0.1:1"),
        ("FRAMEMILL_S3__ENDPOINT", "http://127.0.0.1:1"),
        ("FRAMEMILL_S3__ACCESS_KEY", "a"),
        ("FRAMEMILL_S3__SECRET_KEY", "hunter2"),
        ("FRAMEMILL_LOG__LEVEL", "off"),
    ];
    for role in ["scheduler", "worker", "packager"] {
        let args: &[&str] = if role == "scheduler" { &[role, "--listen", "127.0.0.1:0"] } else { &[role] };
        let ran = place.run_with(args, &environment).ends(1).says("127.0.0.1:1").says("mend");
        assert!(!ran.stderr.contains("hunter2"));
        assert!(ran.stderr.lines().count() < 8, "{}", ran.stderr);
    }
    place.run_with(&["worker"], &[("FRAMEMILL_FFMPEG__FFMPEG", "/nowhere/ffmpeg")]).ends(2).says("/nowhere/ffmpeg");
    place.run_with(&["up", "--data", "d"], &[("FRAMEMILL_NATS__SERVER", "/nowhere")]).ends(2).says("/nowhere");
}
