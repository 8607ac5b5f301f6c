//! All origins in their order, and one fetch over them: the first that answers, another one when it fails or is slow.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use framemill_storage::S3Config;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{breaker::Breaker, source::Source};
use crate::{cache::Object, clock::now_ms, config::EdgeConfig, metrics::Metrics};

/// Longest that somebody waits for an object, over all origins.
const FETCH_MAX: Duration = Duration::from_secs(15);

/// Longest that one origin may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Fetches at once; more wait.
const FETCHES_MAX: usize = 256;

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
    all: Vec<Origin>,
    places: Semaphore,
}

struct Origin {
    name: String,
    source: Source,
    breaker: Mutex<Breaker>,
}

/// What one origin said.
type Said = Result<Option<Object>, String>;

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
            Ok(Origin { name: source.name(), source, breaker: Mutex::default() })
        };
        let all = config.origins.iter().map(open).collect::<Result<_, String>>()?;
        Ok(Self { all, places: Semaphore::new(FETCHES_MAX) })
    }

    /// The object under a key as of a place in the order of purges; `None` when no origin that answers has it.
    ///
    /// One origin is asked first. When it fails, says that there is nothing, or takes longer than nearly always, the
    /// next one is asked too; the first object wins.
    ///
    /// # Errors
    /// No origin answered.
    pub async fn fetch(&self, key: &str, place: u64, metrics: &Metrics) -> Result<Option<Object>, FetchError> {
        let fetched = async {
            // Memory for what arrives is bounded too.
            let _place = self.places.acquire().await.expect("the semaphore is never closed");
            self.race(key, place, metrics).await
        };
        timeout(FETCH_MAX, fetched).await.unwrap_or(Err(FetchError::Slow))
    }

    async fn race(&self, key: &str, place: u64, metrics: &Metrics) -> Result<Option<Object>, FetchError> {
        let mut waiting = order(&self.all.iter().map(|origin| origin.lock().admits(now_ms())).collect::<Vec<_>>())
            .into_iter()
            .map(|index| &self.all[index]);
        let mut asked = FuturesUnordered::new();
        let mut missing = false;
        let Some(first) = waiting.next() else { return Err(FetchError::NoOrigin) };
        asked.push(first.ask(key, place, metrics));
        let mut hedge = Some(first.hedge());
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
                    Ok(Some(object)) => return Ok(Some(object)),
                    // Another one may be ahead of it.
                    Ok(None) => missing = true,
                    Err(()) => {}
                },
                () = slow => metrics.hedged(),
            }
            match waiting.next() {
                Some(next) => {
                    asked.push(next.ask(key, place, metrics));
                    hedge = Some(next.hedge());
                }
                None => hedge = None,
            }
            if asked.is_empty() {
                return if missing { Ok(None) } else { Err(FetchError::NoOrigin) };
            }
        }
    }
}

impl Origin {
    async fn ask(&self, key: &str, place: u64, metrics: &Metrics) -> Result<Option<Object>, ()> {
        let begun_ms = now_ms();
        // A bound of its own, below that of the whole: one that hangs has failed, and is left alone like any other.
        let said: Said = timeout(ANSWER_MAX, self.source.fetch(key, place))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_MAX.as_secs())));
        let took_ms = now_ms().saturating_sub(begun_ms);
        metrics.fetched(&self.name, said.is_ok(), took_ms);
        match said {
            Ok(object) => {
                self.lock().answered(took_ms);
                Ok(object)
            }
            Err(error) => {
                let alone = self.lock().failed(now_ms());
                // Said aloud when it is given up for a while, and not once for each request of a crowd.
                if alone {
                    tracing::warn!(origin = self.name, key, error, "an origin fails, and is left alone for a while");
                } else {
                    tracing::debug!(origin = self.name, key, error, "an origin failed");
                }
                Err(())
            }
        }
    }

    fn hedge(&self) -> Duration {
        Duration::from_millis(self.lock().hedge_ms().unsigned_abs())
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes which origins may be asked; returns in which order they are. Those that failed come last, not never: when
/// nobody else is left, an answer that may fail is better than none.
fn order(admitted: &[bool]) -> Vec<usize> {
    let (good, bad): (Vec<usize>, Vec<usize>) = (0..admitted.len()).partition(|index| admitted[*index]);
    good.into_iter().chain(bad).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_that_failed_come_last() {
        assert_eq!(order(&[true, true]), [0, 1]);
        assert_eq!(order(&[false, true]), [1, 0]);
        assert_eq!(order(&[false, false]), [0, 1]);
        assert!(order(&[]).is_empty());
    }
}
