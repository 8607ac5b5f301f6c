//! How a channel's playlists are, said every second: what is in the store is read back as a viewer reads it,
//! and counts only then. One loop.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use framemill_schemas::{
    failure::{Class, Failure},
    live::{PLAYLIST_STATUS_VERSION, PlaylistStatus},
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    chain::Entry,
    clock::now_ms,
    inspect::{Findings, Inspector, Sample},
    sampler::Seated,
    shards::{Channel, LiveParts},
    shelf::Landed,
    stage::Stage,
};

/// Pause between two messages.
const PACE: Duration = Duration::from_secs(1);
/// Longest time of one reading: the next message is due by then.
const READ_MAX: Duration = Duration::from_millis(900);

/// The playlist that stands for all.
#[derive(Clone)]
struct Witness {
    key: String,
    landed: watch::Receiver<Option<Landed>>,
    gaps: u32,
}

/// What is said of one channel. It ends when this is dropped.
pub struct Report {
    inspector: Inspector,
    seated: Option<Seated>,
    witness: watch::Sender<Option<Witness>>,
    /// The last number that was handed over to be checked.
    sampled: Option<u64>,
    _saying: AbortOnDropHandle<()>,
}

impl Report {
    /// Begins.
    pub fn new(parts: &LiveParts, channel: &Channel) -> Self {
        let inspector = Inspector::new(parts, channel);
        let seated = parts.sampler.seat(channel.folder(), inspector.findings());
        let (witness, told) = watch::channel(None);
        let (parts, channel) = (parts.clone(), channel.clone());
        let speaker =
            Speaker { parts, channel, findings: inspector.findings(), witness: told, read: None, trouble: None };
        let saying = AbortOnDropHandle::new(tokio::spawn(speaker.run()));
        Self { inspector, seated, witness, sampled: None, _saying: saying }
    }

    /// These entries are shown now: what is new among them is checked.
    pub fn shown(&mut self, stage: &Stage, live: &[Entry]) {
        let Some(last) = live.last() else { return };
        // Of what a packager before has shown, only the last number.
        let sampled = self.sampled.unwrap_or(last.number().saturating_sub(1));
        for entry in live.iter().filter(|entry| entry.number() > sampled && !entry.mark.gap) {
            if let Some(logged) = stage.log().get(&entry.number()) {
                let sample = Sample { commit: logged.commit.clone(), timeline: entry.timeline.clone() };
                self.inspector.offer(sample.clone());
                if let Some(seated) = &self.seated {
                    seated.offer(sample);
                }
            }
        }
        self.sampled = Some(last.number());
    }

    /// This is the playlist that stands for all, and where it is said that it was stored.
    pub fn witness(&self, key: String, landed: watch::Receiver<Option<Landed>>, gaps: u32) {
        self.witness.send_replace(Some(Witness { key, landed, gaps }));
    }
}

/// A playlist that was read back.
#[derive(Clone, Copy)]
struct Read {
    number: u64,
    /// When it was stored.
    at: Instant,
    took: Duration,
}

struct Speaker {
    parts: LiveParts,
    channel: Channel,
    findings: Arc<Mutex<Findings>>,
    witness: watch::Receiver<Option<Witness>>,
    read: Option<Read>,
    trouble: Option<Failure>,
}

impl Speaker {
    async fn run(mut self) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            self.tick().await;
        }
    }

    async fn tick(&mut self) {
        let witness = self.witness.borrow().clone();
        let Some(witness) = witness else { return };
        self.read_back(&witness).await;
        let status = self.status(witness.gaps);
        if let Err(error) = self.parts.queue.publish_playlist(&status).await {
            tracing::debug!(channel = %self.channel.id, %error, "the status of playlists could not be said");
        }
    }

    /// Reads the playlist when another one was stored than was read last.
    async fn read_back(&mut self, witness: &Witness) {
        let landed = *witness.landed.borrow();
        let Some(landed) = landed.filter(|landed| self.read.is_none_or(|read| read.number < landed.number)) else {
            return;
        };
        self.trouble = match timeout(READ_MAX, self.parts.store.get(&witness.key)).await {
            Ok(Ok(object)) => {
                let text = object.map(|object| String::from_utf8_lossy(&object.body).into_owned()).unwrap_or_default();
                if let Some(number) = last_number(&text).filter(|number| *number >= landed.number) {
                    self.read = Some(Read { number, at: landed.at, took: landed.took });
                }
                None
            }
            Ok(Err(error)) => Some(error.to_failure()),
            Err(_) => {
                let reason = format!("{} could not be read back within {} ms", witness.key, READ_MAX.as_millis());
                Some(Failure::new(Class::Transient, "playlist-slow", reason).mend("look at the store's latency"))
            }
        };
    }

    fn status(&self, gaps: u32) -> PlaylistStatus {
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let millis = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        PlaylistStatus {
            v: PLAYLIST_STATUS_VERSION,
            tenant: self.channel.tenant.clone(),
            channel_id: self.channel.id.clone(),
            node: self.parts.node.clone(),
            at_ms: now_ms(),
            number: self.read.map(|read| read.number),
            age_ms: self.read.map(|read| millis(read.at.elapsed())),
            gaps,
            commit_ms: self.read.map(|read| millis(read.took)),
            checked: findings.checked,
            skipped: findings.skipped,
            findings: findings.last.into(),
            sound_offset_ms: findings.sound_offset_ms,
            sample_every_s: self.parts.sampler.every_s(),
            samples_late: findings.samples_late,
            samples: findings.samples.into_values().collect(),
            trouble: self.trouble.clone(),
        }
    }
}

/// The last number that a media playlist names.
fn last_number(text: &str) -> Option<u64> {
    let first: u64 = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"))?.parse().ok()?;
    let entries = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count() as u64;
    first.checked_add(entries.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{
        hls::Playlist,
        sample::{FIRST, stage},
    };

    #[test]
    fn the_last_number_is_read_back() {
        let playlist = Playlist { rendition: "360p", prefix: "", target_s: 4, ended: false };
        for (letters, expected) in [("s", 0), ("ssss", 3), ("s-f-", 3)] {
            assert_eq!(last_number(&playlist.write(stage(letters).entries())), Some(FIRST + expected), "{letters}");
        }
        for text in ["", "#EXTM3U\n", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n", "#EXT-X-MEDIA-SEQUENCE:x\na\n"] {
            assert_eq!(last_number(text), None, "{text:?}");
        }
    }
}
