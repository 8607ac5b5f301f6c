//! Deliberately broken titles: each change to a good one must be found, under its code. A check
//! that no change sets off proves nothing, so the last test counts them.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use framemill_media::boxes::{InitFacts, SegmentFacts, TrackKind};
use framemill_packager::{
    check::{Findings, bitrate, code, expected, manifest, rendition, segment},
    dash, hls,
    title::Title,
};
use framemill_schemas::{
    finding::Finding,
    index::{RenditionPart, SegmentIndex},
    spec::{AudioSpec, TranscodeSpec},
};
use support::{FOLDER, chunk_of, full, silent, sound_of};

fn codes(findings: Findings) -> BTreeSet<String> {
    findings.into_vec().into_iter().map(|finding: Finding| finding.code).collect()
}

/// The manifests of a title by key, as the package job stores them.
fn manifests(title: &Title) -> Vec<(String, Vec<u8>)> {
    let target_s = title.target_duration_s();
    manifest::Manifest::all(title)
        .into_iter()
        .map(|(key, kind)| {
            use manifest::Manifest as M;
            let video = |n: usize| (title.spec.video[n].name.as_str(), &title.video[n]);
            let audio = |n: usize| (title.spec.audio[n].name.as_str(), &title.audio[n]);
            let bytes = match kind {
                M::Master => hls::master(title, "").into(),
                M::EntryMaster => hls::master(title, &title.entry_prefix()).into(),
                M::Mpd => dash::mpd(title, ""),
                M::EntryMpd => dash::mpd(title, &title.entry_prefix()),
                M::Video(n) => hls::media(video(n).0, video(n).1, target_s).into(),
                M::Iframes(n) => hls::iframes(video(n).0, video(n).1).into(),
                M::Audio(n) => hls::media(audio(n).0, audio(n).1, target_s).into(),
            };
            (key, bytes)
        })
        .collect()
}

/// Everything that judges a whole title, on its indexes and on `manifests`.
fn judge(title: &Title, manifests: &[(String, Vec<u8>)]) -> BTreeSet<String> {
    let mut findings = Findings::default();
    rendition::whole(title, &mut findings);
    bitrate::averages(title, &mut findings);
    manifest::listed(title, manifests.iter().map(|(key, _)| key.as_str()), &mut findings);
    let expected = manifest::Manifest::all(title);
    for (key, bytes) in manifests {
        if let Some(kind) = expected.get(key) {
            kind.check(bytes, key, title, &mut findings);
        }
    }
    codes(findings)
}

#[test]
fn good_titles_have_no_findings() {
    for title in [full(), silent()] {
        let found = judge(&title, &manifests(&title));
        assert_eq!(found, BTreeSet::new());
    }
}

type Index = (&'static str, fn(&mut Title), &'static str);

/// Changes to indexes; manifests are written from the changed ones.
const INDEXES: &[Index] = &[
    ("a segment is missing", |t| drop(t.video[0].segments.remove(3)), code::NUMBERING),
    (
        "a segment is there twice",
        |t| {
            let twin = t.video[1].segments[2].clone();
            t.video[1].segments.insert(2, twin);
        },
        code::NUMBERING,
    ),
    ("numbers start at 2", |t| t.audio[1].segments.iter_mut().for_each(|s| s.number += 1), code::NUMBERING),
    ("a segment starts late", |t| t.video[0].segments[4].start_ticks += 1, code::CONTINUITY),
    ("the picture starts late", |t| t.video[2].segments.iter_mut().for_each(|s| s.start_ticks += 9), code::CONTINUITY),
    ("a frame is missing", |t| t.video[2].segments[0].samples -= 1, code::FRAME_COUNT),
    ("the timescale is another", |t| t.video[0].facts.timescale = 90_000, code::INIT_FACTS),
    (
        "a keyframe lies elsewhere",
        |t| {
            t.video[3].segments[1].keyframes[0].duration_ticks -= 1001;
            t.video[3].segments[1].keyframes[1].duration_ticks += 1001;
        },
        code::KEYFRAME_ALIGNMENT,
    ),
    (
        "a rendition has more keyframes",
        |t| {
            let extra = t.video[1].segments[0].keyframes[1];
            t.video[1].segments[0].keyframes.push(extra);
        },
        code::KEYFRAME_ALIGNMENT,
    ),
    ("the sound has no segment", |t| t.audio[0].segments.clear(), code::AUDIO_PRESENT),
    (
        "the sound ends two frames early",
        |t| {
            let last = t.audio[0].segments.last_mut().unwrap();
            last.duration_ticks -= 2048;
            last.samples -= 2;
        },
        code::AUDIO_LENGTH,
    ),
    (
        "the sound starts late",
        |t| t.audio[0].segments.iter_mut().for_each(|s| s.start_ticks += 1024),
        code::AUDIO_LENGTH,
    ),
    ("twice the bitrate", |t| t.spec.video[0].bitrate_kbps = Some(600), code::BITRATE),
    ("twice the bitrate of sound", |t| t.spec.audio[1].bitrate_kbps = 64, code::BITRATE),
];

