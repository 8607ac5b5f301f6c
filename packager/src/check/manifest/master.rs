//! The multivariant playlist against the index.

use std::collections::{BTreeMap, BTreeSet};

use framemill_schemas::{
    rate::{Ratio, rescale},
    spec::{AudioRendition, VideoRendition},
};
use m3u8_rs::{AlternativeMedia, MasterPlaylist, VariantStream};

use crate::{
    bitrate::{average, peak, target_duration_s},
    check::{
        Findings, code,
        manifest::{codec_set, resolve},
    },
    hls::{audio_playlist, iframe_playlist, video_playlist},
    title::{Title, Track},
};

/// Checks a multivariant playlist that lies in `folder`: the generation's, or the asset's one up.
pub fn master(bytes: &[u8], at: &str, folder: &str, title: &Title, findings: &mut Findings) {
    let playlist = match m3u8_rs::parse_master_playlist_res(bytes) {
        Ok(playlist) if bytes.starts_with(b"#EXTM3U\n") && !playlist.variants.is_empty() => playlist,
        _ => {
            findings.error(code::MANIFEST_SYNTAX, at, "not a multivariant playlist", "RFC 8216");
            return;
        }
    };
    if !playlist.independent_segments {
        findings.error(code::MANIFEST_RULE, at, "no EXT-X-INDEPENDENT-SEGMENTS", "independent segments");
    }
    let check = Check { at, folder, title, target_s: title.target_duration_s() };
    check.sounds(&playlist, findings);
    check.variants(&playlist, findings);
    check.iframes(&playlist, findings);
}

struct Check<'a> {
    at: &'a str,
    folder: &'a str,
    title: &'a Title,
    target_s: u64,
}

type Picture<'a> = (&'a VideoRendition, &'a Track);
type Sound<'a> = (&'a AudioRendition, &'a Track);

impl<'a> Check<'a> {
    fn key(&self, playlist: &str) -> String {
        format!("{}/{playlist}", self.title.spec.folder)
    }

    fn resolve(&self, uri: &str) -> Option<String> {
        resolve(self.folder, uri)
    }

