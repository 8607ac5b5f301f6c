//! A published title as a viewer's player reads it: from the entry playlist to every segment,
//! each object against its digest and against what was committed, and every rendition decoded
//! strictly and counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Stdio,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use framemill_schemas::{finding::Finding, key::digest, object::MASTER_PLAYLIST};
use framemill_storage::Store;
use tokio::{io::AsyncWriteExt, process::Command};

/// What a title should be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Frames of every picture rendition.
    pub frames: u64,
    /// Frames per second.
    pub rate: u64,
    /// Digests of everything that commits named, by key.
    pub committed: &'a BTreeMap<String, String>,
}

/// Most milliseconds by which sound may be longer or shorter than the picture: a few AAC frames.
const SOUND_OFF_MS: u64 = 100;

/// Examines the title whose entry playlist lies in `folder`.
pub async fn examine(store: &Store, ffmpeg: &Path, folder: &str, expected: Expected<'_>) -> Result<Vec<Finding>> {
    let mut look = Look { store, expected, findings: Vec::new(), read: BTreeSet::new() };
    let entry = format!("{folder}/{MASTER_PLAYLIST}");
    // The entry is a copy and so not a commit's own; what it names is.
    let Some(master) = look.bytes(&entry, false).await? else { return Ok(look.findings) };
    let media = media_playlists(&String::from_utf8_lossy(&master));
    if media.is_empty() {
        look.found("playlist-empty", &entry, "no rendition", "at least one");
    }
    for (kind, uri) in media {
        let playlist = resolve(&entry, &uri);
        let Some(text) = look.bytes(&playlist, true).await? else { continue };
        let mut stream = Vec::new();
        let uris = segments(&String::from_utf8_lossy(&text));
        let mut whole = !uris.is_empty();
        for uri in uris {
            match look.bytes(&resolve(&playlist, &uri), true).await? {
                Some(bytes) => stream.extend_from_slice(&bytes),
                None => whole = false,
            }
        }
        if whole {
            look.decode(ffmpeg, kind, &playlist, stream).await?;
        }
    }
    Ok(look.findings)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Picture,
    Sound,
}

struct Look<'a> {
    store: &'a Store,
    expected: Expected<'a>,
    findings: Vec<Finding>,
    /// What was found wanting or right before: each object is judged once.
    read: BTreeSet<String>,
}

impl Look<'_> {
    fn found(&mut self, code: &str, at: &str, measured: impl ToString, expected: impl ToString) {
        self.findings.push(Finding::error(code, at, measured, expected));
    }

    /// An object's bytes, judged on the way.
    async fn bytes(&mut self, key: &str, committed: bool) -> Result<Option<Bytes>> {
        let object = self.store.get(key).await.with_context(|| format!("cannot read {key}"))?;
        let first = self.read.insert(key.to_owned());
        let Some(object) = object else {
            if first {
                self.found("object-missing", key, "no object", "what a playlist names");
            }
            return Ok(None);
        };
        let own = digest(&object.body);
        if first && object.meta.digest != own {
            self.found("digest-differs", key, &own, &object.meta.digest);
        }
        if first && committed {
            match self.expected.committed.get(key) {
                Some(digest) if *digest == own => {}
                Some(digest) => self.found("object-changed", key, &own, digest),
                None => self.found("uncommitted", key, "an object that no commit named", "only committed objects"),
            }
        }
        Ok(Some(object.body))
    }

    async fn decode(&mut self, ffmpeg: &Path, kind: Kind, at: &str, stream: Vec<u8>) -> Result<()> {
        let decoded = decode(ffmpeg, kind, stream).await?;
        let Expected { frames, rate, .. } = self.expected;
        match decoded {
            Err(said) => self.found("decode-failed", at, said, "a stream without faults"),
            Ok(counted) if kind == Kind::Picture && counted != frames => {
                self.found("frame-count", at, counted, frames);
            }
            Ok(counted) if kind == Kind::Sound && counted.abs_diff(frames * 1000 / rate) > SOUND_OFF_MS => {
                self.found("sound-length", at, format!("{counted} ms"), format!("{} ms", frames * 1000 / rate));
            }
            Ok(_) => {}
        }
        Ok(())
    }
}

