//! Outages: who notices one, who asks whether it is over, and who waits for that.
//!
//! The SDK repeats a request over a blip of seconds, and nobody else repeats it. What it gives up
//! with the symptom of an outage is one: from then on a single watcher asks the store now and
//! then, with a small put of its own, and whoever is patient sends nothing until that is taken.
//! Nothing here decides what a caller does meanwhile.

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::{config::retry::RetryConfig, primitives::ByteStream};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use crate::{check::TRIAL_FOLDER, client, error::StoreError, fault, store::Store};

/// First pause between two questions, or before a request that broke off is made again.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Longest pause: what an outage costs beyond its own length.
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// Longest wait for an answer to the watcher: an answer that comes later is no sign of health, and
/// a connection that died would keep it from asking anew.
const ANSWER_MS_MAX: u64 = 5_000;
/// Bytes of the watcher's put: a disk that is full to the brim may still take an empty file.
const PROBE_BYTES: usize = 4 * 1024;

/// What is known of a store's outages, shared by all clones of its handle.
#[derive(Debug)]
pub(crate) struct Outages(watch::Sender<Option<StoreError>>);

impl Default for Outages {
    fn default() -> Self {
        Self(watch::channel(None).0)
    }
}

impl Store {
    /// The same store for callers that can wait: puts and reads that meet an outage go on once it
    /// is over, and fail only when it outlasts `limits.outage_ms`.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { patience: self.shared.limits.outage(), ..self.clone() }
    }

    /// Why the store is away, where a patient caller has met an outage that is not over yet.
    pub fn outage(&self) -> Option<StoreError> {
        self.shared.outages.0.borrow().clone()
    }

    /// Calls `tell` with whether the store is away: now, and with each change, for ever.
    pub async fn follow_outages(&self, mut tell: impl FnMut(bool)) {
        let mut state = self.shared.outages.0.subscribe();
        loop {
            let away = state.borrow_and_update().is_some();
            tell(away);
            if state.changed().await.is_err() {
                // Not while this handle lives.
                return std::future::pending().await;
            }
        }
    }

    /// The waits of one call.
    pub(crate) fn waits(&self) -> Waits<'_> {
        Waits { store: self, until: None, pause: PAUSE_FIRST }
    }

    fn note_outage(&self, error: &StoreError) {
        let began = self.shared.outages.0.send_if_modified(|state| {
            let began = state.is_none();
            state.get_or_insert_with(|| error.clone());
            began
        });
        if began {
            tracing::warn!(endpoint = self.shared.endpoint, %error, "the store is away; what is to be stored waits");
            tokio::spawn(watch_until_over(self.clone()));
        }
    }

    /// Asks whether a put would be taken now: one attempt, one short wait.
    async fn probe(&self) -> Result<(), StoreError> {
        let key = format!("{TRIAL_FOLDER}/probe");
        let limits = crate::Limits { answer_ms: self.shared.limits.answer_ms.min(ANSWER_MS_MAX), ..self.shared.limits };
        let once = || client::sized(&limits, PROBE_BYTES as u64).retry_config(RetryConfig::disabled());
        let put = self.client.put_object().bucket(&self.shared.bucket).key(&key);
        let put = put.body(ByteStream::from(vec![0; PROBE_BYTES])).customize().config_override(once());
        put.send().await.map_err(|error| fault::explain(self.call("PutObject", &key), &error))?;
        // One object of one name: left behind it would be harmless.
        let delete = self.client.delete_object().bucket(&self.shared.bucket).key(&key);
        let _ = delete.customize().config_override(once()).send().await;
        Ok(())
    }
}

/// Asks until the store takes a put, or refuses it for another reason than an outage: then whoever
/// waits hears that reason first hand.
async fn watch_until_over(store: Store) {
    let began = Instant::now();
    let mut pause = PAUSE_FIRST;
    // With nobody left who could wait there is nobody to tell.
    while Arc::strong_count(&store.shared) > 1 {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
        match store.probe().await {
            Err(error) if error.is_passing() => tracing::debug!(%error, "the store is still away"),
            answer => {
                let answer = answer.map_or_else(|error| error.to_string(), |()| "it takes puts again".to_owned());
                let seconds = began.elapsed().as_secs();
                tracing::warn!(endpoint = store.shared.endpoint, answer, seconds, "an outage of the store is over");
                break;
            }
        }
    }
    store.shared.outages.0.send_replace(None);
}

/// How long one call has waited for the store so far.
pub(crate) struct Waits<'a> {
    store: &'a Store,
    /// When its patience ends; set by its first failure.
    until: Option<Instant>,
    pause: Duration,
}

impl Waits<'_> {
    /// Takes a failure of the call. Returns once the call may be made again; fails with the same
    /// error when waiting does not help, is not wanted, or has lasted too long.
    pub async fn out(&mut self, error: StoreError) -> Result<(), StoreError> {
        if self.store.patience.is_zero() || !error.is_passing() {
            return Err(error);
        }
        let until = *self.until.get_or_insert_with(|| Instant::now() + self.store.patience);
        if error.is_outage() {
            self.store.note_outage(&error);
        }
        // A pause in any case: a store may take the watcher's small put and not this one.
        let mut state = self.store.shared.outages.0.subscribe();
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        let over = async {
            sleep(pause).await;
            let _ = state.wait_for(Option::is_none).await;
        };
        timeout_at(until, over).await.map_err(|_| error)
    }
}