#[test]
fn broken_indexes_are_found() {
    for (what, spoil, code) in INDEXES {
        let mut title = full();
        spoil(&mut title);
        let found = judge(&title, &manifests(&title));
        assert!(found.contains(*code), "{what}: {found:?}");
    }
}

type Manifest = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// Changes to the text of manifests: what, in which, what is replaced by what, code.
const MANIFESTS: &[Manifest] = &[
    ("no playlist at all", "master.m3u8", "#EXTM3U\n", "", code::MANIFEST_SYNTAX),
    ("text instead of a playlist", "video-480p.m3u8", "#EXTM3U", "hello", code::MANIFEST_SYNTAX),
    ("an MPD that breaks off", "manifest.mpd", "</AdaptationSet>", "", code::MANIFEST_SYNTAX),
    ("a document type", "g1-0a1b2c3d.mpd", "<MPD ", "<!DOCTYPE MPD SYSTEM \"x\"><MPD ", code::MANIFEST_SYNTAX),
    ("millions of segments", "manifest.mpd", "r=\"7\"", "r=\"4000000000\"", code::MANIFEST_SYNTAX),
    ("not independent", "master.m3u8", "#EXT-X-INDEPENDENT-SEGMENTS\n", "", code::MANIFEST_RULE),
    ("not independent", "video-480p.m3u8", "#EXT-X-INDEPENDENT-SEGMENTS\n", "", code::MANIFEST_RULE),
    ("too low a version", "video-480p.m3u8", "VERSION:6", "VERSION:3", code::MANIFEST_RULE),
    ("an event", "video-480p.m3u8", "TYPE:VOD", "TYPE:EVENT", code::MANIFEST_RULE),
    ("numbers from elsewhere", "audio-stereo-0.m3u8", "SEQUENCE:1", "SEQUENCE:2", code::MANIFEST_RULE),
    ("no I-frames only", "iframe-480p.m3u8", "#EXT-X-I-FRAMES-ONLY\n", "", code::MANIFEST_RULE),
    ("two of one name", "master.m3u8", "NAME=\"Norsk 'tale' & <mer>\"", "NAME=\"English\"", code::MANIFEST_RULE),
    ("two defaults", "master.m3u8", "DEFAULT=NO", "DEFAULT=YES", code::MANIFEST_RULE),
    ("no language", "master.m3u8", "LANGUAGE=\"no\",", "", code::MANIFEST_RULE),
    ("other channels", "master.m3u8", "CHANNELS=\"6\"", "CHANNELS=\"2\"", code::MANIFEST_RULE),
    ("a group that is not there", "master.m3u8", "AUDIO=\"audio-surround\"", "AUDIO=\"x\"", code::MANIFEST_RULE),
    ("live", "manifest.mpd", "type=\"static\"", "type=\"dynamic\"", code::MANIFEST_RULE),
    ("not aligned", "manifest.mpd", "segmentAlignment=\"true\"", "segmentAlignment=\"false\"", code::MANIFEST_RULE),
    ("no language", "manifest.mpd", " lang=\"no\"", "", code::MANIFEST_RULE),
    (
        "a variant that leads nowhere",
        "g1-0a1b2c3d.m3u8",
        "g1-0a1b2c3d/video-720p.m3u8",
        "video-720p.m3u8",
        code::MANIFEST_URI,
    ),
    ("a variant of elsewhere", "master.m3u8", "\nvideo-720p.m3u8", "\nhttp://h/video-720p.m3u8", code::MANIFEST_URI),
    ("a variant twice", "master.m3u8", "\nvideo-720p.m3u8", "\nvideo-480p.m3u8", code::MANIFEST_URI),
    ("I-frames that are not there", "master.m3u8", "iframe-480p", "iframe-360p", code::MANIFEST_URI),
    ("a sound that is not there", "master.m3u8", "audio-stereo-1.m3u8", "audio-stereo-2.m3u8", code::MANIFEST_URI),
    ("another segment", "video-480p.m3u8", "480p/2.m4s", "480p/3.m4s", code::MANIFEST_URI),
    ("a segment above the folder", "video-480p.m3u8", "480p/2.m4s", "../480p/2.m4s", code::MANIFEST_URI),
    ("a segment that is missing", "video-480p.m3u8", "480p/9.m4s\n", "", code::MANIFEST_URI),
    ("another init", "video-480p.m3u8", "480p/init.mp4", "720p/init.mp4", code::MANIFEST_URI),
    ("an unknown representation", "manifest.mpd", "id=\"480p\"", "id=\"360p\"", code::MANIFEST_URI),
    (
        "another template",
        "g1-0a1b2c3d.mpd",
        "g1-0a1b2c3d/$RepresentationID$/$Number$",
        "$RepresentationID$/$Number$",
        code::MANIFEST_URI,
    ),
    ("another number", "manifest.mpd", "startNumber=\"1\"", "startNumber=\"0\"", code::MANIFEST_URI),
    (
        "a length a microsecond off",
        "audio-stereo-0.m3u8",
        "EXTINF:4.010666",
        "EXTINF:4.010667",
        code::MANIFEST_DURATION,
    ),
    ("a length that is no number", "video-480p.m3u8", "EXTINF:4.004000", "EXTINF:4e0", code::MANIFEST_DURATION),
    ("another whole", "manifest.mpd", "PT33.366667S", "PT33.366666S", code::MANIFEST_DURATION),
    ("another timeline", "manifest.mpd", "d=\"40040\"", "d=\"40041\"", code::MANIFEST_DURATION),
    ("another timescale", "manifest.mpd", "timescale=\"30000\"", "timescale=\"30001\"", code::MANIFEST_DURATION),
    ("too low a target", "video-480p.m3u8", "TARGETDURATION:4", "TARGETDURATION:3", code::TARGET_DURATION),
    ("too low a target", "iframe-480p.m3u8", "TARGETDURATION:2", "TARGETDURATION:1", code::TARGET_DURATION),
    ("a target of its own", "video-720p.m3u8", "TARGETDURATION:4", "TARGETDURATION:5", code::TARGET_DURATION),
    ("no end", "video-480p.m3u8", "#EXT-X-ENDLIST\n", "", code::ENDLIST),
    ("no end", "iframe-480p.m3u8", "#EXT-X-ENDLIST\n", "", code::ENDLIST),
    ("another codec", "master.m3u8", "avc1.64001f", "avc1.640028", code::CODECS),
    ("no codec of the sound", "g1-0a1b2c3d.m3u8", ",mp4a.40.2", "", code::CODECS),
    ("another codec", "manifest.mpd", "mp4a.40.2", "mp4a.40.5", code::CODECS),
    ("another size", "master.m3u8", "RESOLUTION=854x480", "RESOLUTION=852x480", code::PICTURE_FORMAT),
    ("another size", "manifest.mpd", " width=\"854\"", " width=\"852\"", code::PICTURE_FORMAT),
    ("another rate", "master.m3u8", "RATE=29.970", "RATE=30.000", code::PICTURE_FORMAT),
    ("another rate", "manifest.mpd", "30000/1001", "30", code::PICTURE_FORMAT),
    ("a bandwidth too low", "master.m3u8", "BANDWIDTH=1529195", "BANDWIDTH=1529194", code::BANDWIDTH),
    ("no average", "master.m3u8", ",AVERAGE-BANDWIDTH=1287127", "", code::BANDWIDTH),
    ("a bandwidth too low", "manifest.mpd", "bandwidth=\"3451000\"", "bandwidth=\"3450999\"", code::BANDWIDTH),
    ("a range outside", "iframe-480p.m3u8", "65377@261511", "65377@361511", code::BYTERANGE),
    ("a range of another", "iframe-480p.m3u8", "65377@261511", "65377@0", code::BYTERANGE),
    (
        "a range where none is",
        "video-480p.m3u8",
        "#EXTINF:4.004000,\n",
        "#EXTINF:4.004000,\n#EXT-X-BYTERANGE:9@0\n",
        code::BYTERANGE,
    ),
    ("too short a buffer", "manifest.mpd", "minBufferTime=\"PT4.011S\"", "minBufferTime=\"PT4S\"", code::MIN_BUFFER),
];

