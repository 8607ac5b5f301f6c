use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    chain::{HOLE_MAX, Logged},
    dash::Manifest,
    hls::Playlist,
    sample::{FIRST, commits, edition, facts_of, stage, timeline, timelines},
    stage::Stage,
    target::target_duration_s,
    window::{suffix, window_ms},
};

/// What is shown, a letter each from the first number on: upper case after a break.
fn letters(stage: &Stage) -> String {
    let mut breaks = None;
    let letter = |entry: &super::chain::Entry| {
        let letter = match &entry.mark.media {
            _ if entry.mark.gap => '-',
            Some(media) if media.filler => 'f',
            Some(media) if media.inits[0].ends_with('b') => 'i',
            _ => 's',
        };
        let broken = breaks.replace(entry.mark.breaks).is_some_and(|breaks| breaks != entry.mark.breaks);
        match (broken, letter) {
            (true, '-') => '=',
            (true, letter) => letter.to_ascii_uppercase(),
            (false, letter) => letter,
        }
    };
    stage.entries().iter().map(letter).collect()
}

#[test]
fn what_is_waited_for_holds_back_what_comes_after() {
    for (committed, shown, awaited, beyond) in [
        ("", "", None, None),
        ("sss", "sss", Some(3), None),
        ("ss s", "ss", Some(2), Some(3)),
        (" s", "", Some(0), Some(1)),
        ("s-s", "s-s", Some(3), None),
        ("s--fs", "s--FS", Some(5), None),
        ("sis", "sIS", Some(3), None),
        ("-s-", "-s-", Some(3), None),
    ] {
        let stage = stage(committed);
        assert_eq!(letters(&stage), shown, "{committed:?}");
        assert_eq!(stage.awaited().map(|(number, _)| number - FIRST), awaited, "{committed:?}");
        assert_eq!(stage.beyond().map(|number| number - FIRST), beyond, "{committed:?}");
    }
}

#[test]
fn a_time_off_cuts_the_past_off() {
    let mut stage = stage("sss");
    stage.commit(commits(1, FIRST + 3 + HOLE_MAX, "s"));
    assert_eq!(letters(&stage), "sss");
    let mut stage = Stage::new(timelines(vec![timeline(1, FIRST)]), Vec::new());
    stage.commit(commits(1, FIRST, "sss").into_iter().chain(commits(1, FIRST + 4 + HOLE_MAX, "ss")));
    assert_eq!(letters(&stage), "sssSs");
    let shown = suffix(stage.entries(), u64::MAX);
    assert_eq!((shown.len(), shown[0].mark.breaks), (2, 1));
}

#[test]
fn a_newer_timeline_cuts_an_older_one_off() {
    let both = timelines(vec![timeline(1, FIRST), timeline(2, FIRST + 3)]);
    let mut stage = Stage::new(both, Vec::new());
    // The fourth number was committed by a replica that had not heard of the new timeline.
    stage.commit(commits(1, FIRST, "ssss").into_iter().chain(commits(2, FIRST + 4, "ss")));
    assert_eq!(letters(&stage), "sss=ss");
    // A number of a timeline that is not known yet is waited for.
    stage.commit(commits(3, FIRST + 6, "s").into_iter().chain(commits(3, FIRST + 7, "s")));
    assert_eq!(letters(&stage), "sss=ss");
    assert_eq!(stage.awaited(), None);
    stage.follow(timelines(vec![timeline(1, FIRST), timeline(2, FIRST + 3), timeline(3, FIRST + 6)]));
    assert_eq!(letters(&stage), "sss=ssSs");
}

#[test]
fn a_playlist_is_never_too_short_to_play() {
    let stage = stage(&"s".repeat(100));
    for (window_s, expected) in [(12, 4), (16, 4), (19, 4), (20, 5), (60, 15)] {
        let shown = suffix(stage.entries(), window_ms(&edition(window_s, 0), stage.known()));
        assert_eq!(shown.len(), expected, "{window_s}");
    }
    assert_eq!(target_duration_s(stage.known()), 4);
}

/// Commits of a channel whose timeline changes after some of them.
fn channel(letters: &[u8], change: usize) -> (Vec<Logged>, framemill_schemas::live::Timelines) {
    let text: String = letters.iter().map(|n| ['s', 's', 's', 's', 'i', 'f', '-'][usize::from(*n)]).collect();
    let change = change.min(text.len());
    let (old, new) = text.split_at(change);
    let first = FIRST + change as u64;
    let logged = commits(1, FIRST, old).into_iter().chain(commits(2, first, new)).collect();
    (logged, timelines(vec![timeline(1, FIRST), timeline(2, first)]))
}

