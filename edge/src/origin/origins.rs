//! All origins in their order, and one fetch over them: the first that answers, another one when it fails or is slow.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use framemill_storage::S3Config;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    begun::{Begun, Sent},
    board::Board,
    breaker::Breaker,
    distance::Distance,
    health::Standing,
    kept::is_text,
    lately::Lately,
    order::{Known, OriginOrder, order},
    pour::Flow,
    source::Source,
};
use crate::{cache::Object, clock::now_ms, config::EdgeConfig, folder::folder, metrics::Metrics};

/// Longest that somebody waits for an object, over all origins.
const FETCH_MAX: Duration = Duration::from_secs(15);

/// Longest that one origin may take.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Fetches at once; more wait.
const FETCHES_MAX: usize = 256;
/// Earliest that a sick origin is asked since another one is slow: rather late than old, but not for long.
const SICK_AFTER: Duration = Duration::from_secs(2);

/// Why nothing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Every origin failed.
    #[error("no origin has an answer")]
    NoOrigin,
    /// None was done in time.
    #[error("no origin answered in time")]
    Slow,
    /// The fetch itself broke off: a fault of this program.
    #[error("the fetch broke off")]
    Broken,
}

/// The origins.
pub struct Origins {
    pub(super) all: Vec<Origin>,
    by: OriginOrder,
    places: Semaphore,
    lately: Mutex<Lately>,
    board: Mutex<Board>,
}

/// One of them.
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) source: Source,
    breaker: Mutex<Breaker>,
    distance: Mutex<Distance>,
}

/// One that may be asked for a key, and how it stands for that.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    origin: &'a Origin,
    standing: Standing,
}

/// What is told of one.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its name, without secrets.
    pub name: String,
    /// Whether it answers, and none is better for most channels.
    pub healthy: bool,
    /// Channels that another one is better for.
    pub sick_channels: usize,
}

/// What came.
pub enum Fetched<'a> {
    /// All of it.
    Whole(Object),
    /// Its beginning.
    Begun(Box<Flow<'a>>),
}

/// What one origin sent, when it was asked, and how long that took.
struct Said {
    sent: Sent,
    asked: Instant,
    took_ms: i64,
}

impl Origins {
    /// Takes the configuration's, the best first.
    ///
    /// # Errors
    /// What is wrong with one.
    pub fn open(config: &EdgeConfig, s3: &S3Config) -> Result<Self, String> {
        if config.origins.is_empty() {
            return Err("an edge needs at least one".to_owned());
        }
        let open = |origin: &String| {
            let source = Source::open(origin, s3, config.shield_secret.as_ref())?;
            let (name, breaker, distance) = (source.name(), Mutex::default(), Mutex::default());
            Ok(Origin { name, source, breaker, distance })
        };
        let all = config.origins.iter().map(open).collect::<Result<Vec<_>, String>>()?;
        let board = Mutex::new(Board::new(all.len()));
        Ok(Self { all, by: config.origin_order, places: Semaphore::new(FETCHES_MAX), lately: Mutex::default(), board })
    }

