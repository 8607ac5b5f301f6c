//! Whatever the title, its manifests are the same every time, read back as its indexes, and leave
//! its own validation nothing to find.
#![allow(clippy::unwrap_used)]

mod support;

use framemill_packager::{
    check::{Findings, manifest, rendition},
    dash, decimal, hls,
    title::Title,
};
use framemill_schemas::object::{entry_mpd, entry_playlist};
use proptest::prelude::*;
use support::{A720, H720, P480, P720, STEREO, STEREO_NORWEGIAN, SURROUND, title};

const RATES: [(u32, u32); 8] =
    [(25, 1), (30_000, 1001), (24_000, 1001), (50, 1), (60_000, 1001), (60, 1), (30, 1), (7, 1)];

fn any_title() -> impl Strategy<Value = Title> {
    let shape = (0..RATES.len(), 1_u64..4000, 1_u32..80, 1_u32..5, 0_usize..4, 0_usize..4);
    (shape, proptest::collection::vec(50_u64..150, 1..20)).prop_map(
        |((rate, frames, gop, groups, pictures, sounds), percents)| {
            let pictures = &[P480, P720, H720, A720][..=pictures];
            let sounds = &[STEREO, STEREO_NORWEGIAN, SURROUND][..sounds];
            // Segments shorter than two AAC frames would leave some of them without sound.
            let gop = gop.max(RATES[rate].0 / RATES[rate].1 / 10 + 1);
            let vary = |number: u64| percents[number as usize % percents.len()];
            title(RATES[rate], frames, (gop * groups, gop), pictures, sounds, vary)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_same_title_gives_the_same_bytes(title in any_title()) {
        let again = title.clone();
        prop_assert_eq!(hls::master(&title, "x/"), hls::master(&again, "x/"));
        prop_assert_eq!(dash::mpd(&title, ""), dash::mpd(&again, ""));
    }

    #[test]
    fn playlists_read_back_as_the_index(title in any_title()) {
        let target_s = title.target_duration_s();
        for (name, track) in title.tracks() {
            let text = hls::media(name, track, target_s);
            let playlist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
            prop_assert!(playlist.end_list);
            prop_assert_eq!(playlist.segments.len(), track.segments.len());
            let lengths: Vec<u64> = text
                .lines()
                .filter_map(|line| decimal::read_seconds(line.strip_prefix("#EXTINF:")?.strip_suffix(',')?))
                .collect();
            let last = track.segments.last().unwrap();
            prop_assert_eq!(
                lengths.iter().sum::<u64>(),
                decimal::micros(last.start_ticks + last.duration_ticks, track.facts.timescale)
            );
            for ((found, index), length) in playlist.segments.iter().zip(&track.segments).zip(lengths) {
                prop_assert_eq!(format!("{}/{}", title.spec.folder, found.uri), index.object.key.clone());
                let exact = decimal::micros(index.duration_ticks, track.facts.timescale);
                prop_assert!(exact.abs_diff(length) <= 1);
                prop_assert!((length + 500_000) / 1_000_000 <= playlist.target_duration);
            }
        }
    }

    #[test]
    fn validation_finds_nothing_in_what_packaging_writes(title in any_title()) {
        let mut findings = Findings::default();
        rendition::whole(&title, &mut findings);
        let target_s = title.target_duration_s();
        let folder = &title.spec.folder;
        let mut check_key = |key: &str, bytes: &[u8]| {
            manifest::Manifest::all(&title)[key].check(bytes, key, &title, &mut findings);
        };
        check_key(&entry_playlist(folder), hls::master(&title, &title.entry_prefix()).as_bytes());
        check_key(&entry_mpd(folder), &dash::mpd(&title, &title.entry_prefix()));
        let mut check = |name: &str, bytes: &[u8]| check_key(&format!("{folder}/{name}"), bytes);
        check("master.m3u8", hls::master(&title, "").as_bytes());
        check("manifest.mpd", &dash::mpd(&title, ""));
        for (rendition, track) in title.pictures() {
            check(&hls::video_playlist(&rendition.name), hls::media(&rendition.name, track, target_s).as_bytes());
            check(&hls::iframe_playlist(&rendition.name), hls::iframes(&rendition.name, track).as_bytes());
        }
        for (rendition, track) in title.sounds() {
            check(&hls::audio_playlist(&rendition.name), hls::media(&rendition.name, track, target_s).as_bytes());
        }
        prop_assert_eq!(findings.into_vec(), vec![]);
    }
}
