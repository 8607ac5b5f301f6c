//! The roles as four processes against an outside NATS and an outside S3: SeaweedFS, or whatever
//! `FRAMEMILL_TEST_S3__*` points at.
#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;
use support::{Place, SMALL_LADDER, clip, get, outside, role, wait};

#[test]
fn four_processes_make_one_farm() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 24, "320x180");
    place.write("ladder.yaml", SMALL_LADDER.replace("ultrafast", "slow"));
    let nats = outside::Nats::start(place.path());
    let store = outside::S3::start(place.path());
    let api = format!("127.0.0.1:{}", outside::free_port());
    let folder = place.path().canonicalize().unwrap().display().to_string();
    let mut environment = store.environment();
    environment.extend([
        ("FRAMEMILL_NATS__URL".to_owned(), nats.url.clone()),
        ("FRAMEMILL_SCHEDULER__LISTEN".to_owned(), api.clone()),
        ("FRAMEMILL_SCHEDULER__FOLDERS".to_owned(), folder.clone()),
        ("FRAMEMILL_SOURCES__FOLDERS".to_owned(), folder.clone()),
        ("FRAMEMILL_WORKER__SLOTS".to_owned(), "1".to_owned()),
    ]);
    let _scheduler = role::start(&place, "scheduler", "a", &environment);
    let mut first = role::start(&place, "worker", "one", &environment);
    let _second = role::start(&place, "worker", "two", &environment);
    let _packager = role::start(&place, "packager", "three", &environment);

    let url = format!("http://{api}");
    let file = format!("{folder}/clip.mp4");
    let submitted = place.run(&["submit", &file, "--ladder", "./ladder.yaml", "--api", &url]).ends(0);
    let id = submitted.stdout.trim().to_owned();
    let jobs = || -> Vec<Value> {
        let (_, body) = get(&api, &format!("/v1/jobs?asset={id}&limit=200")).unwrap();
        let page: Value = serde_json::from_str(&body).unwrap();
        page["items"].as_array().unwrap().clone()
    };
    // Both workers encode; one of them dies in the middle.
    wait("a chunk on the first worker", 60, || {
        jobs()
            .iter()
            .any(|job| job["kind"] == "transcode" && job["state"] == "running" && job["node"] == "one")
            .then_some(())
    });
    first.kill();

    let asset = wait("published", 120, || {
        let (_, body) = get(&api, &format!("/v1/assets/{id}"))?;
        let asset: Value = serde_json::from_str(&body).ok()?;
        assert_ne!(asset["state"], "failed", "{body}");
        (asset["state"] == "published").then_some(asset)
    });
    assert_eq!(asset["validation"]["state"], "passed", "{asset}");
    assert_eq!(asset["input"]["frames"], 24 * 25);
    let nodes: BTreeSet<_> = jobs().iter().filter_map(|job| job["node"].as_str().map(str::to_owned)).collect();
    assert!(nodes.contains("two") && nodes.contains("three"), "{nodes:?}");
    let lost = jobs().iter().any(|job| job["failures"].as_array().unwrap().iter().any(|f| f["code"] == "holder-lost"));
    assert!(lost, "the dead worker's job was taken back");
    // What a viewer gets comes from the outside store.
    let hls = asset["hls"].as_str().unwrap();
    let path = hls.strip_prefix("vod/").unwrap();
    let (status, playlist) = get(&api, &format!("/preview/{path}")).unwrap();
    assert_eq!(status, 200);
    assert!(playlist.starts_with("#EXTM3U"), "{playlist}");
}

#[test]
fn a_role_that_cannot_start_says_why_in_one_sentence() {
    let place = Place::new();
    let nats = outside::Nats::start(place.path());
    let nobody = format!("127.0.0.1:{}", outside::free_port());
    let nobody_http = format!("http://{nobody}");
    for (environment, says) in [
        (
            vec![
                ("FRAMEMILL_NATS__URL", nobody.as_str()),
                ("FRAMEMILL_S3__ENDPOINT", nobody_http.as_str()),
                ("FRAMEMILL_S3__ACCESS_KEY", "a"),
                ("FRAMEMILL_S3__SECRET_KEY", "secret-that-must-not-show"),
            ],
            "NATS",
        ),
        (
            vec![
                ("FRAMEMILL_NATS__URL", nats.url.as_str()),
                ("FRAMEMILL_S3__ENDPOINT", nobody_http.as_str()),
                ("FRAMEMILL_S3__ACCESS_KEY", "a"),
                ("FRAMEMILL_S3__SECRET_KEY", "secret-that-must-not-show"),
            ],
            "the store at",
        ),
    ] {
        let ran = place.run_with(&["worker"], &environment);
        assert!([1, 2].contains(&ran.code), "{}: {}", ran.code, ran.stderr);
        let ran = ran.says(says).says("mend");
        assert!(!ran.stderr.contains("secret-that-must-not-show"), "{}", ran.stderr);
    }
}

#[test]
fn an_ffmpeg_that_is_missing_or_too_old_is_refused_at_the_start() {
    let place = Place::new();
    let old = place.write("old-ffmpeg", "#!/bin/sh\necho 'ffmpeg version 4.4.2 Copyright (c) 2000-2021'; echo 'libavutil      56. 70.100 / 56. 70.100'\n");
    executable(&old);
    let missing = place.path().join("none").display().to_string();
    for (ffmpeg, says) in [(missing, "ffmpeg"), (old.display().to_string(), "4.4")] {
        place
            .run_with(&["up", "--data", "data", "--listen", "127.0.0.1:0"], &[("FRAMEMILL_FFMPEG__FFMPEG", &ffmpeg)])
            .ends(2)
            .says(says)
            .says("mend");
    }
}

fn executable(path: &Path) {
    assert!(Command::new("chmod").arg("+x").arg(path).status().unwrap().success());
}
