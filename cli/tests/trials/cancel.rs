//! A title that is cancelled in the middle: its ffmpegs are stopped at once, and what was made of it
//! leaves the store.

use std::{path::Path, time::Instant};

use crate::support::{
    Place, SMALL_LADDER, clip, processes_with,
    up::{asset, is_ready, submit, up},
    wait,
};

/// Objects of a title in the store of `up`.
fn objects(folder: &Path, id: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(objects(&path, id));
        } else if path.display().to_string().contains(id) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn cancelling_stops_what_runs_and_removes_what_was_made() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 120, "640x360");
    // Segments are stored early, and the rest takes long.
    place.write("ladder.yaml", SMALL_LADDER.replace("ultrafast", "veryslow").replace("height: 180", "height: 360"));
    let (farm, api, health) = up(&place, "data");
    wait("ready", 20, || is_ready(&health));
    let id = submit(&place, &api, "clip.mp4", "./ladder.yaml");
    let store = place.path().join("data").join("s3");
    // Encodes, told from others by their output; the farm's own processes have no such folder.
    let parent = farm.0.id().to_string();
    let encodes = || {
        let ours = |line: &String| {
            let pid = line.split(':').next().unwrap_or_default();
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.split(' ').nth(1) == Some(parent.as_str()))
        };
        processes_with("libx264").into_iter().filter(ours).count()
    };
    wait("segments, and an ffmpeg that makes more", 120, || {
        (encodes() > 0 && objects(&store, &id).iter().any(|path| path.contains(".m4s"))).then_some(())
    });

    let begun = Instant::now();
    place.run(&["asset", "cancel", &id, "--api", &format!("http://{api}")]).ends(0);
    let answered = begun.elapsed();
    wait("no ffmpeg of it", 30, || (encodes() == 0).then_some(()));
    eprintln!("cancel: answered after {answered:?}, no ffmpeg left after {:?} (wanted: 2 s)", begun.elapsed());
    assert_eq!(asset(&api, &id)["state"], "cancelled");

    wait("no object left", 180, || objects(&store, &id).is_empty().then_some(()));
    eprintln!("cancel: no object left after {:?}", begun.elapsed());
    // Nothing comes back: no job of it waits or runs.
    let jobs = crate::support::separate::jobs(&api, &id);
    assert!(!jobs.is_empty());
    for job in &jobs {
        assert!(["cancelled", "done"].contains(&job["state"].as_str().unwrap()), "{job}");
    }
    assert_eq!(encodes(), 0);
}
