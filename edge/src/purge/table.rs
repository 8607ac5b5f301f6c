//! The place of each tag's last purge. An object is as old as the beginning of its fetch, and is good while none of its
//! tags was purged later. So nothing is searched at a purge, and a fetch that was under way cannot bring the old object
//! back.

use std::{collections::HashMap, sync::RwLock};

use framemill_schemas::delivery::{PURGE_AGE_MAX, Purge, tags_of};
use tokio::sync::watch;

/// Most tags that are kept apart; beyond it everything older is taken for purged.
const TAGS_MAX: usize = 1_000_000;

/// How long what is taken down is refused: for as long as an edge that starts anew would know of it.
const REFUSED_MS: i64 = PURGE_AGE_MAX.as_millis() as i64;

/// Every purge that this edge has applied.
#[derive(Debug, Default)]
pub struct Table {
    tags: RwLock<Tags>,
    /// The last purge that was applied.
    place: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Tags {
    /// The last purge of each tag.
    purged: HashMap<Box<str>, u64>,
    /// Tags that viewers are refused, and until when, Unix milliseconds.
    refused: HashMap<Box<str>, i64>,
    /// Everything that was fetched before this place is purged.
    floor: u64,
    /// Everything that was fetched before then is, Unix milliseconds.
    since_ms: i64,
}

impl Table {
    /// The place that was reached: what a fetch that begins now will be as old as.
    pub fn place(&self) -> u64 {
        *self.place.borrow()
    }

    /// Applies a purge with its place. Purges come in order; one that comes again changes nothing.
    pub fn apply(&self, purge: &Purge, place: u64) {
        let mut tags = self.write();
        if tags.purged.len() + purge.tags.len() > TAGS_MAX {
            tags.purged.clear();
            tags.floor = place.max(tags.floor);
        }
        for tag in &purge.tags {
            let last = tags.purged.entry(tag.as_str().into()).or_default();
            *last = place.max(*last);
            if purge.refuse {
                let until_ms = purge.requested_ms.saturating_add(REFUSED_MS);
                let last_ms = tags.refused.entry(tag.as_str().into()).or_default();
                *last_ms = until_ms.max(*last_ms);
            }
        }
        self.reach(place);
    }

    /// Takes everything for purged that was fetched before now: a purge that this version cannot read is one of anything.
    pub fn distrust(&self, now_ms: i64) {
        let mut tags = self.write();
        tags.since_ms = tags.since_ms.max(now_ms);
    }

    /// Says that nothing is there up to a place beyond what was applied.
    pub fn reach(&self, place: u64) {
        self.place.send_if_modified(|own| {
            let further = place > *own;
            *own = place.max(*own);
            further
        });
    }

    /// Tells of every place that is reached from now on.
    pub fn reached(&self) -> watch::Receiver<u64> {
        self.place.subscribe()
    }

    /// Whether an object that was fetched at the place `fetched`, and then, is still what it was. One from a later place
    /// than this edge knows belongs to another history (a restored NATS), and is not.
    pub fn is_good(&self, key: &str, fetched: u64, fetched_ms: i64) -> bool {
        if fetched > self.place() {
            return false;
        }
        let tags = self.read();
        fetched >= tags.floor
            && fetched_ms >= tags.since_ms
            && (tags.purged.is_empty()
                || !tags_of(key).iter().any(|tag| tags.purged.get(tag.as_str()).is_some_and(|last| *last > fetched)))
    }

    /// Whether viewers are refused an object, whatever their token says.
    pub fn is_refused(&self, key: &str, now_ms: i64) -> bool {
        let tags = self.read();
        !tags.refused.is_empty()
            && tags_of(key).iter().any(|tag| tags.refused.get(tag.as_str()).is_some_and(|until_ms| now_ms < *until_ms))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Tags> {
        self.tags.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Tags> {
        self.tags.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use framemill_schemas::{
        delivery::{PURGE_VERSION, PurgeCause},
        ids::PurgeId,
    };

    use super::*;

    const SEGMENT: &str = "live/acme/news/t1-00c0ffee/720p/7.m4s";
    const OTHER: &str = "live/acme/sport/t1-00c0ffee/720p/7.m4s";

    fn purge(tags: &[&str], refuse: bool) -> Purge {
        Purge {
            v: PURGE_VERSION,
            id: PurgeId::new(uuid::Uuid::from_u128(1)),
            tenant: "acme".parse().unwrap(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            refuse,
            cause: PurgeCause::Request,
            requested_ms: 0,
        }
    }

    #[test]
    fn what_was_fetched_before_its_purge_is_old_and_what_after_is_good() {
        let table = Table::default();
        assert!(table.is_good(SEGMENT, 0, 0) && table.place() == 0);
        table.apply(&purge(&["channel:acme/news"], false), 5);
        assert!(!table.is_good(SEGMENT, 4, 0) && table.is_good(SEGMENT, 5, 0) && table.is_good(OTHER, 0, 0));
        table.apply(&purge(&["tenant:acme"], false), 7);
        assert!(!table.is_good(SEGMENT, 6, 0) && !table.is_good(OTHER, 5, 0) && table.is_good(OTHER, 7, 0));
        // Again, and late.
        table.apply(&purge(&["tenant:acme"], false), 6);
        assert!(table.is_good(OTHER, 7, 0) && table.place() == 7);
    }

    #[test]
    fn what_is_from_another_history_is_not_good() {
        let table = Table::default();
        table.reach(3);
        assert!(table.is_good(SEGMENT, 3, 0) && !table.is_good(SEGMENT, 4, 0));
    }

    #[test]
    fn what_cannot_be_read_purges_everything() {
        let table = Table::default();
        table.distrust(9);
        assert!(!table.is_good(SEGMENT, 0, 8) && table.is_good(SEGMENT, 0, 9));
    }

    #[test]
    fn what_is_taken_down_is_refused_for_as_long_as_purges_are_kept() {
        let table = Table::default();
        table.apply(&purge(&["channel:acme/news"], true), 1);
        assert!(table.is_refused(SEGMENT, 0) && !table.is_refused(OTHER, 0));
        table.apply(&purge(&["channel:acme/news"], false), 2);
        assert!(table.is_refused(SEGMENT, REFUSED_MS - 1) && !table.is_refused(SEGMENT, REFUSED_MS));
    }
}
