//! Manifests, read back with readers of other people and compared with the index.

use std::collections::{BTreeMap, BTreeSet};

use framemill_schemas::object::{MASTER_PLAYLIST, MPD, entry_mpd, entry_playlist};

use crate::{
    check::{Findings, code},
    hls,
    title::Title,
};

pub mod master;
pub mod media;
pub mod mpd;
mod mpd_read;

/// What a manifest of a generation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// The multivariant playlist.
    Master,
    /// The same as it is read one folder up.
    EntryMaster,
    /// The DASH manifest.
    Mpd,
    /// The same as it is read one folder up.
    EntryMpd,
    /// The media playlist of a picture, by its place in the title.
    Video(usize),
    /// The I-frame playlist of a picture.
    Iframes(usize),
    /// The media playlist of a sound.
    Audio(usize),
}

impl Manifest {
    /// Every manifest a title must have, by key.
    pub fn all(title: &Title) -> BTreeMap<String, Self> {
        let folder = &title.spec.folder;
        let mut all = BTreeMap::from([
            (format!("{folder}/{MASTER_PLAYLIST}"), Self::Master),
            (format!("{folder}/{MPD}"), Self::Mpd),
            (entry_playlist(folder), Self::EntryMaster),
            (entry_mpd(folder), Self::EntryMpd),
        ]);
        for (n, rendition) in title.spec.video.iter().enumerate() {
            all.insert(format!("{folder}/{}", hls::video_playlist(&rendition.name)), Self::Video(n));
            all.insert(format!("{folder}/{}", hls::iframe_playlist(&rendition.name)), Self::Iframes(n));
        }
        for (n, rendition) in title.spec.audio.iter().enumerate() {
            all.insert(format!("{folder}/{}", hls::audio_playlist(&rendition.name)), Self::Audio(n));
        }
        all
    }

    /// Checks its bytes against the index.
    pub fn check(self, bytes: &[u8], at: &str, title: &Title, findings: &mut Findings) {
        let folder = title.spec.folder.as_str();
        // Entry manifests lie one folder up, and their addresses count from there.
        let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
        let target_s = title.target_duration_s();
        match self {
            Self::Master => master::master(bytes, at, folder, title, findings),
            Self::EntryMaster => master::master(bytes, at, above, title, findings),
            Self::Mpd => mpd::mpd(bytes, at, folder, title, findings),
            Self::EntryMpd => mpd::mpd(bytes, at, above, title, findings),
            Self::Video(n) => media::media(bytes, at, folder, &title.video[n], target_s, findings),
            Self::Iframes(n) => media::iframes(bytes, at, folder, &title.video[n], findings),
            Self::Audio(n) => media::media(bytes, at, folder, &title.audio[n], target_s, findings),
        }
    }
}

/// Every manifest a title must have was made, and no other.
pub fn listed<'a>(title: &Title, keys: impl Iterator<Item = &'a str>, findings: &mut Findings) {
    let expected: BTreeSet<String> = Manifest::all(title).into_keys().collect();
    let found: BTreeSet<String> = keys.map(str::to_owned).collect();
    for key in expected.difference(&found) {
        findings.error(code::MANIFEST_URI, key, "not made", "a manifest");
    }
    for key in found.difference(&expected) {
        findings.error(code::MANIFEST_URI, key, "a manifest", "nothing by this name");
    }
}

/// The key an address leads to from a manifest in `folder`; `None` for anything but a relative
/// address that stays below that folder.
pub fn resolve(folder: &str, uri: &str) -> Option<String> {
    let plain = !uri.is_empty()
        && !uri.contains([':', '?', '#', '%', '\\'])
        && uri.split('/').all(|part| !matches!(part, "" | "." | ".."));
    plain.then(|| format!("{folder}/{uri}"))
}

/// A comma-separated list of codecs as a set: their order means nothing.
fn codec_set(codecs: &str) -> BTreeSet<&str> {
    codecs.split(',').map(str::trim).filter(|codec| !codec.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_addresses_resolve() {
        assert_eq!(resolve("vod/t/a/g1-x", "720p/1.m4s").as_deref(), Some("vod/t/a/g1-x/720p/1.m4s"));
        for bad in ["", "/x", "../x", "a/../b", "./a", "http://h/x", "//h/x", "a?b", "a%2e", "a\\b", "a//b"] {
            assert_eq!(resolve("f", bad), None, "{bad}");
        }
    }
}
