//! What viewers get: every frame of every kind of source, judged and played by others than us.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../../media/tests/support/source.rs"]
#[allow(dead_code, reason = "the media crate's tests use the rest")]
mod source;
mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use source::{HEIGHT, KINDS, expected, generate, numbers};
use support::{
    Place, SMALL_LADDER, clip,
    up::{asset, is_ready, submit, up},
    wait,
};

/// The ffmpeg that makes sources and reads results back.
fn ffmpeg() -> Command {
    let mut command = Command::new(support::ffmpeg());
    command.args(["-nostdin", "-v", "error", "-y"]).stdin(Stdio::null());
    command
}

/// Kinds that are published whole here; the media crate's tests have the rest, chunk by chunk.
const PUBLISHED: [&str; 8] = ["25", "29.97", "23.976", "50", "60", "variable", "mkv-off-grid", "ts-late"];

#[test]
fn every_published_frame_is_the_right_one() {
    let ladder = format!(
        "{{ name: numbers, gop_s: 0.5, segment_s: 1, video: [
            {{ name: top, codec: h264, height: {HEIGHT}, quality: 16, preset: ultrafast }},
            {{ name: low, codec: h264, height: 64, quality: 16, preset: ultrafast }} ] }}"
    );
    for kind in KINDS.iter().filter(|kind| PUBLISHED.contains(&kind.name)) {
        let place = Place::new();
        place.write("ladder.yaml", &ladder);
        let file = place.path().join(format!("source.{}", kind.format));
        generate(kind, &file);
        let tree = place.path().join("out");
        let args = ["run", file.to_str().unwrap(), "--ladder", "./ladder.yaml", "--out", "out", "--json"];
        let ran = place.run(&args).ends(0);
        let line: Value = serde_json::from_str(ran.stdout.trim()).unwrap();
        assert_eq!(line["frames"], expected(kind).len(), "{}", kind.name);
        for rendition in ["top", "low"] {
            assert_eq!(numbers(&joined(&tree, &line, rendition), place.path()), expected(kind), "{}", kind.name);
        }
    }
}

/// A rendition's init and segments.
fn joined(tree: &Path, line: &Value, rendition: &str) -> Vec<u8> {
    let folder = tree.join(line["generation"].as_str().unwrap()).join(rendition);
    let made = line["renditions"].as_array().unwrap().iter().find(|made| made["name"] == rendition).unwrap();
    let segments = made["segments"].as_u64().unwrap();
    let files = std::iter::once("init.mp4".to_owned()).chain((1..=segments).map(|number| format!("{number}.m4s")));
    files.flat_map(|file| std::fs::read(folder.join(file)).unwrap()).collect()
}

/// Two codecs a Linux Chromium decodes, and sound.
const PLAYED: &str = "
name: played
gop_s: 1
segment_s: 2
video:
  - { name: 180p, codec: h264, height: 180, bitrate_kbps: 300, maxrate_kbps: 360, preset: ultrafast }
  - { name: 90p, codec: h264, height: 90, bitrate_kbps: 100, maxrate_kbps: 120, preset: ultrafast }
  - { name: 180p-av1, codec: av1, height: 180, quality: 40, preset: \"12\" }
  - { name: 90p-av1, codec: av1, height: 90, quality: 40, preset: \"12\" }
  - { name: 180p-hevc, codec: hevc, height: 180, quality: 30, preset: ultrafast }
audio:
  - { name: stereo, codec: aac, channels: 2, bitrate_kbps: 96 }
";

#[test]
fn a_published_title_passes_every_judge_and_plays() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 9, "320x180");
    place.write("ladder.yaml", PLAYED);
    place.run(&["run", "clip.mp4", "--ladder", "./ladder.yaml", "--out", "out", "--json"]).ends(0);
    let tree = place.path().join("out").display().to_string();
    judge("judge.mjs", &[&tree]);
    judge("play.mjs", &["--tree", &tree, "hls"]);
    judge("play.mjs", &["--tree", &tree, "dash"]);
}

#[test]
fn a_titles_page_plays_and_tells_what_became_of_it() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 9, "320x180");
    place.write("ladder.yaml", SMALL_LADDER);
    let (_farm, api, health) = up(&place, "data");
    wait("ready", 20, || is_ready(&health));
    let id = submit(&place, &api, "clip.mp4", "./ladder.yaml");
    let done = wait("the title's end", 120, || {
        let title = asset(&api, &id);
        (title["state"] != "accepted").then_some(title)
    });
    assert_eq!(done["state"], "published", "{done}");
    judge("page.mjs", &[&format!("http://{api}/assets/{id}")]);
}

/// Runs an outside judge. One that is not installed, or finds no browser, has judged nothing.
fn judge(script: &str, args: &[&str]) {
    const NOT_RUN: i32 = 77;
    let judges: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/judges");
    if !judges.join("node_modules").exists() {
        eprintln!("not run: {script}: the judges are not installed; run infra/setup --tests");
        return;
    }
    let output = Command::new("node").arg(script).args(args).current_dir(judges).stdin(Stdio::null()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(NOT_RUN) {
        eprintln!("not run: {script}: {}", said.trim());
        return;
    }
    assert!(output.status.success(), "{script} {args:?}: {said}");
}
