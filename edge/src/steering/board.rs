//! What this edge knows of others, and of itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use framemill_queue::Queue;
use framemill_schemas::{delivery::EdgeLoad, ids::NodeId, subject::EDGE_LOADS_BUCKET};
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use crate::{
    clock::now_ms,
    follow::{Said, follow},
};

/// Most edges that are known: every answer that is steered looks through them.
const EDGES_MAX: usize = 256;
/// How long an edge that is not heard of stays on the board, milliseconds: it may only be cut off, and viewers who find
/// no other reach it.
const FORGOTTEN_MS: i64 = 600_000;

/// An edge that viewers can be sent to.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it says of itself.
    pub load: EdgeLoad,
    /// Where viewers reach it.
    pub endpoint: Endpoint,
    /// When it was heard of, by this edge's clock, Unix milliseconds.
    pub heard_ms: i64,
}

impl Known {
    /// Takes a record; `None` where nobody is sent: it names no address, or one that is none.
    pub fn new(load: EdgeLoad, heard_ms: i64) -> Option<Self> {
        let endpoint = Endpoint::read(&load.url)?;
        Some(Self { load, endpoint, heard_ms })
    }
}

/// All edges at a moment.
#[derive(Clone, Debug)]
pub struct Edges {
    /// This one; `None` while nobody is sent to it.
    pub own: Option<Known>,
    /// Those that viewers of this one may be sent to.
    pub others: Vec<Known>,
}

/// The board. Whoever answers a viewer reads one list, which is replaced as a whole.
pub struct Board {
    name: NodeId,
    shown: ArcSwap<Edges>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    own: Option<Known>,
    others: BTreeMap<NodeId, Known>,
    /// Since when nothing can be heard, Unix milliseconds: what is known stands still.
    deaf_since_ms: Option<i64>,
}

impl Board {
    /// An empty one, of the edge with this name.
    pub fn new(name: NodeId) -> Self {
        let nobody = Edges { own: None, others: Vec::new() };
        Self { name, shown: ArcSwap::from_pointee(nobody), notes: Mutex::default() }
    }

    /// All edges now.
    pub fn edges(&self) -> Arc<Edges> {
        self.shown.load_full()
    }

    /// The moment as of which edges were heard: now, or when NATS was lost.
    pub fn as_of_ms(&self, now_ms: i64) -> i64 {
        self.notes().deaf_since_ms.unwrap_or(now_ms)
    }

    /// Takes what this edge says of itself. Others that were not heard of for long are forgotten.
    pub fn put_own(&self, load: EdgeLoad, now_ms: i64) {
        let mut notes = self.notes();
        notes.own = Known::new(load, now_ms);
        if notes.deaf_since_ms.is_none() {
            notes.others.retain(|_, known| now_ms.saturating_sub(known.heard_ms) <= FORGOTTEN_MS);
        }
        self.show(&notes);
    }

    /// Takes what another edge says; `new` when it was said now, and not found lying there.
    fn put(&self, load: EdgeLoad, new: bool, now_ms: i64) {
        if load.edge == self.name {
            return;
        }
        let mut notes = self.notes();
        let edge = load.edge.clone();
        // The other's clock counts only where there is no better one.
        let heard_ms = if new { now_ms } else { load.written_ms.min(now_ms) };
        match Known::new(load, heard_ms) {
            Some(known) if notes.others.len() < EDGES_MAX || notes.others.contains_key(&edge) => {
                notes.others.insert(edge, known);
            }
            Some(_) => {
                tracing::warn!(%edge, most = EDGES_MAX, "more edges than are kept: viewers are not sent to this one")
            }
            None => drop(notes.others.remove(&edge)),
        }
        self.show(&notes);
    }

    fn remove(&self, edge: &str) {
        let mut notes = self.notes();
        notes.others.retain(|other, _| other.as_str() != edge);
        self.show(&notes);
    }

    /// Takes whether anything can be heard. The time without does not count against anybody: with NATS gone the last list
    /// goes on, and players find out by themselves who is gone.
    fn hears(&self, hears: bool, now_ms: i64) {
        let mut notes = self.notes();
        match (hears, notes.deaf_since_ms) {
            (false, None) => notes.deaf_since_ms = Some(now_ms),
            (true, Some(since_ms)) => {
                notes.deaf_since_ms = None;
                let gap_ms = now_ms.saturating_sub(since_ms).max(0);
                for known in notes.others.values_mut() {
                    known.heard_ms = known.heard_ms.saturating_add(gap_ms);
                }
                self.show(&notes);
            }
            _ => {}
        }
    }

