//! A whole farm: what `up` leaves behind when it is killed, what the next one finds, and what
//! `run` makes of a file.
#![allow(clippy::unwrap_used)]

mod support;

use std::{io::BufRead, path::Path, process::Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{
    Place, Ran, Running, SMALL_LADDER, clip, processes_with,
    up::{asset, is_ready, submit, up},
    wait,
};

/// Processes of this place's farm: each has the folder on its command line or in its inputs.
fn left_behind(place: &Place) -> Vec<String> {
    processes_with(&place.path().display().to_string())
}

#[test]
fn killing_up_leaves_nothing_and_the_next_goes_on() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 60, "640x360");
    place.write("ladder.yaml", SMALL_LADDER.replace("ultrafast", "slow"));
    let (mut first, api, health) = up(&place, "data");
    wait("ready", 10, || is_ready(&health));

    // A second one on the same folder is refused, and says why.
    place.run(&["up", "--data", "data", "--listen", "127.0.0.1:0"]).ends(5).says("another framemill").says("--data");
    // So is one on the same address.
    place.run(&["up", "--data", "other", "--listen", &api]).ends(2).says("in use").says("--listen");

    let id = submit(&place, &api, "clip.mp4", "./ladder.yaml");
    wait("an ffmpeg that encodes", 60, || {
        let stages = asset(&api, &id)["stages"].clone();
        let transcode = stages.as_array().unwrap().iter().find(|stage| stage["kind"] == "transcode").cloned()?;
        (transcode["running"].as_u64()? > 0 || transcode["done"].as_u64()? > 0).then_some(())
    });
    let nats = left_behind(&place);
    assert!(nats.iter().any(|line| line.contains("nats-server")), "{nats:?}");
    let children = children_of(first.0.id());
    assert!(children.iter().any(|line| line.contains("ffmpeg")), "{children:?}");

    first.kill();
    wait("no child left", 5, || children.iter().all(|child| !is_alive(child)).then_some(()));
    wait("no nats-server left", 5, || left_behind(&place).is_empty().then_some(()));

    let (second, api, health) = up(&place, "data");
    wait("ready again", 10, || is_ready(&health));
    let state = wait("published after the restart", 120, || {
        let state = asset(&api, &id)["state"].as_str().unwrap().to_owned();
        (state != "accepted").then_some(state)
    });
    assert_eq!(state, "published", "{}", asset(&api, &id));

    second.signal(Signal::SIGTERM);
    ends_by_itself(second);
    wait("nothing left after a drain", 5, || left_behind(&place).is_empty().then_some(()));
}

#[test]
fn nats_that_dies_comes_back_and_work_goes_on() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 6, "320x180");
    place.write("ladder.yaml", SMALL_LADDER);
    let (_farm, api, health) = up(&place, "data");
    wait("ready", 10, || is_ready(&health));
    let server = || left_behind(&place).into_iter().find(|line| line.contains("nats-server"));
    let before = server().unwrap();
    let pid: i32 = before.split(':').next().unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait("another nats-server", 20, || server().filter(|line| !line.starts_with(&format!("{pid}:"))));
    wait("ready again", 30, || is_ready(&health));
    let id = submit(&place, &api, "clip.mp4", "./ladder.yaml");
    wait("published", 90, || (asset(&api, &id)["state"] == "published").then_some(()));
}

#[test]
fn run_makes_a_stream_and_says_so_in_one_line() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 6, "320x180");
    place.write("ladder.yaml", SMALL_LADDER);
    let temporary = tempfile::tempdir().unwrap();
    let mut command = place.command(&["run", "clip.mp4", "--ladder", "./ladder.yaml", "--out", "out", "--json"]);
    let ran = Ran::of(command.env("TMPDIR", temporary.path()).output().unwrap()).ends(0);
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    let line: Value = serde_json::from_str(&ran.stdout).unwrap();

    let keys: std::collections::BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let want = [
        "asset",
        "audio",
        "dash",
        "dropped",
        "duration_s",
        "frames",
        "generation",
        "hls",
        "jobs",
        "last_segment_s",
        "published_s",
        "realtime_x",
        "renditions",
        "state",
        "validation",
        "wall_s",
    ];
    assert_eq!(keys, want.into_iter().collect());
    assert_eq!(line["state"], "published");
    assert_eq!(line["frames"], 150);
    assert_eq!(line["duration_s"], 6.0);
    assert_eq!(line["validation"]["state"], "passed", "{line}");
    assert_eq!((&line["hls"], &line["dash"]), (&Value::from("master.m3u8"), &Value::from("manifest.mpd")));
    assert_eq!(line["jobs"]["failed"], 0);
    assert!(line["jobs"]["total"].as_u64().unwrap() >= 5);
    assert_eq!(line["dropped"], serde_json::json!([]));
    for (rendition, name, width, height) in
        [(&line["renditions"][0], "180p", 320, 180), (&line["renditions"][1], "90p", 160, 90)]
    {
        assert_eq!(rendition["name"], name);
        assert_eq!((rendition["codec"].as_str(), rendition["segments"].as_u64()), (Some("h264"), Some(3)));
        assert_eq!((rendition["width"].as_u64(), rendition["height"].as_u64()), (Some(width), Some(height)));
        assert!(rendition["bytes"].as_u64().unwrap() > 1000);
    }
    assert_eq!(line["audio"][0]["name"], "stereo");
    assert_eq!(line["audio"][0]["segments"], 3);
    let seconds = |name: &str| line[name].as_f64().unwrap();
    assert!(seconds("last_segment_s") <= seconds("published_s") && seconds("published_s") <= seconds("wall_s"));
    assert!(seconds("realtime_x") > 0.0);

    let out = place.path().join("out");
    let generation = out.join(line["generation"].as_str().unwrap());
    for file in ["180p/init.mp4", "180p/3.m4s", "90p/1.m4s", "stereo/3.m4s", "report.json"] {
        assert!(generation.join(file).is_file(), "{file}");
    }
    assert_eq!(files_with(&out, ".part"), Vec::<String>::new());
    assert_eq!(frames(&out.join("master.m3u8")), 150);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "temporary data is left");
    assert_eq!(left_behind(&place), Vec::<String>::new());
}