/// Frames of a picture, milliseconds of sound; or what the decoder complained of.
async fn decode(ffmpeg: &Path, kind: Kind, stream: Vec<u8>) -> Result<Result<u64, String>> {
    let map = if kind == Kind::Picture { "0:v:0" } else { "0:a:0" };
    let mut child = Command::new(ffmpeg)
        .args(["-hide_banner", "-v", "error", "-nostats", "-xerror", "-err_detect", "explode", "-threads", "1"])
        .args(["-f", "mov", "-i", "pipe:0", "-map", map, "-fps_mode", "passthrough", "-f", "null"])
        .args(["-progress", "pipe:1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", ffmpeg.display()))?;
    let mut stdin = child.stdin.take().context("no pipe to ffmpeg")?;
    // It may stop reading at the first fault: its exit says why.
    let feed = async move { drop(stdin.write_all(&stream).await) };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !output.status.success() || !complaint.is_empty() {
        return Ok(Err(format!("{}: {}", output.status, complaint.lines().next().unwrap_or_default())));
    }
    let progress = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = if kind == Kind::Picture { "frame=" } else { "out_time_us=" };
    let last = progress.lines().rev().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let last = last.with_context(|| format!("ffmpeg reported no {name}"))?;
    Ok(Ok(if kind == Kind::Picture { last } else { last / 1000 }))
}

/// The media playlists of a multivariant playlist, each once.
fn media_playlists(master: &str) -> BTreeSet<(Kind, String)> {
    let mut found = BTreeSet::new();
    let mut lines = master.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("#EXT-X-STREAM-INF:") {
            // A variant without a picture has no size.
            let kind = if line.contains("RESOLUTION=") { Kind::Picture } else { Kind::Sound };
            found.extend(lines.next().map(|uri| (kind, uri.trim().to_owned())));
        } else if line.starts_with("#EXT-X-MEDIA:TYPE=AUDIO") {
            found.extend(attribute(line, "URI").map(|uri| (Kind::Sound, uri)));
        }
    }
    found
}

/// The init and the segments of a media playlist, in order.
fn segments(playlist: &str) -> Vec<String> {
    let init = playlist.lines().find(|line| line.starts_with("#EXT-X-MAP:")).and_then(|line| attribute(line, "URI"));
    let media = playlist.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    init.into_iter().chain(media.map(str::to_owned)).collect()
}

fn attribute(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("{name}=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// The key that `uri` names, seen from the object `from`.
fn resolve(from: &str, uri: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in uri.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playlists_are_followed() {
        let master = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"g1-x/audio-s.m3u8\"\n\
                      #EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=2x2\ng1-x/video-a.m3u8\n\
                      #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"g1-x/iframe-a.m3u8\"\n";
        let found: Vec<_> = media_playlists(master).into_iter().collect();
        let want = [(Kind::Picture, "g1-x/video-a.m3u8".to_owned()), (Kind::Sound, "g1-x/audio-s.m3u8".to_owned())];
        assert_eq!(found, want);
        let media =
            "#EXTM3U\n#EXT-X-MAP:URI=\"a/init.mp4\"\n#EXTINF:2,\na/1.m4s\n#EXTINF:2,\na/2.m4s\n#EXT-X-ENDLIST\n";
        assert_eq!(segments(media), ["a/init.mp4", "a/1.m4s", "a/2.m4s"]);
        assert_eq!(resolve("vod/t/id/master.m3u8", "g1-x/video-a.m3u8"), "vod/t/id/g1-x/video-a.m3u8");
        assert_eq!(resolve("vod/t/id/g1-x/video-a.m3u8", "../g1-x/a/1.m4s"), "vod/t/id/g1-x/a/1.m4s");
    }
}
