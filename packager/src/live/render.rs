//! All that is written of a channel at one moment. Pure.

use std::collections::BTreeSet;

use bytes::Bytes;
use framemill_schemas::{
    live::Edition,
    object::{MASTER_PLAYLIST, MPD},
};

use super::{
    chain::Entry,
    dash::Manifest,
    facts::Facts,
    hls::Playlist,
    master::master,
    period::faces,
    stage::Stage,
    target::target_duration_s,
    window::{suffix, timeshift_ms, window_ms},
};
use crate::hls::{audio_playlist, video_playlist};

/// Folder of the media playlists that reach back, with its slash.
const TIMESHIFT: &str = "timeshift/";
/// Name of the multivariant playlist over them.
const TIMESHIFT_MASTER: &str = "timeshift.m3u8";
/// Name of the MPD that reaches back.
const TIMESHIFT_MPD: &str = "timeshift.mpd";

/// An object below a channel's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub body: Bytes,
}

/// What is written, besides the chain.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// What the channel is made of.
    pub edition: &'a Edition,
    /// What its inits say.
    pub facts: &'a Facts,
    /// Whether it is off.
    pub ended: bool,
    /// Whether all was recalled that reaches back.
    pub recalled: bool,
}

/// The live entries of a stage, and those that reach back.
pub fn shown<'a>(stage: &'a Stage, edition: &Edition) -> (&'a [Entry], Option<&'a [Entry]>) {
    let (entries, known) = (stage.entries(), stage.known());
    let reaching = timeshift_ms(edition, known).map(|limit| suffix(entries, limit));
    (suffix(entries, window_ms(edition, known)), reaching)
}

impl Scene<'_> {
    /// Everything that is to be stored, the live media playlists first.
    pub fn documents(&self, stage: &Stage) -> Vec<Document> {
        let (live, reaching) = shown(stage, self.edition);
        let known = stage.known();
        let set = Set { scene: self, live, target_s: target_duration_s(known) };
        let mut documents = set.playlists(live, "", "");
        documents.extend(set.master(MASTER_PLAYLIST, ""));
        documents.extend(set.mpd(live, MPD, window_ms(self.edition, known)));
        if let (Some(reaching), Some(depth_ms), true) = (reaching, timeshift_ms(self.edition, known), self.recalled) {
            documents.extend(set.playlists(reaching, TIMESHIFT, "../"));
            documents.extend(set.master(TIMESHIFT_MASTER, TIMESHIFT));
            documents.extend(set.mpd(reaching, TIMESHIFT_MPD, depth_ms));
        }
        documents
    }
}

struct Set<'a> {
    scene: &'a Scene<'a>,
    live: &'a [Entry],
    target_s: u64,
}

impl Set<'_> {
    /// A media playlist for every rendition that any of the entries has.
    fn playlists(&self, entries: &[Entry], folder: &str, prefix: &str) -> Vec<Document> {
        let mut renditions = BTreeSet::new();
        for stretch in entries.chunk_by(|a, b| a.mark.timeline == b.mark.timeline) {
            let Some(first) = stretch.first() else { continue };
            renditions.extend(first.timeline.rungs.iter().map(|rung| (rung.name.as_str(), true)));
            renditions.extend(first.timeline.audio.iter().map(|rung| (rung.name.as_str(), false)));
        }
        let document = |(rendition, picture): (&str, bool)| {
            let name = if picture { video_playlist(rendition) } else { audio_playlist(rendition) };
            let playlist = Playlist { rendition, prefix, target_s: self.target_s, ended: self.scene.ended };
            Document { name: format!("{folder}{name}"), body: playlist.write(entries).into() }
        };
        renditions.into_iter().map(document).collect()
    }

    /// What the channel is made of, by the last number that was published: of filler only where there is
    /// nothing else.
    fn master(&self, name: &str, folder: &str) -> Option<Document> {
        let published = || self.live.iter().rev().filter(|entry| !entry.mark.gap);
        let timeline = published().next()?.mark.timeline;
        let mut candidates = published().take_while(|entry| entry.mark.timeline == timeline);
        let is_source = |entry: &&Entry| entry.mark.media.as_ref().is_some_and(|media| !media.filler);
        let entry = candidates.find(is_source).or_else(|| published().next())?;
        let media = entry.mark.media.as_ref()?;
        let faces = faces(&entry.timeline, media, self.scene.facts, self.live)?;
        Some(Document { name: name.to_owned(), body: master(&entry.timeline, &faces, folder).into() })
    }

    fn mpd(&self, entries: &[Entry], name: &str, depth_ms: u64) -> Option<Document> {
        let manifest = Manifest { name, depth_ms, ended: self.scene.ended, facts: self.scene.facts };
        manifest.write(entries).map(|body| Document { name: name.to_owned(), body: body.into() })
    }
}