#[test]
fn run_on_a_bad_file_says_why_and_leaves_nothing() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 4, "320x180");
    let whole = std::fs::read(place.path().join("clip.mp4")).unwrap();
    place.write("text.mp4", "this is no video\n".repeat(100));
    place.write("cut.mp4", &whole[..whole.len() / 2]);
    place.write("ladder.yaml", SMALL_LADDER);
    let temporary = tempfile::tempdir().unwrap();
    for file in ["text.mp4", "cut.mp4"] {
        let mut command = place.command(&["run", file, "--ladder", "./ladder.yaml", "--out", "out", "--json"]);
        let ran = Ran::of(command.env("TMPDIR", temporary.path()).output().unwrap()).ends(3).says("error: ");
        let line: Value = serde_json::from_str(ran.stdout.trim()).unwrap();
        assert_eq!((&line["state"], &line["hls"]), (&Value::from("failed"), &Value::Null), "{file}");
        assert_eq!(std::fs::read_dir(place.path().join("out")).unwrap().count(), 0, "{file}");
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "{file}");
    }
    place.run(&["run", "clip.mp4", "--ladder", "no-such-ladder"]).ends(2).says("no-such-ladder");
}

#[test]
fn an_interrupted_run_ends_with_130_and_leaves_nothing() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 60, "640x360");
    place.write("ladder.yaml", SMALL_LADDER.replace("ultrafast", "veryslow"));
    let temporary = tempfile::tempdir().unwrap();
    let mut command = place.command(&["run", "clip.mp4", "--ladder", "./ladder.yaml", "--out", "out"]);
    command.env("TMPDIR", temporary.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    let id = running.0.id();
    wait("an ffmpeg that encodes", 60, || children_of(id).iter().any(|line| line.contains("libx264")).then_some(()));
    let children = children_of(id);
    running.signal(Signal::SIGINT);
    assert_eq!(code_of(running), Some(130));
    wait("no child left", 5, || children.iter().all(|child| !is_alive(child)).then_some(()));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn the_operators_commands_work_on_a_farm() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 4, "320x180");
    place.write("ladder.yaml", SMALL_LADDER);
    let (_farm, api, health) = up(&place, "data");
    wait("ready", 10, || is_ready(&health));
    let api = format!("http://{api}");
    let run = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--json", "--api", &api]);
        place.run(&all)
    };
    let json = |ran: Ran| serde_json::from_str::<Value>(&ran.ends(0).stdout).unwrap();

    let done = json(run(&["submit", "clip.mp4", "--ladder", "./ladder.yaml", "--watch", "--timeout", "120"]));
    assert_eq!(done["state"], "published", "{done}");
    let id = done["id"].as_str().unwrap();
    // The same key and body give the same title, another body a conflict.
    let keyed = ["submit", "clip.mp4", "--ladder", "./ladder.yaml", "--idempotency-key", "k1"];
    let (one, again) = (json(run(&keyed)), json(run(&keyed)));
    assert_eq!(one["id"], again["id"]);
    run(&["submit", "clip.mp4", "--priority", "bulk", "--idempotency-key", "k1"]).ends(5);
    let other = one["id"].as_str().unwrap();
    json(run(&["asset", "rm", other]));

    assert!(json(run(&["asset", "ls", "--state", "published"])).as_array().unwrap().iter().any(|a| a["id"] == id));
    assert_eq!(json(run(&["asset", "show", id]))["id"], id);
    assert_eq!(json(run(&["asset", "report", id]))["state"], "passed");
    assert!(place.run(&["asset", "show", id, "--api", &api]).ends(0).stdout.contains("180p"));
    run(&["asset", "cancel", id]).ends(5);
    let jobs = json(run(&["job", "ls", "--asset", id]));
    let job = jobs[0]["id"].as_str().unwrap();
    assert_eq!(json(run(&["job", "show", job]))["id"], job);
    run(&["job", "retry", job]).ends(5);
    assert_eq!(json(run(&["dead", "ls"])), serde_json::json!([]));
    // The log from its beginning, for people and for scripts.
    let accepted = |args: &[&str]| {
        let tail = [&["event", "tail", "--after", "0", "--api", &api], args].concat();
        first_event(place.command(&tail), "asset.accepted")
    };
    accepted(&[]);
    let event = accepted(&["--json"]);
    assert_eq!(serde_json::from_str::<Value>(&event).unwrap()["type"], "asset.accepted", "{event}");
    run(&["dead", "show", job]).ends(4);
    let unknown = "00000000-0000-7000-8000-000000000000";
    for args in [["asset", "show"], ["asset", "cancel"], ["job", "show"], ["dead", "redrive"]] {
        run(&[args[0], args[1], unknown]).ends(4);
    }
    assert!(json(run(&["ladder", "ls"])).as_array().unwrap().iter().any(|ladder| ladder["name"] == "web-h264"));
    assert_eq!(json(run(&["ladder", "show", "web-h264"]))["name"], "web-h264");
    run(&["ladder", "show", "none"]).ends(4);
    let key = json(run(&["key", "create", "--tenant", "acme", "--role", "viewer", "--label", "test"]));
    assert!(json(run(&["key", "ls"])).to_string().contains("acme"));
    let mut with_key = place.command(&["asset", "ls", "--json", "--api", &api]);
    with_key.env("FRAMEMILL_API_KEY", key["token"].as_str().unwrap());
    assert_eq!(json(Ran::of(with_key.output().unwrap())), serde_json::json!([]), "another tenant's things are shown");
    json(run(&["key", "revoke", key["key"]["id"].as_str().unwrap()]));
    let mut revoked = place.command(&["asset", "ls", "--api", &api]);
    revoked.env("FRAMEMILL_API_KEY", key["token"].as_str().unwrap());
    Ran::of(revoked.output().unwrap()).ends(5).says("FRAMEMILL_API_KEY");

    // What the API does not take is refused with its place.
    run(&["submit", "file:///etc/passwd"]).ends(2).says("/source");
    run(&["submit", "ftp://h/x"]).ends(2).says("/source");
}

