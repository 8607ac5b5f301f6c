//! The view's part about purges: what was asked for, how far it is, and how far every edge is.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use framemill_queue::Change;
use framemill_schemas::{
    delivery::{EdgeLoad, EdgeRecord, PURGE_AGE_MAX, Purge, PurgeId, PurgeStatus},
    ids::NodeId,
};
use tokio::sync::watch;

use super::{Unsent, View};
use crate::clock::now_ms;

/// A purge and how far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct PurgeEntry {
    /// The record.
    pub purge: Arc<Purge>,
    /// Its place in the order of purges.
    pub sequence: u64,
    /// What is written of how far it is, and the revision of that; `None` before anything is.
    pub status: Option<(Arc<PurgeStatus>, u64)>,
}

impl PurgeEntry {
    fn is_settled(&self) -> bool {
        self.status.as_ref().is_some_and(|(status, _)| status.is_settled())
    }
}

/// How long what an edge says of its load is shown: as long as the server keeps it, which does not say when it drops it.
const LOAD_MS_MAX: i64 = 3_600_000;

/// How far every edge is, by name.
pub type Edges = BTreeMap<NodeId, EdgeRecord>;

pub(super) struct Shelf {
    state: Mutex<State>,
    /// Something happened that whoever looks after purges may want to look at. Each of them has its own ear.
    news: watch::Sender<u64>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { state: Mutex::default(), news: watch::Sender::new(0) }
    }
}

#[derive(Default)]
struct State {
    /// By place.
    purges: BTreeMap<u64, PurgeEntry>,
    places: HashMap<PurgeId, u64>,
    /// Places of those that are not settled.
    open: BTreeMap<u64, PurgeId>,
    /// What is written of purges that were not heard of yet: the buckets are read side by side.
    early: HashMap<PurgeId, (Arc<PurgeStatus>, u64)>,
    edges: Arc<Edges>,
    /// What edges say of their load, by name.
    loads: HashMap<NodeId, EdgeLoad>,
    purges_current: bool,
    states_current: bool,
    edges_current: bool,
}

impl State {
    /// Files a purge among the open ones, or not.
    fn sort(&mut self, place: u64) {
        let Some(entry) = self.purges.get(&place) else { return };
        if entry.is_settled() {
            self.open.remove(&place);
        } else {
            self.open.insert(place, entry.purge.id);
        }
    }

    fn remove(&mut self, place: u64) {
        if let Some(entry) = self.purges.remove(&place) {
            self.places.remove(&entry.purge.id);
            self.open.remove(&place);
        }
    }

    /// Nobody says when the server drops what is too old: it is dropped here by its age.
    fn forget_old(&mut self, now_ms: i64) {
        let oldest_ms = now_ms.saturating_sub_unsigned(PURGE_AGE_MAX.as_millis() as u64);
        while let Some(first) = self.purges.first_entry()
            && first.get().purge.requested_ms < oldest_ms
        {
            let place = *first.key();
            self.remove(place);
        }
        self.early.retain(|_, (status, _)| status.requested_ms >= oldest_ms);
    }
}

impl Shelf {
    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held leaves a state that the next change puts right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// The purge, if there is one.
    pub fn purge(&self, id: PurgeId) -> Option<PurgeEntry> {
        let state = self.shared.purges.state();
        state.places.get(&id).and_then(|place| state.purges.get(place)).cloned()
    }

    /// All purges that are kept, newest first.
    pub fn purges(&self) -> Vec<PurgeEntry> {
        self.shared.purges.state().purges.values().rev().cloned().collect()
    }

    /// Purges that are not settled, oldest first.
    pub fn open_purges(&self) -> Vec<PurgeEntry> {
        let state = self.shared.purges.state();
        state.open.keys().filter_map(|place| state.purges.get(place).cloned()).collect()
    }

    /// How many purges lie behind a place.
    pub fn purges_behind(&self, place: u64) -> u64 {
        self.shared.purges.state().purges.range(place.saturating_add(1)..).count() as u64
    }

    /// How far every edge is.
    pub fn edges(&self) -> Arc<Edges> {
        self.shared.purges.state().edges.clone()
    }

