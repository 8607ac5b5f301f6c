//! A viewer of everything: reads every media playlist ten times a second and keeps each version's verdict,
//! when it changed, and every object that it names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use framemill_schemas::{finding::Finding, key::digest};
use framemill_storage::Store;
use futures_util::future::{join_all, try_join_all};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{
    playlist::{Entry, Media, renditions},
    rules,
};
use crate::machine::now_ms;

/// How long a channel may take until its first playlist is there.
const FIRST: Duration = Duration::from_secs(60);
/// Findings that are kept: a broken playlist is found again with every version.
const FINDINGS_MAX: usize = 500;

/// All that was seen.
#[derive(Debug, Default)]
pub struct Viewer {
    seen: Mutex<Seen>,
}

/// What was seen of a channel.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its renditions, by the name of their playlist.
    pub tracks: BTreeMap<String, Track>,
    /// What should not be.
    pub findings: Vec<Finding>,
    /// Looks that found the store away.
    pub missed: u64,
}

/// What was seen of a rendition.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// Whether it is sound.
    pub is_sound: bool,
    /// Each version that differs from the one before.
    pub changes: Vec<Change>,
    /// The last version.
    pub last: Option<Media>,
    /// Everything that any version named.
    pub segments: BTreeMap<u64, Kept>,
    /// Where inits are kept, by address.
    pub inits: BTreeMap<String, PathBuf>,
    /// How many versions there were.
    pub versions: u64,
    text: String,
}

/// A version of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it was seen, Unix milliseconds.
    pub at_ms: i64,
    /// Its last number.
    pub number: u64,
    /// How long before that its last segment ended, milliseconds.
    pub behind_ms: i64,
}

/// A segment that was fetched.
#[derive(Clone, Debug)]
pub struct Kept {
    /// As the playlist named it.
    pub entry: Entry,
    /// Where it is kept; nothing for a gap.
    pub path: Option<PathBuf>,
    /// Digest of its bytes.
    pub digest: String,
    /// When it was fetched, Unix milliseconds.
    pub at_ms: i64,
}

/// Where a channel is looked at.
#[derive(Clone, Debug)]
pub struct Look {
    /// The farm's store, past all faults.
    pub store: Store,
    /// The channel's folder in it.
    pub folder: String,
    /// Where what was fetched is kept.
    pub archive: PathBuf,
    /// Pause between two looks.
    pub every: Duration,
}

impl Look {
    /// Where every version of each playlist is kept.
    pub fn versions(&self) -> PathBuf {
        self.archive.join("versions")
    }
}

impl Viewer {
    /// What was seen so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the renditions, waiting for the first playlist.
    pub async fn find(&self, look: &Look) -> Result<()> {
        let deadline = tokio::time::Instant::now() + FIRST;
        let key = format!("{}/master.m3u8", look.folder);
        let master = loop {
            if let Some(object) = look.store.get(&key).await? {
                break object.body;
            }
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "{key} is not there after {} s", FIRST.as_secs());
            tokio::time::sleep(look.every).await;
        };
        let tracks = renditions(&String::from_utf8_lossy(&master))
            .into_iter()
            .map(|(uri, is_sound)| (uri, Track { is_sound, ..Track::default() }));
        self.seen().tracks = tracks.collect();
        Ok(())
    }

    /// Looks until `stop`.
    pub async fn run(&self, look: &Look, stop: &CancellationToken) {
        let mut looks = tokio::time::interval(look.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            let names: Vec<String> = self.seen().tracks.keys().cloned().collect();
            join_all(names.iter().map(|name| self.track(look, name))).await;
        }
    }

    async fn track(&self, look: &Look, name: &str) {
        let playlist = look.store.get(&format!("{}/{name}", look.folder)).await;
        let at_ms = now_ms();
        let Ok(Some(object)) = playlist else {
            self.seen().missed += 1;
            return;
        };
        let text = String::from_utf8_lossy(&object.body).into_owned();
        let Some((count, new)) = self.version(name, &text, at_ms) else { return };
        let kept = look.versions().join(format!("{name}/{count:06}.m3u8"));
        if let Err(error) = write(&kept, text.as_bytes()).await {
            tracing::warn!(%error, "a version of a playlist is not kept");
        }
        for (entry, fetched) in join_all(new.into_iter().map(|entry| async {
            let fetched = fetch(look, &entry).await;
            (entry, fetched)
        }))
        .await
        {
            self.keep(name, entry, fetched);
        }
    }

    /// Judges a version that differs from the one before; returns which it is, and what it names for the first
    /// time.
    fn version(&self, name: &str, text: &str, at_ms: i64) -> Option<(u64, Vec<Entry>)> {
        let mut seen = self.seen();
        let track = seen.tracks.get_mut(name)?;
        if track.text == text {
            return None;
        }
        let parsed = Media::parse(text);
        text.clone_into(&mut track.text);
        track.versions += 1;
        let count = track.versions;
        let media = match parsed {
            Ok(media) => media,
            Err(why) => {
                seen.found([Finding::error("playlist-unreadable", name, why, "a media playlist")]);
                return None;
            }
        };
        let mut findings = rules::alone(name, &media);
        if let Some(before) = &track.last {
            findings.extend(rules::after(name, before, &media));
        }
        if let Some(last) = media.last() {
            let behind_ms = last.ends_us().map_or(0, |end| at_ms - end / 1000);
            track.changes.push(Change { at_ms, number: last.number, behind_ms });
        }
        let new = media.entries.iter().filter(|entry| !track.segments.contains_key(&entry.number)).cloned().collect();
        track.last = Some(media);
        seen.found(findings);
        Some((count, new))
    }

    /// Reads every segment again, as far as it is still there: its bytes may not have changed.
    pub async fn compare(&self, look: &Look) -> Result<Vec<Finding>> {
        let tracks = self.seen().tracks.clone();
        let mut findings = Vec::new();
        for kept in tracks.values().flat_map(|track| track.segments.values()).filter(|kept| kept.path.is_some()) {
            let key = format!("{}/{}", look.folder, kept.entry.uri);
            let Some(object) = look.store.get(&key).await.with_context(|| format!("cannot read {key}"))? else {
                continue;
            };
            let now = digest(&object.body);
            if now != kept.digest {
                findings.push(Finding::error("segment-changed", key, now, &kept.digest));
            }
        }
        Ok(findings)
    }

    fn keep(&self, name: &str, entry: Entry, fetched: Result<(Option<PathBuf>, String, PathBuf)>) {
        let mut seen = self.seen();
        match fetched {
            Ok((path, digest, init)) => {
                if !entry.gap && path.is_none() {
                    seen.found([Finding::error("playlist-ahead", name, &entry.uri, "only what is stored")]);
                }
                let Some(track) = seen.tracks.get_mut(name) else { return };
                track.inits.insert(entry.init.clone(), init);
                track.segments.insert(entry.number, Kept { entry, path, digest, at_ms: now_ms() });
            }
            Err(error) => {
                seen.found([Finding::error("not-fetched", name, format!("{error:#}"), "an object of a playlist")]);
            }
        }
    }
}

