//! Package: manifests from segment indexes, put once.

use bytes::Bytes;
use framemill_queue::runner::Attempt;
use framemill_schemas::{
    failure::{Class, Failure},
    object::{MASTER_PLAYLIST, MPD, StoredObject, entry_mpd, entry_playlist},
    spec::{PackageOutput, PackageSpec},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    dash,
    handlers::{Handlers, until_cancelled},
    hls,
    objects::{SameRound, put},
    parts::{LoadError, Parts},
    title::Title,
};

/// Manifests put at once: they are small, and a title has a few dozen.
const PUTS_AT_ONCE: usize = 8;

impl Handlers {
    pub(super) async fn package(&self, spec: &PackageSpec, attempt: &Attempt) -> Result<PackageOutput, Failure> {
        until_cancelled(&attempt.cancel, async {
            let parts = Parts::load(&self.queue, attempt.job.asset, spec).await?;
            let title = parts.title(&self.store, spec).await.map_err(LoadError::into_failure)?;
            self.put_manifests(&title, attempt).await
        })
        .await
    }

    async fn put_manifests(&self, title: &Title, attempt: &Attempt) -> Result<PackageOutput, Failure> {
        let files = files(title);
        let total = files.len() as u64;
        let puts = files
            .into_iter()
            .map(|(key, body)| async move { put(&self.store, &attempt.job, &key, body, SameRound::IsTheSame).await });
        let mut stored = Vec::new();
        let mut puts = stream::iter(puts).buffered(PUTS_AT_ONCE);
        while let Some(object) = puts.try_next().await? {
            self.metrics.manifest(object.bytes);
            stored.push(object);
            attempt.progress.send_replace((stored.len() as u64, total));
        }
        output(stored)
    }
}

/// All manifests by key: the four that others point at first, then the rest.
fn files(title: &Title) -> Vec<(String, Bytes)> {
    let folder = &title.spec.folder;
    let entry = title.entry_prefix();
    let target_s = title.target_duration_s();
    let mut files = vec![
        (format!("{folder}/{MASTER_PLAYLIST}"), hls::master(title, "").into()),
        (format!("{folder}/{MPD}"), dash::mpd(title, "").into()),
        (entry_playlist(folder), hls::master(title, &entry).into()),
        (entry_mpd(folder), dash::mpd(title, &entry).into()),
    ];
    for (rendition, track) in title.pictures() {
        let name = &rendition.name;
        files.push((format!("{folder}/{}", hls::video_playlist(name)), hls::media(name, track, target_s).into()));
        files.push((format!("{folder}/{}", hls::iframe_playlist(name)), hls::iframes(name, track).into()));
    }
    for (rendition, track) in title.sounds() {
        let name = &rendition.name;
        files.push((format!("{folder}/{}", hls::audio_playlist(name)), hls::media(name, track, target_s).into()));
    }
    files
}

/// The output, from the objects in the order of [`files`].
fn output(stored: Vec<StoredObject>) -> Result<PackageOutput, Failure> {
    let mut stored = stored.into_iter();
    let mut next = || {
        stored.next().ok_or_else(|| Failure::new(Class::Bug, "manifest-missing", "fewer manifests put than written"))
    };
    let (master, mpd, entry_master, entry_mpd) = (next()?, next()?, next()?, next()?);
    Ok(PackageOutput { master, mpd, entry_master, entry_mpd, playlists: stored.collect() })
}