#[test]
fn broken_manifests_are_found() {
    let title = full();
    let good = manifests(&title);
    for (what, name, from, to, code) in MANIFESTS {
        let mut manifests = good.clone();
        let (_, bytes) = manifests.iter_mut().find(|(key, _)| key.ends_with(&format!("/{name}"))).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains(from), "{what}: {name} has no {from:?}");
        *bytes = text.replacen(from, to, 1).into_bytes();
        let found = judge(&title, &manifests);
        assert!(found.contains(*code), "{what} in {name}: {found:?}");
    }
}

#[test]
fn a_manifest_that_was_not_made_is_found() {
    let title = full();
    let mut manifests = manifests(&title);
    manifests.pop();
    manifests.push((format!("{FOLDER}/video-extra.m3u8"), Vec::new()));
    let found = judge(&title, &manifests);
    assert_eq!(found, BTreeSet::from([code::MANIFEST_URI.to_owned()]));
}

/// A picture part as its validation sees it.
struct Part {
    chunk: TranscodeSpec,
    segments: Vec<SegmentIndex>,
    facts: Vec<SegmentFacts>,
    init: InitFacts,
}

fn part() -> Part {
    let title = full();
    let chunk = chunk_of(&title, 240, 480);
    let segments = title.video[0].segments[2..4].to_vec();
    let facts = segments
        .iter()
        .zip((9..).step_by(2))
        .map(|(s, sequence)| SegmentFacts {
            sequence,
            start_ticks: s.start_ticks,
            duration_ticks: s.duration_ticks,
            samples: s.samples,
            keyframes: s.keyframes.clone(),
            first_is_sync: true,
        })
        .collect();
    Part { chunk, segments, facts, init: title.video[0].facts.clone() }
}

