//! Manifests against files that were read by people and judged by players' own parsers. After a
//! wanted change: `FRAMEMILL_GOLDEN=write cargo test -p framemill-packager --test golden`.
#![allow(clippy::unwrap_used)]

mod support;

use std::{env, fs, path::Path};

use framemill_packager::{dash, hls, title::Title};

fn compare(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if env::var("FRAMEMILL_GOLDEN").as_deref() == Ok("write") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let found = String::from_utf8(bytes.to_vec()).unwrap();
    for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "{name}, line {}", line + 1);
    }
    assert_eq!(found, expected, "{name}");
}

fn whole(folder: &str, title: &Title) {
    let compare = |name: &str, bytes: &[u8]| compare(&format!("{folder}/{name}"), bytes);
    compare("master.m3u8", hls::master(title, "").as_bytes());
    compare("g1.m3u8", hls::master(title, &title.entry_prefix()).as_bytes());
    compare("manifest.mpd", &dash::mpd(title, ""));
    compare("g1.mpd", &dash::mpd(title, &title.entry_prefix()));
    for (rendition, track) in title.pictures() {
        let name = &rendition.name;
        compare(&hls::video_playlist(name), hls::media(name, track, title.target_duration_s()).as_bytes());
        compare(&hls::iframe_playlist(name), hls::iframes(name, track).as_bytes());
    }
    for (rendition, track) in title.sounds() {
        let name = &rendition.name;
        compare(&hls::audio_playlist(name), hls::media(name, track, title.target_duration_s()).as_bytes());
    }
}

#[test]
fn everything_a_title_may_have() {
    whole("full", &support::full());
}

#[test]
fn a_short_picture_without_sound() {
    whole("silent", &support::silent());
}