/// The playlist and the MPD as they are now.
fn written(stage: &Stage) -> (String, Option<Vec<u8>>) {
    let edition = edition(40, 0);
    let shown = suffix(stage.entries(), window_ms(&edition, stage.known()));
    let facts = facts_of(shown);
    let playlist = Playlist { rendition: "360p", prefix: "", target_s: 4, ended: false }.write(shown);
    let manifest = Manifest { name: "manifest.mpd", depth_ms: 40_000, ended: false, facts: &facts };
    (playlist, manifest.write(shown))
}

fn tag(text: &str, tag: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(tag)).unwrap().parse().unwrap()
}

/// Each number with all that is said of it, and its discontinuity number.
fn entries(text: &str) -> BTreeMap<u64, (String, u64)> {
    let (mut number, mut breaks) = (tag(text, "#EXT-X-MEDIA-SEQUENCE:"), tag(text, "#EXT-X-DISCONTINUITY-SEQUENCE:"));
    let mut found = BTreeMap::new();
    let mut said = String::new();
    for line in text.lines() {
        match line {
            "#EXT-X-DISCONTINUITY" => breaks += 1,
            "#EXT-X-GAP" => said += "gap ",
            _ if line.starts_with("#EXTINF") => said += line,
            _ if line.starts_with('#') => {}
            address => {
                found.insert(number, (std::mem::take(&mut said) + address, breaks));
                number += 1;
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_commits_gives_the_same_bytes(
        what in prop::collection::vec(0_u8..7, 1..60), change in 0_usize..60, seed in prop::collection::vec(any::<u32>(), 60),
        late in any::<bool>(),
    ) {
        let (logged, known) = channel(&what, change);
        let mut in_order = Stage::new(known.clone(), Vec::new());
        in_order.commit(logged.clone());
        // What comes out of order does so by less than what is taken for a time off.
        let late_by = |n: usize, seed: u32| n as u64 + u64::from(seed) % HOLE_MAX;
        let mut shuffled: Vec<_> = logged.into_iter().zip(seed).enumerate().collect();
        shuffled.sort_by_key(|(n, (_, seed))| late_by(*n, *seed));
        let begin = if late { timelines(vec![known.all[0].clone()]) } else { known.clone() };
        let mut one_by_one = Stage::new(begin, Vec::new());
        for (n, (_, (logged, _))) in shuffled.into_iter().enumerate() {
            one_by_one.commit([logged]);
            if n == 10 {
                one_by_one.follow(known.clone());
            }
            // On the way nothing is shown that is not there in the end.
            let shown = one_by_one.entries();
            prop_assert_eq!(shown, &in_order.entries()[..shown.len()]);
        }
        one_by_one.follow(known);
        prop_assert_eq!(written(&one_by_one), written(&in_order));
    }

    #[test]
    fn playlists_only_move_forwards(what in prop::collection::vec(0_u8..7, 2..80), change in 0_usize..80) {
        let (logged, known) = channel(&what, change);
        let mut stage = Stage::new(known, Vec::new());
        let mut before: Option<String> = None;
        for logged in logged {
            stage.commit([logged]);
            let (text, _) = written(&stage);
            if let Some(before) = before {
                for name in ["#EXT-X-MEDIA-SEQUENCE:", "#EXT-X-DISCONTINUITY-SEQUENCE:"] {
                    prop_assert!(tag(&before, name) <= tag(&text, name));
                }
                let (old, new) = (entries(&before), entries(&text));
                prop_assert_eq!(new.keys().max().copied(), old.keys().max().map(|n| n + 1));
                for (number, said) in &new {
                    if let Some(said_before) = old.get(number) {
                        prop_assert_eq!(said, said_before);
                    }
                }
            }
            before = Some(text);
        }
    }

    #[test]
    fn a_period_keeps_its_start_and_its_numbers_their_times(
        what in prop::collection::vec(0_u8..7, 2..60), change in 0_usize..60,
    ) {
        let (logged, known) = channel(&what, change);
        let mut stage = Stage::new(known, Vec::new());
        let mut starts: BTreeMap<String, String> = BTreeMap::new();
        for logged in logged {
            stage.commit([logged]);
            let Some(mpd) = written(&stage).1 else { continue };
            let text = String::from_utf8(mpd).unwrap();
            for period in text.split("<Period id=\"").skip(1) {
                let (id, rest) = period.split_once('"').unwrap();
                let offset = rest.split("presentationTimeOffset=\"").nth(1).unwrap().split('"').next().unwrap();
                let said = format!("{} {offset}", rest.split('>').next().unwrap());
                prop_assert_eq!(starts.entry(id.to_owned()).or_insert_with(|| said.clone()).clone(), said);
            }
        }
    }
}