fn judge_part(part: &Part) -> BTreeSet<String> {
    let mut findings = Findings::default();
    let expected = expected::of_chunk(&part.chunk);
    let wanted = InitFacts { codecs: "avc1".to_owned(), ..self::part().init };
    segment::init(&part.init, &wanted, "init", &mut findings);
    segment::numbers(&part.segments, &expected, "480p", &mut findings);
    rendition::follows(&part.segments, expected[0].number, "480p", &mut findings);
    let mut before = None;
    for ((index, facts), expected) in part.segments.iter().zip(&part.facts).zip(&expected) {
        segment::boxes(facts, index, "480p", &mut findings);
        segment::plan(index, expected, "480p", &mut findings);
        segment::keyframes(index, &part.chunk, "480p", &mut findings);
        segment::sequence(facts.sequence, before, "480p", &mut findings);
        before = Some(facts.sequence);
    }
    codes(findings)
}

type PartChange = (&'static str, fn(&mut Part), &'static str);

const PARTS: &[PartChange] = &[
    ("boxes tell another start", |p| p.facts[0].start_ticks += 1, code::SEGMENT_INDEX),
    ("boxes tell another length", |p| p.facts[1].duration_ticks += 1, code::SEGMENT_INDEX),
    ("boxes tell fewer samples", |p| p.facts[1].samples -= 1, code::SEGMENT_INDEX),
    ("boxes tell other keyframes", |p| p.facts[1].keyframes[1].offset += 1, code::SEGMENT_INDEX),
    ("the first picture needs others", |p| p.facts[0].first_is_sync = false, code::FIRST_SYNC),
    ("fragment numbers start again", |p| p.facts[1].sequence = 1, code::SEQUENCE),
    ("a segment is missing", |p| drop(p.segments.remove(1)), code::NUMBERING),
    ("a segment of another chunk", |p| p.segments[0].number = 9, code::NUMBERING),
    ("a frame is missing", |p| p.segments[0].samples -= 1, code::FRAME_COUNT),
    ("a segment at another time", |p| p.segments[0].start_ticks -= 1001, code::SEGMENT_TIME),
    ("a hole", |p| p.segments[1].start_ticks += 1001, code::CONTINUITY),
    ("groups of another length", |p| p.chunk.gop_frames = 30, code::KEYFRAME_INTERVAL),
    ("another codec", |p| p.init.codecs = "hev1.1.6.L93.90".to_owned(), code::INIT_FACTS),
    ("another size", |p| p.init.kind = TrackKind::Video { width: 852, height: 480 }, code::INIT_FACTS),
    ("another timescale", |p| p.init.timescale = 90_000, code::INIT_FACTS),
];

