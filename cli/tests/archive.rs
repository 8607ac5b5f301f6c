//! A programme of a channel becomes a title, run as a user would: on air, kept, checked, and still there when
//! the channel is gone.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use support::{
    Place, Ran, SMALL_LADDER, clip, ffmpeg,
    up::{is_ready, up_with},
    wait, wait_or,
};

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_programme_is_kept_and_outlives_its_channel() {
    let place = Place::new();
    place.write("ladder.yaml", SMALL_LADDER);
    clip(&place.path().join("loop.mp4"), 4, "320x180");
    let uri = place.path().join("loop.mp4").display().to_string();
    let document = format!(
        "channel_id: news\nsources: [ {{ uri: \"{uri}\" }} ]\nladder: ./ladder.yaml\nredundancy: 1\ntimeshift_s: 600\n"
    );
    place.write("news.yaml", document);
    let folder = place.path().display().to_string();
    let (_farm, api, health) = up_with(&place, "data", &[("FRAMEMILL_SOURCES__FOLDERS", &folder)]);
    wait("ready", 20, || is_ready(&health));
    let api = format!("http://{api}");
    let run = |args: &[&str]| -> Ran {
        let args: Vec<&str> = args.iter().copied().chain(["--api", &api]).collect();
        place.run(&args)
    };
    let json = |args: &[&str]| -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(run(&args).ends(0).stdout.lines().last().unwrap()).unwrap()
    };
    let log = || std::fs::read_to_string(place.path().join("up.log")).unwrap_or_default();
    json(&["channel", "apply", "-f", "news.yaml", "--start"]);
    wait_or("it is on air", 60, log, || json(&["channel", "show", "news"])["head"].is_object().then_some(()));

    let (from, to) = (now_s() + 2, now_s() + 12);
    let (from, to) = (from.to_string(), to.to_string());
    let asked = ["channel", "archive", "news", "--from", &from, "--to", &to, "--idempotency-key", "once"];
    run(&asked).ends(5).says("the span is not over");
    run(&["channel", "archive", "news", "--from", "1000", "--to", "2000"]).ends(5).says("the channel keeps 20");
    run(&["channel", "archive", "news", "--from", "noon", "--to", &to]).ends(2).says("/from");
    run(&["channel", "archive", "nope", "--from", &from, "--to", &to]).ends(4);
    let id = wait_or("the span is over", 60, log, || {
        let ran = run(&asked);
        (ran.code == 0).then(|| ran.stdout.trim().to_owned())
    });
    // The same key is the same title, and it can be waited for.
    let watched = [&asked[..], &["--watch", "--timeout", "120"]].concat();
    let kept = json(&watched);
    assert_eq!(
        (kept["id"].as_str(), kept["state"].as_str()),
        (Some(id.as_str()), Some("published")),
        "{kept} {}",
        log()
    );
    assert!(kept["source"].as_str().unwrap().starts_with("channel:news/"), "{kept}");
    let archive = &kept["archive"];
    let segments = archive["segments"].as_u64().unwrap();
    assert!((5..=6).contains(&segments) || archive["left_out_segments"].as_u64() > Some(0), "{archive}");
    assert_eq!(kept["input"]["frames"], segments * 50);
    assert_eq!(kept["validation"]["state"], "passed");
    for rendition in kept["renditions"].as_array().unwrap().iter().chain(kept["audio"].as_array().unwrap()) {
        assert_eq!(rendition["segments"], segments, "{rendition}");
    }
    // Nothing of it was encoded.
    let kinds = kept["stages"].as_array().unwrap();
    let total = |kind: &str| kinds.iter().find(|stage| stage["kind"] == kind).unwrap()["total"].as_u64().unwrap();
    assert_eq!((total("transcode"), total("audio")), (0, 0), "{kept}");

    // A player's own demuxer and decoder find nothing wrong with it.
    let judged = Command::new(ffmpeg())
        .args(["-nostdin", "-v", "error", "-xerror", "-i", &format!("{api}/preview/default/{id}/master.m3u8")])
        .args(["-map", "0:v:0", "-map", "0:a:0", "-f", "null", "-"])
        .output()
        .unwrap();
    assert!(judged.status.success() && judged.stderr.is_empty(), "{}", String::from_utf8_lossy(&judged.stderr));

    // What breaks while the channel still has it is copied again.
    let data = place.path().join("data");
    std::fs::remove_file(stored(&data, "180p/2.m4s")).unwrap();
    run(&["asset", "check", &id]).ends(1).says("--repair");
    run(&["asset", "check", &id, "--repair", "--watch"]).ends(0);
    let mended = json(&["asset", "show", &id]);
    assert_eq!((&mended["generation"]["number"], &mended["state"]), (&Value::from(2), &Value::from("published")));

    run(&["channel", "rm", "news"]).ends(0);
    wait_or("the channel is gone", 60, log, || (json(&["channel", "ls"]) == serde_json::json!([])).then_some(()));
    run(&["asset", "check", &id, "--deep"]).ends(0);

    // What breaks now cannot be mended, and that is what is said.
    let generation = format!("g2-{}", mended["generation"]["random"].as_str().unwrap());
    std::fs::remove_file(stored(&data, &format!("{generation}/stereo/1.m4s"))).unwrap();
    let broken = run(&["asset", "check", &id, "--repair"]).ends(1);
    assert!(broken.stdout.contains("span-not-kept"), "{} {}", broken.stdout, broken.stderr);
    assert_eq!(json(&["asset", "show", &id])["generation"]["number"], 2);
    run(&["asset", "rm", &id]).ends(0);
}

/// The file of an object of a title.
fn stored(data: &Path, object: &str) -> PathBuf {
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.contains("/vod/") && name.ends_with(&format!("/{object}.obj")) {
                return path;
            }
        }
    }
    panic!("{object} is nowhere in {data:?}");
}
