//! What metrics of viewers are told apart by: the channel, within a bound. Titles are one sum: there are too many.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use framemill_schemas::live::live_place;

/// Channels that are told apart; all others are one.
const CHANNELS_MAX: usize = 500;
/// What titles are called; no channel is called so, since theirs have a slash.
const TITLES: &str = "titles";
/// What channels beyond the bound are called, and those of which nothing was served.
const OTHER: &str = "other";

/// The channels that are told apart.
#[derive(Debug, Default)]
pub struct Labels(RwLock<HashSet<Arc<str>>>);

impl Labels {
    /// Takes the key of an object, and whether that was served: only a channel that is there gets a place of its own,
    /// not each that a token would open.
    pub fn of(&self, key: &str, is_served: bool) -> Arc<str> {
        let Some(place) = live_place(key) else { return Arc::from(TITLES) };
        let channel = format!("{}/{}", place.tenant, place.channel);
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(channel.as_str()).cloned();
        if let Some(known) = known {
            return known;
        }
        if !is_served {
            return Arc::from(OTHER);
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CHANNELS_MAX {
            return Arc::from(OTHER);
        }
        let channel: Arc<str> = Arc::from(channel);
        all.insert(Arc::clone(&channel));
        channel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_that_are_there_are_told_apart_within_a_bound() {
        let labels = Labels::default();
        assert_eq!(&*labels.of("live/acme/news/master.m3u8", false), OTHER);
        assert_eq!(&*labels.of("live/acme/news/master.m3u8", true), "acme/news");
        assert_eq!(&*labels.of("live/acme/news/cmcd", false), "acme/news");
        assert_eq!(&*labels.of("vod/acme/0198c0de-0000-7000-8000-000000000000/master.m3u8", true), TITLES);
        for number in 0..2 * CHANNELS_MAX {
            labels.of(&format!("live/acme/c{number}/master.m3u8"), true);
        }
        assert_eq!(labels.0.read().unwrap().len(), CHANNELS_MAX);
        assert_eq!(&*labels.of("live/acme/late/master.m3u8", true), OTHER);
        assert_eq!(&*labels.of("live/acme/news/master.m3u8", true), "acme/news");
    }
}