impl Seen {
    fn found(&mut self, findings: impl IntoIterator<Item = Finding>) {
        let room = FINDINGS_MAX.saturating_sub(self.findings.len());
        self.findings.extend(findings.into_iter().take(room));
    }

    /// The last number that every rendition names.
    pub fn head(&self) -> Option<u64> {
        self.tracks.values().map(|track| track.changes.last().map(|change| change.number)).min().flatten()
    }

    /// When every rendition's playlist first named a segment beyond `head` that is no gap, after a moment; all
    /// in Unix milliseconds.
    pub fn goes_on_ms(&self, head: u64, after_ms: i64) -> Option<i64> {
        let of = |track: &Track| {
            let mut real = track.segments.range(head + 1..).filter(|(_, kept)| kept.path.is_some());
            real.find_map(|(_, kept)| Some(kept.at_ms).filter(|at_ms| *at_ms >= after_ms))
        };
        self.tracks.values().map(of).try_fold(after_ms, |latest, at_ms| Some(latest.max(at_ms?)))
    }

    /// The longest time that a picture's playlist stood still within a span, milliseconds.
    pub fn stood_ms(&self, from_ms: i64, to_ms: i64) -> i64 {
        let tracks = self.tracks.values().filter(|track| !track.is_sound);
        tracks.map(|track| stood_ms(&track.changes, from_ms, to_ms)).max().unwrap_or_default()
    }
}

/// The longest time without a change of which a part lies within a span. Pure.
fn stood_ms(changes: &[Change], from_ms: i64, to_ms: i64) -> i64 {
    let ends = changes.iter().skip(1).map(|change| change.at_ms).chain([to_ms]);
    let stood = changes.iter().zip(ends).filter(|(start, end)| *end >= from_ms && start.at_ms < to_ms);
    stood.map(|(start, end)| end.min(to_ms) - start.at_ms).max().unwrap_or_default()
}

/// Fetches a segment and its init; nothing where it is not there.
async fn fetch(look: &Look, entry: &Entry) -> Result<(Option<PathBuf>, String, PathBuf)> {
    let wanted = if entry.gap { vec![] } else { vec![entry.init.as_str(), entry.uri.as_str()] };
    let fetched = try_join_all(wanted.into_iter().map(|uri| object(look, uri))).await?;
    let mut fetched = fetched.into_iter();
    let (init, segment) = (fetched.next().flatten(), fetched.next().flatten());
    let init = init.map(|(path, _)| path).unwrap_or_default();
    Ok(match segment {
        Some((path, digest)) => (Some(path), digest, init),
        None => (None, String::new(), init),
    })
}

/// Fetches an object into the archive, and tells its digest.
async fn object(look: &Look, uri: &str) -> Result<Option<(PathBuf, String)>> {
    let key = format!("{}/{uri}", look.folder);
    let Some(object) = look.store.get(&key).await.with_context(|| format!("cannot read {key}"))? else {
        return Ok(None);
    };
    let path = look.archive.join(uri);
    write(&path, &object.body).await.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some((path, digest(&object.body))))
}

async fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    tokio::fs::write(path, bytes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_standstill_of_a_span_is_found() {
        let changes: Vec<_> =
            [0, 2000, 4100, 8000].map(|at_ms| Change { at_ms, number: 0, behind_ms: 0 }).into_iter().collect();
        for (from_ms, to_ms, expected) in [
            (0, 4100, 2100),
            (0, 8000, 3900),
            (0, 5000, 2100),
            (8000, 9500, 3900),
            (8100, 9500, 1500),
            (0, 13_000, 5000),
        ] {
            assert_eq!(stood_ms(&changes, from_ms, to_ms), expected, "{from_ms} {to_ms}");
        }
        assert_eq!(stood_ms(&[], 0, 1), 0);
    }
}