/// The first line about `what` of a command that goes on: among the first ones, since whichever node
/// joins or job starts is told as well.
fn first_event(mut command: std::process::Command, what: &str) -> String {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let _running = Running(child);
    let mut lines = std::io::BufReader::new(stdout).lines().map(Result::unwrap).take(20);
    lines.find(|line| line.contains(what)).unwrap_or_else(|| panic!("nothing about {what}"))
}

/// Reads the stream as a player would and counts the pictures of the first rendition.
fn frames(playlist: &Path) -> u64 {
    let ffprobe = std::env::var_os("FRAMEMILL_FFMPEG__FFPROBE").unwrap_or_else(|| "ffprobe".into());
    let output = std::process::Command::new(ffprobe)
        .args(["-v", "error", "-allowed_extensions", "ALL", "-select_streams", "v:0", "-count_packets"])
        .args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"])
        .arg(playlist)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = text.lines().next().unwrap_or_default().trim_end_matches(',').to_owned();
    first.parse().unwrap_or_else(|_| panic!("{text:?} {}", String::from_utf8_lossy(&output.stderr)))
}

fn files_with(folder: &Path, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Every process below one, as `pid: command line`.
fn children_of(parent: u32) -> Vec<String> {
    let mut parents = std::collections::HashMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name is in brackets and may hold anything.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let above: u32 = rest.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        parents.insert(pid, (above, String::from_utf8_lossy(&line).replace('\0', " ")));
    }
    let is_below = |mut pid: u32| {
        for _ in 0..16 {
            match parents.get(&pid) {
                Some((above, _)) if *above == parent => return true,
                Some((above, _)) => pid = *above,
                None => return false,
            }
        }
        false
    };
    parents.iter().filter(|(pid, _)| is_below(**pid)).map(|(pid, (_, line))| format!("{pid}: {line}")).collect()
}

/// Whether that very process still runs; a zombie has no command line any more.
fn is_alive(child: &str) -> bool {
    let (pid, line) = child.split_once(": ").unwrap();
    let now = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    !now.is_empty() && String::from_utf8_lossy(&now).replace('\0', " ") == line
}

fn code_of(mut running: Running) -> Option<i32> {
    wait("its end", 40, || running.0.try_wait().unwrap()).code()
}

#[track_caller]
fn ends_by_itself(running: Running) {
    assert_eq!(code_of(running), Some(0));
}