    /// What an edge says of its load; `None` when it has not for an hour.
    pub fn edge_load(&self, edge: &NodeId) -> Option<EdgeLoad> {
        let oldest_ms = now_ms().saturating_sub(LOAD_MS_MAX);
        self.shared.purges.state().loads.get(edge).filter(|load| load.written_ms >= oldest_ms).cloned()
    }

    /// Whether every purge and every edge that was stored at the start has been seen.
    pub fn purges_are_current(&self) -> bool {
        let state = self.shared.purges.state();
        state.purges_current && state.states_current && state.edges_current
    }

    /// An ear of one's own for what happens to purges and edges.
    pub fn purge_news(&self) -> watch::Receiver<u64> {
        self.shared.purges.news.subscribe()
    }

    /// Takes in a purge.
    pub fn put_purge(&self, change: Change<Purge>) {
        let shelf = &self.shared.purges;
        let mut state = shelf.state();
        match change {
            Change::Put { value, revision, .. } => {
                let id = value.id;
                // A watch that was begun anew brings again what is known.
                let known = state.places.get(&id).copied().filter(|place| *place == revision);
                let known = known.and_then(|place| state.purges.get(&place)?.status.clone());
                let status = state.early.remove(&id).or(known);
                if let Some(place) = state.places.get(&id).copied().filter(|place| *place != revision) {
                    state.remove(place);
                }
                state.purges.insert(revision, PurgeEntry { purge: Arc::new(*value), sequence: revision, status });
                state.places.insert(id, revision);
                state.sort(revision);
                state.forget_old(now_ms());
            }
            Change::Deleted { key, .. } => {
                let place = key.parse::<PurgeId>().ok().and_then(|id| state.places.get(&id).copied());
                if let Some(place) = place {
                    state.remove(place);
                }
            }
            Change::Current => state.purges_current = true,
        }
        drop(state);
        shelf.tell();
    }

    /// Takes in how far a purge is.
    pub fn put_purge_status(&self, change: Change<PurgeStatus>) {
        let shelf = &self.shared.purges;
        let mut state = shelf.state();
        match change {
            Change::Put { key, value, revision } => {
                let unsent = !value.unsent.is_empty();
                let (id, status) = (value.id, Some((Arc::new(*value), revision)));
                match state.places.get(&id).copied() {
                    Some(place) => {
                        if let Some(entry) = state.purges.get_mut(&place) {
                            entry.status = status;
                        }
                        state.sort(place);
                    }
                    None => state.early.extend(status.map(|status| (id, status))),
                }
                if unsent {
                    self.state().unsent.insert(Unsent::Purge(key));
                    self.shared.unsent.notify_one();
                }
            }
            Change::Deleted { key, .. } => {
                let place = key.parse::<PurgeId>().ok().and_then(|id| state.places.get(&id).copied());
                if let Some(entry) = place.and_then(|place| state.purges.get_mut(&place)) {
                    entry.status = None;
                }
                if let Some(place) = place {
                    state.sort(place);
                }
            }
            Change::Current => state.states_current = true,
        }
        drop(state);
        shelf.tell();
    }

    /// Takes in an edge.
    pub fn put_edge(&self, change: Change<EdgeRecord>) {
        let shelf = &self.shared.purges;
        let mut state = shelf.state();
        match change {
            Change::Put { value, .. } => {
                Arc::make_mut(&mut state.edges).insert(value.edge.clone(), *value);
            }
            Change::Deleted { key, .. } => {
                if let Ok(edge) = key.parse::<NodeId>() {
                    Arc::make_mut(&mut state.edges).remove(&edge);
                }
            }
            Change::Current => state.edges_current = true,
        }
        drop(state);
        shelf.tell();
    }

    /// Takes in what an edge says of its load. No purge waits for that, so nobody is told.
    pub fn put_edge_load(&self, change: Change<EdgeLoad>) {
        let mut state = self.shared.purges.state();
        match change {
            Change::Put { value, .. } => {
                // Nobody says when the server drops what is too old.
                let oldest_ms = now_ms().saturating_sub(LOAD_MS_MAX);
                state.loads.retain(|_, load| load.written_ms >= oldest_ms);
                state.loads.insert(value.edge.clone(), *value);
            }
            Change::Deleted { key, .. } => {
                if let Ok(edge) = key.parse::<NodeId>() {
                    state.loads.remove(&edge);
                }
            }
            Change::Current => {}
        }
    }
}