    /// Which sound an EXT-X-MEDIA tag means.
    fn sound(&self, media: &AlternativeMedia) -> Option<Sound<'a>> {
        let key = self.resolve(media.uri.as_deref()?)?;
        self.title.sounds().find(|(rendition, _)| self.key(&audio_playlist(&rendition.name)) == key)
    }

    /// Every sound rendition is in exactly one group; names differ inside it and one is default.
    fn sounds(&self, playlist: &MasterPlaylist, findings: &mut Findings) {
        let mut seen = BTreeSet::new();
        let mut groups: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>, usize)> = BTreeMap::new();
        for media in &playlist.alternatives {
            let at = format!("{}, sound {:?}", self.at, media.name);
            let Some((rendition, _)) = self.sound(media) else {
                findings.error(code::MANIFEST_URI, at, format!("{:?}", media.uri), "a sound playlist of the title");
                continue;
            };
            if !seen.insert(rendition.name.as_str()) {
                findings.error(code::MANIFEST_URI, &at, format!("{} twice", rendition.name), "once");
            }
            let (names, rungs, defaults) = groups.entry(&media.group_id).or_default();
            if !names.insert(&media.name) {
                findings.error(code::MANIFEST_RULE, &at, "the name of another of its group", "a name of its own");
            }
            rungs.insert(&rendition.rung);
            *defaults += usize::from(media.default);
            if media.language.is_none() || (media.default && !media.autoselect) {
                findings.error(code::MANIFEST_RULE, &at, "no LANGUAGE, or DEFAULT without AUTOSELECT", "both");
            }
            if media.channels.as_deref() != Some(&rendition.channels.to_string()) {
                findings.error(code::MANIFEST_RULE, &at, format!("channels {:?}", media.channels), rendition.channels);
            }
        }
        for (group, (_, rungs, defaults)) in groups {
            let at = format!("{}, group {group}", self.at);
            findings.equal(code::MANIFEST_RULE, &at, format!("{defaults} default"), "1 default".to_owned());
            if rungs.len() != 1 {
                findings.error(code::MANIFEST_RULE, at, format!("sound of rungs {rungs:?}"), "sound of one rung");
            }
        }
        for (rendition, _) in self.title.sounds().filter(|(rendition, _)| !seen.contains(rendition.name.as_str())) {
            findings.error(code::MANIFEST_URI, self.at, "no address of it", audio_playlist(&rendition.name));
        }
    }

    /// Every picture rendition stands with every group once, honestly described.
    fn variants(&self, playlist: &MasterPlaylist, findings: &mut Findings) {
        let mut groups: BTreeMap<&str, Vec<Sound<'_>>> = BTreeMap::new();
        for media in &playlist.alternatives {
            groups.entry(&media.group_id).or_default().extend(self.sound(media));
        }
        let mut seen = BTreeSet::new();
        for variant in playlist.variants.iter().filter(|variant| !variant.is_i_frame) {
            let at = format!("{}, variant {}", self.at, variant.uri);
            let Some(picture) = self.picture(&variant.uri, video_playlist, &at, findings) else { continue };
            let group = variant.audio.as_deref();
            if !seen.insert((picture.0.name.clone(), group.map(str::to_owned))) {
                findings.error(code::MANIFEST_URI, &at, "twice with one group", "once");
            }
            let sounds = match group.map(|group| groups.get(group)) {
                None => &[][..],
                Some(Some(sounds)) => sounds.as_slice(),
                Some(None) => {
                    findings.error(code::MANIFEST_RULE, &at, format!("group {group:?}"), "a group of the playlist");
                    continue;
                }
            };
            self.variant(variant, picture, sounds, &at, findings);
        }
        let expected: BTreeSet<_> = self
            .title
            .pictures()
            .flat_map(|(rendition, _)| {
                let groups = groups.keys().map(|group| Some((*group).to_owned()));
                let groups: Vec<_> = if self.title.audio.is_empty() { vec![None] } else { groups.collect() };
                groups.into_iter().map(move |group| (rendition.name.clone(), group))
            })
            .collect();
        if let Some((name, group)) = expected.symmetric_difference(&seen).next() {
            let words = format!("{name} with group {group:?} missing or too many");
            findings.error(code::MANIFEST_URI, self.at, words, "every picture with every sound group");
        }
    }

    fn picture(&self, uri: &str, name: fn(&str) -> String, at: &str, findings: &mut Findings) -> Option<Picture<'a>> {
        let key = self.resolve(uri);
        let found = self.title.pictures().find(|(rendition, _)| Some(self.key(&name(&rendition.name))) == key);
        if found.is_none() {
            findings.error(code::MANIFEST_URI, at, uri, "a picture playlist of the title");
        }
        found
    }

    fn variant(
        &self,
        variant: &VariantStream,
        (_, track): Picture<'_>,
        sounds: &[Sound<'_>],
        at: &str,
        findings: &mut Findings,
    ) {
        let most = |measure: &dyn Fn(&Track) -> u64| sounds.iter().map(|(_, track)| measure(track)).max().unwrap_or(0);
        let peak_of = |track: &Track| peak(&track.stretches(), self.target_s);
        let average_of = |track: &Track| average(&track.stretches());
        bandwidth(variant, peak_of(track) + most(&peak_of), average_of(track) + most(&average_of), at, findings);
        let inits = std::iter::once(track).chain(sounds.iter().map(|(_, track)| *track));
        codecs(variant, inits.map(|track| track.facts.codecs.as_str()).collect(), at, findings);
        resolution(variant, track, at, findings);
        frame_rate(variant, self.title.spec.rate, at, findings);
    }

    /// Every picture rendition has one I-frame playlist.
    fn iframes(&self, playlist: &MasterPlaylist, findings: &mut Findings) {
        let mut seen = BTreeSet::new();
        for variant in playlist.variants.iter().filter(|variant| variant.is_i_frame) {
            let at = format!("{}, I-frames {}", self.at, variant.uri);
            let Some((rendition, track)) = self.picture(&variant.uri, iframe_playlist, &at, findings) else { continue };
            seen.insert(rendition.name.as_str());
            let keyframes = track.keyframes();
            let target_s = target_duration_s(keyframes.iter().copied());
            bandwidth(variant, peak(&keyframes, target_s), average(&keyframes), &at, findings);
            codecs(variant, BTreeSet::from([track.facts.codecs.as_str()]), &at, findings);
            resolution(variant, track, &at, findings);
        }
        for (rendition, _) in self.title.pictures().filter(|(rendition, _)| !seen.contains(rendition.name.as_str())) {
            findings.error(code::MANIFEST_URI, self.at, "no address of it", iframe_playlist(&rendition.name));
        }
    }
}

fn bandwidth(variant: &VariantStream, peak: u64, average: u64, at: &str, findings: &mut Findings) {
    if (variant.bandwidth, variant.average_bandwidth) != (peak, Some(average)) {
        let declared = variant.average_bandwidth.map_or_else(|| "no average".to_owned(), |bits| bits.to_string());
        findings.error(
            code::BANDWIDTH,
            at,
            format!("{} bit/s at most, {declared} on average", variant.bandwidth),
            format!("{peak} bit/s at most, {average} on average"),
        );
    }
}

fn codecs(variant: &VariantStream, expected: BTreeSet<&str>, at: &str, findings: &mut Findings) {
    let declared = variant.codecs.as_deref().unwrap_or_default();
    if codec_set(declared) != expected {
        findings.error(code::CODECS, at, declared, expected.into_iter().collect::<Vec<_>>().join(","));
    }
}

fn resolution(variant: &VariantStream, track: &Track, at: &str, findings: &mut Findings) {
    let declared = variant.resolution.map(|size| (size.width, size.height));
    let (width, height) = track.size();
    if declared != Some((u64::from(width), u64::from(height))) {
        findings.error(code::PICTURE_FORMAT, at, format!("{declared:?}"), format!("{width}x{height}"));
    }
}

fn frame_rate(variant: &VariantStream, rate: Ratio, at: &str, findings: &mut Findings) {
    // Three digits were written, so thousandths are exact.
    let declared = variant.frame_rate.map(|rate| (rate * 1000.0).round() as i64);
    let expected = rescale(i64::from(rate.num), 1000, u64::from(rate.den));
    if declared != Some(expected) {
        findings.error(
            code::PICTURE_FORMAT,
            at,
            format!("frame rate {declared:?} thousandths"),
            format!("{expected} thousandths"),
        );
    }
}