    fn show(&self, notes: &Notes) {
        let open = |known: &&Known| notes.own.as_ref().is_none_or(|own| known.endpoint.is_open_to(&own.endpoint));
        let others = notes.others.values().filter(open).cloned().collect();
        self.shown.store(Arc::new(Edges { own: notes.own.clone(), others }));
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows what edges say until it is stopped.
pub async fn watch(queue: Queue, board: Arc<Board>, stop: CancellationToken) {
    let (heard, _) = channel::channel(None);
    let hear = |said: Said<EdgeLoad>| match said {
        Said::Put { value, new, .. } => board.put(*value, new, now_ms()),
        Said::Deleted { key } => board.remove(&key),
        Said::Current => {}
        Said::Unreadable(error) => tracing::error!(%error, "what an edge says of its load cannot be read"),
    };
    let listening = async {
        loop {
            board.hears(queue.connection().is_some(), now_ms());
            if stop.run_until_cancelled(queue.connection_changed()).await.is_none() {
                return;
            }
        }
    };
    tokio::join!(follow(&queue, EDGE_LOADS_BUCKET, &heard, &stop, hear), listening);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steering::sample::idle;

    fn load(edge: &str, url: &str, written_ms: i64) -> EdgeLoad {
        EdgeLoad { url: url.to_owned(), connections_max: 1, written_ms, ..idle(edge) }
    }

    fn heard(board: &Board) -> Vec<(String, i64)> {
        board.edges().others.iter().map(|known| (known.load.edge.to_string(), known.heard_ms)).collect()
    }

    #[test]
    fn only_those_are_shown_that_viewers_may_be_sent_to() {
        let board = Board::new("own".parse().unwrap());
        board.put_own(load("own", "https://own.example", 0), 0);
        for (edge, url) in [
            ("own", "https://impostor.example"),
            ("tls", "https://tls.example"),
            ("plain", "http://plain.example"),
            ("none", ""),
            ("folder", "https://a.example/b"),
        ] {
            board.put(load(edge, url, 0), true, 0);
        }
        assert_eq!(heard(&board), [("tls".to_owned(), 0)]);
        board.put(load("tls", "", 0), true, 0);
        assert!(board.edges().others.is_empty());
        board.put_own(load("own", "", 0), 0);
        assert!(board.edges().own.is_none());
    }

    #[test]
    fn what_lay_there_is_as_old_as_it_says_and_what_comes_is_new() {
        let board = Board::new("own".parse().unwrap());
        board.put(load("a", "https://a.example", 1_000), false, 50_000);
        board.put(load("b", "https://b.example", 1_000), true, 50_000);
        board.put(load("c", "https://c.example", 99_000), false, 50_000);
        assert_eq!(heard(&board), [("a".to_owned(), 1_000), ("b".to_owned(), 50_000), ("c".to_owned(), 50_000)]);
        board.put_own(load("own", "https://own.example", 0), 1_000 + FORGOTTEN_MS + 1);
        assert_eq!(heard(&board).len(), 2);
        board.remove("b");
        assert_eq!(heard(&board).len(), 1);
    }

    #[test]
    fn the_time_without_nats_does_not_count() {
        let board = Board::new("own".parse().unwrap());
        board.put(load("a", "https://a.example", 0), true, 1_000);
        board.hears(false, 5_000);
        board.hears(false, 6_000);
        assert_eq!(board.as_of_ms(9_000_000), 5_000);
        board.put_own(load("own", "https://own.example", 0), 9_000_000);
        assert_eq!(heard(&board), [("a".to_owned(), 1_000)]);
        board.hears(true, 9_000_000);
        assert_eq!((board.as_of_ms(9_000_001), heard(&board)), (9_000_001, vec![("a".to_owned(), 8_996_000)]));
    }

    #[test]
    fn no_more_edges_are_kept_than_there_is_room_for() {
        let board = Board::new("own".parse().unwrap());
        for number in 0..EDGES_MAX + 10 {
            board.put(load(&format!("edge-{number}"), "https://a.example", 0), true, 0);
        }
        assert_eq!(board.edges().others.len(), EDGES_MAX);
    }
}
