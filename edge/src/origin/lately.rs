//! Which channels viewers ask this edge for. A channel's playlists are fetched every second while it is watched, so what
//! is fetched tells it: hits of the cache cost nothing here. Pure, but for the clock that it is told.

use std::collections::HashMap;

use super::playlist::{self, Text};
use crate::folder::folder;

/// Channels that are remembered; of more, the one that was asked for longest ago is forgotten.
const CHANNELS_MAX: usize = 64;
/// How long one is.
pub const LATELY_MS: i64 = 60_000;
/// How long it is looked at by the same playlist, when viewers ask for others.
const SAME_MS: i64 = 10_000;
/// Target durations after which a playlist is suspicious.
const OLD_TARGETS: i64 = 3;

/// What was asked for.
#[derive(Debug, Default)]
pub struct Lately {
    /// By the folder of the channel.
    channels: HashMap<String, Asked>,
    /// The last playlist of a title: there is nothing to judge in it, but how long origins take.
    title: Option<(String, i64)>,
}

#[derive(Debug)]
struct Asked {
    key: String,
    key_ms: i64,
    asked_ms: i64,
    looked_ms: i64,
    suspicious: bool,
}

impl Lately {
    /// Takes the key and the bytes of what was fetched for viewers; remembers it when it is a media playlist, or should
    /// be one.
    pub fn note(&mut self, key: &str, body: &[u8], now_ms: i64) {
        let Some(channel) = folder(key).filter(|_| key.ends_with(".m3u8")) else { return };
        let suspicious = match playlist::read(key, body) {
            Text::Multivariant => return,
            Text::Unreadable => true,
            Text::Media(newest) => {
                newest.ends_ms.is_some_and(|ends_ms| now_ms - ends_ms > newest.target_ms.saturating_mul(OLD_TARGETS))
            }
        };
        if !key.starts_with("live/") {
            self.title = Some((key.to_owned(), now_ms));
            return;
        }
        if let Some(asked) = self.channels.get_mut(channel) {
            asked.asked_ms = now_ms;
            if asked.key == key {
                asked.key_ms = now_ms;
            } else if now_ms - asked.key_ms > SAME_MS || (suspicious && !asked.suspicious) {
                key.clone_into(&mut asked.key);
                asked.key_ms = now_ms;
            }
            asked.suspicious |= suspicious;
            return;
        }
        if self.channels.len() >= CHANNELS_MAX {
            let oldest = self.channels.iter().min_by_key(|(_, asked)| asked.asked_ms).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.channels.remove(&name));
        }
        let asked = Asked { key: key.to_owned(), key_ms: now_ms, asked_ms: now_ms, looked_ms: 0, suspicious };
        self.channels.insert(channel.to_owned(), asked);
    }

    /// Forgets what is not asked for any more; returns the playlists to look at now, at most `most`: what looked old
    /// first, then what was not looked at for longest. Without a channel in use it is a title's.
    pub fn pick(&mut self, most: usize, now_ms: i64) -> Vec<String> {
        self.channels.retain(|_, asked| now_ms - asked.asked_ms <= LATELY_MS);
        self.title.take_if(|(_, asked_ms)| now_ms - *asked_ms > LATELY_MS);
        let mut waiting: Vec<_> = self.channels.values_mut().collect();
        if waiting.is_empty() {
            return self.title.iter().map(|(key, _)| key.clone()).collect();
        }
        waiting.sort_unstable_by(|one, other| {
            let order = |asked: &Asked| (!asked.suspicious, asked.looked_ms);
            order(one).cmp(&order(other)).then_with(|| one.key.cmp(&other.key))
        });
        waiting.truncate(most);
        let look = |asked: &mut Asked| {
            (asked.suspicious, asked.looked_ms) = (false, now_ms);
            asked.key.clone()
        };
        waiting.into_iter().map(look).collect()
    }

    /// Whether a channel is still asked for.
    pub fn has(&self, channel: &str) -> bool {
        self.channels.contains_key(channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(now_ms: i64) -> String {
        let at = jiff::Timestamp::from_millisecond(now_ms).unwrap();
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PROGRAM-DATE-TIME:{at}\n#EXTINF:4,\n1.m4s\n")
    }

    fn key(channel: usize) -> String {
        format!("live/acme/c{channel:02}/video.m3u8")
    }

    #[test]
    fn only_media_playlists_of_channels_are_looked_at() {
        let mut lately = Lately::default();
        let text = fresh(0);
        lately.note("live/acme/news/t1-0/720p/7.m4s", text.as_bytes(), 0);
        lately.note("live/acme/news/master.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n", 0);
        lately.note("live/x.m3u8", text.as_bytes(), 0);
        assert!(lately.pick(9, 0).is_empty());
        lately.note("vod/acme/film/video.m3u8", text.as_bytes(), 0);
        assert_eq!(lately.pick(9, 0), ["vod/acme/film/video.m3u8"]);
        lately.note("live/acme/news/video.m3u8", text.as_bytes(), 0);
        lately.note("live/acme/news/audio.m3u8", text.as_bytes(), 1);
        assert_eq!(lately.pick(9, 1), ["live/acme/news/video.m3u8"]);
        // Its viewers have gone over to another rendition.
        lately.note("live/acme/news/audio.m3u8", text.as_bytes(), SAME_MS + 1);
        assert_eq!(lately.pick(9, SAME_MS + 1), ["live/acme/news/audio.m3u8"]);
        assert!(lately.has("live/acme/news"));
        assert!(lately.pick(9, SAME_MS + 2 + LATELY_MS).is_empty() && !lately.has("live/acme/news"));
    }

    #[test]
    fn every_channel_has_its_turn_and_what_looks_old_comes_first() {
        let mut lately = Lately::default();
        for channel in 0..6 {
            lately.note(&key(channel), fresh(0).as_bytes(), 0);
        }
        assert_eq!(lately.pick(4, 1), [key(0), key(1), key(2), key(3)]);
        assert_eq!(lately.pick(4, 2), [key(4), key(5), key(0), key(1)]);
        lately.note(&key(5), fresh(-60_000).as_bytes(), 3);
        lately.note(&key(4), b"<html>", 3);
        assert_eq!(lately.pick(4, 3), [key(4), key(5), key(2), key(3)]);
    }

    #[test]
    fn no_more_channels_are_remembered_than_there_is_room_for() {
        let mut lately = Lately::default();
        for channel in 0..99 {
            lately.note(&key(channel), fresh(0).as_bytes(), i64::try_from(channel).unwrap());
        }
        let picked = lately.pick(999, 99);
        assert_eq!((picked.len(), picked[0].as_str()), (CHANNELS_MAX, key(35).as_str()));
    }
}
