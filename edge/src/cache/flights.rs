//! One fetch for all who ask for one thing at a time, and what they get of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use tokio::{sync::oneshot, time::timeout};

use super::{Age, Arriving, Entry, Object, Shelf};
use crate::{
    clock::now_ms,
    metrics::Metrics,
    origin::{FetchError, Fetched, Origins},
    purge::Table,
};

/// How long somebody waits for an origin who could get what is stale.
const SPARE_MAX: Duration = Duration::from_millis(700);

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
    /// The bytes of its object, while they come: the object in the entry has none then.
    pub arriving: Option<Arc<Arriving>>,
    /// Where it came from.
    pub served: Served,
}

impl Answer {
    /// What was kept.
    pub const fn kept(entry: Entry, served: Served) -> Self {
        Self { entry, arriving: None, served }
    }
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
    /// When it began, Unix milliseconds.
    began_ms: i64,
    seen: Shared<BoxFuture<'static, Result<Seen, FetchError>>>,
}

/// What a flight has brought once there is something to show.
#[derive(Clone)]
struct Seen {
    entry: Entry,
    /// Its object's bytes, when they are still to come.
    arriving: Option<Arc<Arriving>>,
}

impl Seen {
    fn answer(self) -> Answer {
        Answer { entry: self.entry, arriving: self.arriving, served: Served::Miss }
    }
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
            return Ok(Answer::kept(entry, Served::Hit));
        }
        if spare.is_none()
            && let Some(entry) = self.usable(key, self.shelf.on_disk(key).await, &mut spare)
        {
            return Ok(Answer::kept(entry, Served::Hit));
        }
        let seen = match self.board(key) {
            Boarded::Landed(entry) => return Ok(Answer::kept(entry, Served::Hit)),
            Boarded::Flying(seen) => seen,
        };
        let Some(entry) = spare else { return seen.await.map(Seen::answer) };
        // An origin that hangs is no better than one that fails: the fetch goes on, the viewer does not wait for it.
        match timeout(SPARE_MAX, seen).await {
            Ok(Ok(seen)) => Ok(seen.answer()),
            _ => Ok(Answer::kept(entry, Served::Stale)),
        }
    }

    /// The entry if it may be shown; one that is only better than nothing goes into `spare`.
    fn usable(&self, key: &str, entry: Option<Entry>, spare: &mut Option<Entry>) -> Option<Entry> {
        let entry = entry.filter(|entry| self.table.is_good(key, entry.place(), entry.fetched_ms()))?;
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
        let is_good = |flight: &&Flight| self.table.is_good(key, flight.place, flight.began_ms);
        if let Some(flight) = flights.get(key).filter(is_good) {
            return Boarded::Flying(flight.seen.clone());
        }
        let (cache, name) = (Arc::clone(self), key.to_owned());
        let (place, began_ms) = (self.table.place(), now_ms());
        let (tell, told) = oneshot::channel();
        // A task of its own: whoever asked first may go away, and the others still wait.
        tokio::spawn(async move {
            let landing = Landing { cache: &cache, key: &name, place };
            cache.fly(landing, began_ms, tell).await;
        });
        let seen = async move { told.await.unwrap_or(Err(FetchError::Broken)) }.boxed().shared();
        flights.insert(key.to_owned(), Flight { place, began_ms, seen: seen.clone() });
        Boarded::Flying(seen)
    }

    /// One flight from its beginning to its end; tells what there is as soon as there is something to show.
    async fn fly(&self, landing: Landing<'_>, began_ms: i64, tell: oneshot::Sender<Result<Seen, FetchError>>) {
        let (key, place) = (landing.key, landing.place);
        // What another cache kept for a while is as old as it says.
        let entry = |object: Option<Object>| {
            let age_ms = object.as_ref().map_or(0, |object| i64::from(object.age_s) * 1000);
            Entry::new(object, place, began_ms.saturating_sub(age_ms))
        };
        let whole = match self.origins.fetch(key, place, &self.metrics).await {
            Ok(Some(Fetched::Begun(flow))) => {
                let (arriving, mut pouring) = Arriving::new(flow.size());
                let head = flow.head().clone();
                // Nobody may be waiting any more; the next one who comes will be glad of it.
                tell.send(Ok(Seen { entry: entry(Some(head.clone())), arriving: Some(arriving) })).ok();
                if !flow.pour(key, place, &mut pouring, &self.metrics).await {
                    // Before those who read are told: whoever asks again gets another flight.
                    drop(landing);
                    return;
                }
                if let Some(body) = pouring.end() {
                    self.keep(key, &entry(Some(Object { body, ..head })));
                }
                return;
            }
            Ok(Some(Fetched::Whole(object))) => Ok(entry(Some(object))),
            Ok(None) => Ok(entry(None)),
            Err(error) => Err(error),
        };
        if let Ok(entry) = &whole {
            self.keep(key, entry);
        }
        drop(landing);
        tell.send(whole.map(|entry| Seen { entry, arriving: None })).ok();
    }

    fn keep(&self, key: &str, entry: &Entry) {
        // One that began later may have landed already.
        let newer = |there: Entry| there.place() > entry.place();
        if !self.shelf.in_memory(key).is_some_and(newer) {
            self.shelf.put(key, entry.clone());
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<String, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what can be kept over a restart.
    pub async fn close(&self) {
        self.shelf.close().await;
    }
}

/// Ends a flight however its fetch ends, by a panic too.
struct Landing<'a> {
    cache: &'a Cache,
    key: &'a str,
    place: u64,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut flights = self.cache.flights();
        // A purge may have begun another one meanwhile.
        if flights.get(self.key).is_some_and(|flight| flight.place == self.place) {
            flights.remove(self.key);
        }
    }
}

enum Boarded {
    Landed(Entry),
    Flying(Shared<BoxFuture<'static, Result<Seen, FetchError>>>),
}
