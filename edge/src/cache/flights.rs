//! One fetch for all who ask for one thing at a time, and what they get of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use super::{Age, Entry, Shelf};
use crate::{
    clock::now_ms,
    metrics::Metrics,
    origin::{FetchError, Origins},
    purge::Table,
};

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The cache.
    Hit,
    /// An origin.
    Miss,
    /// The cache, since no origin answered.
    Stale,
}

/// What somebody gets who asked.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What is there, or that nothing is.
    pub entry: Entry,
    /// Where it came from.
    pub served: Served,
}

/// The cache in front of the origins.
pub struct Cache {
    shelf: Shelf,
    origins: Arc<Origins>,
    table: Arc<Table>,
    metrics: Arc<Metrics>,
    flights: Mutex<HashMap<String, Flight>>,
}

#[derive(Clone)]
struct Flight {
    /// Tells two flights for one key apart.
    place: u64,
    landed: Shared<BoxFuture<'static, Result<Entry, FetchError>>>,
}

impl Cache {
    /// Takes what it stands on.
    pub fn new(shelf: Shelf, origins: Arc<Origins>, table: Arc<Table>, metrics: Arc<Metrics>) -> Self {
        Self { shelf, origins, table, metrics, flights: Mutex::default() }
    }

    /// What is under a key: from the cache while it is fresh and not purged, else from the first origin that has it.
    ///
    /// # Errors
    /// No origin answered, and nothing is there that could be shown instead.
    pub async fn get(self: &Arc<Self>, key: &str) -> Result<Answer, FetchError> {
        let mut spare = None;
        if let Some(entry) = self.usable(key, self.shelf.in_memory(key), &mut spare) {
            return Ok(Answer { entry, served: Served::Hit });
        }
        if spare.is_none()
            && let Some(entry) = self.usable(key, self.shelf.on_disk(key).await, &mut spare)
        {
            return Ok(Answer { entry, served: Served::Hit });
        }
        let landed = match self.board(key) {
            Boarded::Landed(entry) => return Ok(Answer { entry, served: Served::Hit }),
            Boarded::Flying(landed) => landed,
        };
        match (landed.await, spare) {
            (Ok(entry), _) => Ok(Answer { entry, served: Served::Miss }),
            (Err(error), Some(entry)) => {
                tracing::debug!(key, %error, "shown although it is stale");
                Ok(Answer { entry, served: Served::Stale })
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The entry if it may be shown; one that is only better than nothing goes into `spare`.
    fn usable(&self, key: &str, entry: Option<Entry>, spare: &mut Option<Entry>) -> Option<Entry> {
        let entry = entry.filter(|entry| self.table.is_good(key, entry.place()))?;
        match entry.age(now_ms()) {
            Age::Fresh => Some(entry),
            Age::Stale => {
                *spare = Some(entry);
                None
            }
            Age::Dead => None,
        }
    }

    /// The flight to wait for: one that is under way and not purged, or a new one.
    fn board(self: &Arc<Self>, key: &str) -> Boarded {
        let mut flights = self.flights();
        // One may have landed between the look at the shelf and the lock.
        if let Some(entry) = self.usable(key, self.shelf.in_memory(key), &mut None) {
            return Boarded::Landed(entry);
        }
        if let Some(flight) = flights.get(key).filter(|flight| self.table.is_good(key, flight.place)) {
            return Boarded::Flying(flight.landed.clone());
        }
        let (cache, name) = (Arc::clone(self), key.to_owned());
        let (place, began_ms) = (self.table.place(), now_ms());
        // A task of its own: whoever asked first may go away, and the others still wait.
        let fetched = tokio::spawn(async move { cache.fetch(name, place, began_ms).await });
        let landed = async move { fetched.await.unwrap_or(Err(FetchError::Broken)) }.boxed().shared();
        flights.insert(key.to_owned(), Flight { place, landed: landed.clone() });
        Boarded::Flying(landed)
    }

    async fn fetch(&self, key: String, place: u64, began_ms: i64) -> Result<Entry, FetchError> {
        let fetched = self.origins.fetch(&key, place, &self.metrics).await;
        let entry = fetched.map(|object| Entry::new(object, place, began_ms));
        // One that began later may have landed already.
        let newer = |there: Entry| there.place() > place;
        if let Ok(entry) = &entry
            && !self.shelf.in_memory(&key).is_some_and(newer)
        {
            self.shelf.put(&key, entry.clone());
        }
        let mut flights = self.flights();
        // A purge may have begun another one meanwhile.
        if flights.get(&key).is_some_and(|flight| flight.place == place) {
            flights.remove(&key);
        }
        entry
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<String, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what can be kept over a restart.
    pub async fn close(&self) {
        self.shelf.close().await;
    }
}

enum Boarded {
    Landed(Entry),
    Flying(Shared<BoxFuture<'static, Result<Entry, FetchError>>>),
}