#[test]
fn broken_parts_are_found() {
    assert_eq!(judge_part(&part()), BTreeSet::new());
    for (what, spoil, code) in PARTS {
        let mut part = part();
        spoil(&mut part);
        let found = judge_part(&part);
        assert!(found.contains(*code), "{what}: {found:?}");
    }
}

#[test]
fn an_init_that_changes_is_found() {
    let title = full();
    let of = |segments: &[SegmentIndex], digest: &str| {
        let mut init = title.video[0].init.clone();
        init.digest = digest.to_owned();
        RenditionPart { rendition: "480p".to_owned(), init, segments: segments.to_vec() }
    };
    let (first, second) = title.video[0].segments.split_at(4);
    for (digest, expected) in [("a", vec![]), ("b", vec![code::INIT_SHARED.to_owned()])] {
        let mut findings = Findings::default();
        rendition::one_init(&[of(first, "a"), of(second, digest)], "480p", &mut findings);
        assert_eq!(Vec::from_iter(codes(findings)), expected);
    }
}

/// The plan of sound, told from the picture's grid, is what a cutter makes.
#[test]
fn sound_is_planned_on_its_own_frames() {
    let title = full();
    let spec: AudioSpec = sound_of(&title);
    let track = &title.audio[1];
    let frames = track.segments.iter().map(|segment| segment.samples).sum();
    let expected = expected::of_sound(&spec, frames);
    let mut findings = Findings::default();
    segment::numbers(&track.segments, &expected, "stereo-0", &mut findings);
    for (index, expected) in track.segments.iter().zip(&expected) {
        segment::plan(index, expected, "stereo-0", &mut findings);
    }
    rendition::audio_length(&track.segments, title.spec.grid.duration_ticks(48_000), "stereo-0", &mut findings);
    assert_eq!(codes(findings), BTreeSet::new());
}

/// Every code but those that only a store or a decoder can set off (see `tests/farm.rs`) fails
/// at least once above.
#[test]
fn every_check_has_failed() {
    let elsewhere = [code::OBJECT_MISSING, code::OBJECT_DIGEST, code::BOXES, code::DECODE, code::DECODED_FRAMES];
    let mut failed: BTreeSet<&str> = BTreeSet::from([code::INIT_SHARED]);
    failed.extend(INDEXES.iter().map(|case| case.2));
    failed.extend(MANIFESTS.iter().map(|case| case.4));
    failed.extend(PARTS.iter().map(|case| case.2));
    failed.extend(elsewhere);
    let all: BTreeSet<&str> =
        [code::OF_VIDEO_PART, code::OF_AUDIO_PART, code::OF_WHOLE].into_iter().flatten().copied().collect();
    assert_eq!(failed, all);
}
