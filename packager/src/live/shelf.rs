//! One mutable object of a channel: its newest draft is put, and only ever forwards. One loop.
//!
//! A draft that is not stored yet gives way to a newer one, so that nothing slow ever queues. Each carries
//! its place in the log: a put takes place over the object that was there before by its entity tag, or over
//! one of a lower place. Whoever slept and wakes up with an old draft can therefore turn nothing back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use framemill_schemas::{key::digest, object::content_type};
use framemill_storage::{Meta, Put, Store, StoreError};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::Metrics;

/// Cache-Control of what is rewritten with each segment.
pub const CACHE_LIVE: &str = "public, max-age=1";
/// Longest one put may take: the next draft is due by then.
const PUT_MAX: Duration = Duration::from_secs(5);
/// Pause before a put that failed is made again.
const AGAIN: Duration = Duration::from_millis(500);
/// Times that somebody else may change the object while one draft is put.
const RACES_MAX: usize = 4;

/// A version of the object.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its bytes.
    pub body: Bytes,
    /// Its place in the log.
    pub revision: u64,
    /// The last number it tells of.
    pub number: u64,
    /// When that was heard of.
    pub heard: Instant,
}

/// A draft that is in the store.
#[derive(Clone, Copy, Debug)]
pub struct Landed {
    /// The last number it tells of.
    pub number: u64,
    /// When it was stored.
    pub at: Instant,
    /// How long after it was heard of.
    pub took: Duration,
}

/// How a draft ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored, by this put or by another packager's of the same bytes.
    Stored,
    /// A newer one is.
    Newer,
}

/// The place of one object. Its loop ends when this is dropped.
pub struct Shelf {
    drafts: watch::Sender<Option<Draft>>,
    landed: watch::Receiver<Option<Landed>>,
    _putting: AbortOnDropHandle<()>,
}

impl Shelf {
    /// For an object that is put with this metadata.
    pub fn new(store: Store, key: String, tags: Vec<String>, metrics: Arc<Metrics>) -> Self {
        let (drafts, coming) = watch::channel(None);
        let (said, landed) = watch::channel(None);
        let place = Place { store, key, tags, etag: None };
        let putting = AbortOnDropHandle::new(tokio::spawn(run(place, coming, said, metrics)));
        Self { drafts, landed, _putting: putting }
    }

    /// Hands a draft over, unless it has the bytes of the one before.
    pub fn offer(&self, draft: Draft) {
        self.drafts.send_if_modified(|last| {
            let same = last.as_ref().is_some_and(|last| last.body == draft.body);
            if !same {
                *last = Some(draft);
            }
            !same
        });
    }

    /// Where it is said what was stored last.
    pub fn landings(&self) -> watch::Receiver<Option<Landed>> {
        self.landed.clone()
    }
}

async fn run(
    mut place: Place,
    mut drafts: watch::Receiver<Option<Draft>>,
    said: watch::Sender<Option<Landed>>,
    metrics: Arc<Metrics>,
) {
    let mut wait = false;
    loop {
        let pause = async { if wait { sleep(AGAIN).await } else { std::future::pending().await } };
        tokio::select! {
            changed = drafts.changed() => if changed.is_err() { return },
            () = pause => {}
        }
        let Some(draft) = drafts.borrow_and_update().clone() else { continue };
        let put = timeout(PUT_MAX, place.forward(&draft)).await;
        wait = match put {
            Ok(Ok(outcome)) => {
                let took = draft.heard.elapsed();
                if outcome == Outcome::Stored {
                    metrics.live_playlist(took.as_secs_f64(), draft.body.len() as u64);
                    said.send_replace(Some(Landed { number: draft.number, at: Instant::now(), took }));
                }
                false
            }
            Ok(Err(error)) => {
                tracing::warn!(key = place.key, %error, "a playlist could not be stored");
                true
            }
            Err(_) => {
                tracing::warn!(key = place.key, "a playlist was not stored in time");
                true
            }
        };
        if wait {
            // The put may have been taken in spite of its answer.
            place.etag = None;
        }
    }
}

/// Where an object lies, and what is known to be there.
pub struct Place {
    store: Store,
    key: String,
    tags: Vec<String>,
    /// Entity tag of what this process put last, or found equal.
    etag: Option<String>,
}

impl Place {
    /// Puts a draft over what it follows on.
    ///
    /// # Errors
    /// What stores refuse, and an object that keeps changing.
    pub async fn forward(&mut self, draft: &Draft) -> Result<Outcome, StoreError> {
        let meta = Meta {
            content_type: content_type(&self.key).to_owned(),
            cache_control: CACHE_LIVE.to_owned(),
            tags: self.tags.clone(),
            revision: Some(draft.revision),
            ..Meta::default()
        };
        if let Some(etag) = self.etag.take()
            && let Some(stored) = self.store.put_match(&self.key, draft.body.clone(), &meta, &etag).await?
        {
            self.etag = Some(stored.etag);
            return Ok(Outcome::Stored);
        }
        for _ in 0..RACES_MAX {
            let (stored, there) = match self.store.put_new(&self.key, draft.body.clone(), &meta).await? {
                Put::Created(stored) => {
                    self.etag = Some(stored.etag);
                    return Ok(Outcome::Stored);
                }
                Put::Exists { stored, meta } => (stored, meta),
            };
            if there.digest == digest(&draft.body) {
                self.etag = Some(stored.etag);
                return Ok(Outcome::Stored);
            }
            if there.revision >= Some(draft.revision) {
                return Ok(Outcome::Newer);
            }
            if let Some(stored) = self.store.put_match(&self.key, draft.body.clone(), &meta, &stored.etag).await? {
                self.etag = Some(stored.etag);
                return Ok(Outcome::Stored);
            }
        }
        Err(StoreError::Contended { key: self.key.clone() })
    }
}
