//! A published title is damaged behind the farm's back; it is found, and only what is damaged is
//! encoded again. Real ffmpeg, real servers.

use std::{
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{
    Place, SMALL_LADDER, clip,
    up::{asset, is_ready, submit, up},
    wait,
};
use serde_json::Value;

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

/// The file of one object of a generation.
fn stored(data: &Path, generation: &Value, object: &str) -> PathBuf {
    let name = format!("g{}-{}", generation["number"], generation["random"].as_str().unwrap());
    let is_it = |path: &PathBuf| {
        path.to_string_lossy().contains(&name) && path.to_string_lossy().ends_with(&format!("/{object}.obj"))
    };
    files(data).into_iter().find(is_it).unwrap_or_else(|| panic!("{name}/{object} is nowhere in {data:?}"))
}

#[test]
fn a_damaged_title_is_found_and_mended() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 24, "320x180");
    place.write("ladder.yaml", SMALL_LADDER);
    let (_farm, api, health) = up(&place, "data");
    wait("ready", 60, || is_ready(&health));
    let id = submit(&place, &api, "clip.mp4", "./ladder.yaml");
    let done = wait("the title's end", 180, || {
        let title = asset(&api, &id);
        (title["state"] != "accepted").then_some(title)
    });
    assert_eq!(done["state"], "published", "{done}");
    let data = place.path().join("data");
    let address = format!("http://{api}");
    let command = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--api", &address, "--json"]);
        place.run(&all)
    };
    let check = |flags: &[&str]| command(&[&["asset", "check", id.as_str()], flags].concat());
    check(&["--deep"]).ends(0);

    // One segment is gone; another has a byte that is not its own, which no listing shows.
    std::fs::remove_file(stored(&data, &done["generation"], "180p/1.m4s")).unwrap();
    let spoilt = stored(&data, &done["generation"], "90p/12.m4s");
    let mut file = std::fs::File::options().write(true).open(spoilt).unwrap();
    file.seek(SeekFrom::Start(200)).unwrap();
    file.write_all(&[0x5a, 0xa5, 0x5a]).unwrap();
    drop(file);
    let found = |ran: &crate::support::Ran| {
        let report: Value = serde_json::from_str(ran.stdout.trim()).unwrap();
        let findings = report["findings"].as_array().unwrap().iter();
        let mut codes: Vec<_> = findings.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect();
        codes.sort();
        codes
    };
    assert_eq!(found(&check(&[]).ends(1).says("--repair")), ["object-missing"]);
    assert_eq!(found(&check(&["--deep"]).ends(1)), ["object-digest", "object-missing"]);
    check(&["--deep", "--repair", "--watch"]).ends(0);

    let mended = asset(&api, &id);
    assert_eq!((&mended["state"], &mended["generation"]["number"]), (&"published".into(), &2.into()), "{mended}");
    // The jobs of the repair: the first chunk and the last, nothing else.
    let jobs: Value = serde_json::from_str(&command(&["job", "ls", "--asset", &id]).ends(0).stdout).unwrap();
    let jobs = jobs.as_array().unwrap();
    let transcodes: Vec<_> = jobs.iter().filter(|job| job["kind"] == "transcode").collect();
    let chunks = jobs.iter().filter(|job| job["kind"] == "validate").count();
    assert!(chunks > 8, "the title has enough chunks to tell: {chunks}");
    let units: std::collections::BTreeSet<_> = transcodes.iter().map(|job| job["unit"].as_str().unwrap()).collect();
    assert_eq!(transcodes.len(), units.len() + 2, "{units:?}");
    assert!(check(&["--deep"]).ends(0).stdout.contains("passed"));

    // What viewers get is whole, to a strict decoder, from the entry playlist on.
    let playlist = format!("http://{api}/preview/default/{id}/master.m3u8");
    for stream in ["0:v:0", "0:v:1", "0:a:0"] {
        let output = Command::new(crate::support::ffmpeg())
            .args(["-nostdin", "-v", "error", "-xerror", "-err_detect", "explode", "-i", &playlist])
            .args(["-map", stream, "-f", "null", "-"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.trim().is_empty(), "{stream}: {said}");
    }
    // The old generation is kept for those who watch it, and is nobody's garbage yet.
    let garbage: Value = serde_json::from_str(&command(&["gc", "--dry-run"]).ends(0).stdout).unwrap();
    assert_eq!((&garbage["objects_total"], &garbage["held_back"]), (&0.into(), &serde_json::json!([])), "{garbage}");
}