    /// The object under a key as of a place in the order of purges; `None` when no origin that answers has it.
    ///
    /// One origin is asked first. When it fails, says that there is nothing, or takes longer than nearly always, the
    /// next one is asked too; the first object wins, or the first beginning of one.
    ///
    /// # Errors
    /// No origin answered.
    pub async fn fetch(&self, key: &str, place: u64, metrics: &Metrics) -> Result<Option<Fetched<'_>>, FetchError> {
        let fetched = async {
            // Memory for what arrives is bounded too.
            let room = self.places.acquire().await.expect("the semaphore is never closed");
            let candidates = self.candidates(key);
            let Some((winner, said)) = self.race(&candidates, key, place, metrics).await? else { return Ok(None) };
            let Said { sent, asked, took_ms } = said;
            Ok(Some(match sent {
                Sent::Whole(object) => Fetched::Whole(object),
                Sent::Begun(begun) => {
                    let others = candidates.into_iter().map(|candidate| candidate.origin);
                    let others = others.filter(|origin| !std::ptr::eq(*origin, winner)).collect();
                    Fetched::Begun(Box::new(Flow { origin: winner, begun, others, asked, took_ms, place: room }))
                }
            }))
        };
        let fetched = timeout(FETCH_MAX, fetched).await.unwrap_or(Err(FetchError::Slow));
        // Where there is nothing to choose from, nothing is looked at.
        if let Ok(Some(Fetched::Whole(object))) = &fetched
            && self.all.len() > 1
        {
            self.lately().note(key, &object.body, now_ms());
        }
        fetched
    }

    /// How many are good, and how many there are.
    pub fn healthy(&self) -> (usize, usize) {
        let told = self.told();
        (told.iter().filter(|told| told.healthy).count(), told.len())
    }

    /// What is told of each, in their listed order.
    pub fn told(&self) -> Vec<Told> {
        let (board, now_ms) = (self.board(), now_ms());
        let tell = |(index, origin): (usize, &Origin)| Told {
            name: origin.name.clone(),
            healthy: origin.breaker().is_well(now_ms) && !board.is_sick(index),
            sick_channels: board.sick(index),
        };
        self.all.iter().enumerate().map(tell).collect()
    }

    pub(super) fn lately(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is asked for a key, the best first.
    fn candidates(&self, key: &str) -> Vec<Candidate<'_>> {
        let (standings, now_ms) = (self.board().standings(folder(key)), now_ms());
        let known: Vec<_> = self
            .all
            .iter()
            .zip(&standings)
            .map(|(origin, standing)| Known {
                admitted: origin.breaker().admits(now_ms),
                standing: *standing,
                step: origin.distance().step(),
            })
            .collect();
        let candidate = |index: usize| Candidate { origin: &self.all[index], standing: standings[index] };
        order(self.by, &known).into_iter().map(candidate).collect()
    }

    async fn race<'a>(
        &'a self,
        candidates: &[Candidate<'a>],
        key: &str,
        place: u64,
        metrics: &Metrics,
    ) -> Result<Option<(&'a Origin, Said)>, FetchError> {
        let mut waiting = candidates.iter().peekable();
        let mut asked = FuturesUnordered::new();
        let mut missing = false;
        let Some(first) = waiting.next() else { return Err(FetchError::NoOrigin) };
        asked.push(first.ask(key, place, metrics));
        let mut hedge = first.patience(waiting.peek(), key);
        loop {
            let slow = async {
                match hedge {
                    Some(after) => sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(said) = asked.next() => match said {
                    Ok(Some(sent)) => return Ok(Some(sent)),
                    // Another one may be ahead of it.
                    Ok(None) => missing = true,
                    Err(()) => {}
                },
                () = slow => metrics.hedged(),
            }
            match waiting.next() {
                Some(next) => {
                    asked.push(next.ask(key, place, metrics));
                    hedge = next.patience(waiting.peek(), key);
                }
                None => hedge = None,
            }
            if asked.is_empty() {
                return if missing { Ok(None) } else { Err(FetchError::NoOrigin) };
            }
        }
    }
}

impl<'a> Candidate<'a> {
    async fn ask(self, key: &str, place: u64, metrics: &Metrics) -> Result<Option<(&'a Origin, Said)>, ()> {
        let Some(mut said) = self.origin.ask(key, place, metrics).await? else { return Ok(None) };
        // What may be spoilt is not kept.
        if self.standing == Standing::Broken {
            let (Sent::Whole(object) | Sent::Begun(Begun { head: object, .. })) = &mut said.sent;
            (object.immutable, object.max_age_s, object.stale_s) = (false, object.max_age_s.min(1), 0);
        }
        Ok(Some((self.origin, said)))
    }

    /// How long this one may take before the next one is asked too, if there is one.
    fn patience(&self, next: Option<&&Self>, key: &str) -> Option<Duration> {
        let usual = Duration::from_millis(self.origin.breaker().hedge_ms().unsigned_abs());
        let may_be_bad = match next?.standing {
            Standing::Well => false,
            // It lags: what it has is good, where that never changes.
            Standing::Behind => is_text(key),
            Standing::Broken => true,
        };
        Some(if may_be_bad { usual.max(SICK_AFTER) } else { usual })
    }
}

impl Origin {
    async fn ask(&self, key: &str, place: u64, metrics: &Metrics) -> Result<Option<Said>, ()> {
        let asked = Instant::now();
        // A bound of its own, below that of the whole: one that hangs has failed, and is left alone like any other.
        let sent = timeout(ANSWER_MAX, self.source.begin(key, place))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_MAX.as_secs())));
        let took_ms = i64::try_from(asked.elapsed().as_millis()).unwrap_or(i64::MAX);
        metrics.heard(key, &self.name, sent.is_ok(), took_ms);
        // What has only begun may break off yet: how that ends counts.
        if !matches!(sent, Ok(Some(Sent::Begun(_)))) {
            metrics.fetched(&self.name, sent.is_ok(), took_ms);
        }
        match sent {
            Ok(Some(sent @ Sent::Begun(_))) => Ok(Some(Said { sent, asked, took_ms })),
            Ok(sent) => {
                self.breaker().answered(took_ms);
                Ok(sent.map(|sent| Said { sent, asked, took_ms }))
            }
            Err(error) => {
                self.failed(key, &error);
                Err(())
            }
        }
    }

    /// Takes that it did not answer.
    pub(super) fn failed(&self, key: &str, error: &str) {
        let alone = self.breaker().failed(now_ms());
        // Said aloud when it is given up for a while, and not once for each request of a crowd.
        if alone {
            tracing::warn!(origin = self.name, key, error, "an origin fails, and is left alone for a while");
        } else {
            tracing::debug!(origin = self.name, key, error, "an origin failed");
        }
    }

    pub(super) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn distance(&self) -> MutexGuard<'_, Distance> {
        self.distance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
