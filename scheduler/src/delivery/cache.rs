//! The farm's token keys in memory, read anew when they are older than a moment: tokens are issued far more often than
//! keys change.
//!
//! A key that another scheduler made or retired is known here a moment later. What that one retired at once may sign
//! for that long; edges refuse such a token, and its viewer asks again.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use framemill_queue::{Queue, RecordError};
use framemill_schemas::delivery::{SigningKey, TokenKey};
use framemill_tokens::Keyring;
use tokio::sync::Mutex;

use super::keys;

/// How old what is remembered may be.
const FRESH: Duration = Duration::from_secs(1);

/// The keys, as they were at one moment.
pub struct Keys {
    /// Verifying halves.
    pub verifying: Vec<TokenKey>,
    /// Signing halves, by key id.
    pub signing: HashMap<String, SigningKey>,
    /// What verifies tokens.
    pub ring: Keyring,
}

/// The keys, and when they were read.
type Known = (Instant, Arc<Keys>);

/// Remembers the keys. Clones share what they remember.
#[derive(Clone)]
pub struct KeyCache {
    queue: Queue,
    known: Arc<Mutex<Option<Known>>>,
}

impl KeyCache {
    /// One that knows nothing yet.
    pub fn new(queue: Queue) -> Self {
        Self { queue, known: Arc::default() }
    }

    /// The keys. One caller at a time reads them; the others wait for what it finds.
    pub async fn keys(&self) -> Result<Arc<Keys>, RecordError> {
        let mut known = self.known.lock().await;
        if let Some((read, keys)) = known.as_ref()
            && read.elapsed() < FRESH
        {
            return Ok(keys.clone());
        }
        let read = Instant::now();
        let keys = Arc::new(self.read().await?);
        *known = Some((read, keys.clone()));
        Ok(keys)
    }

    /// Forgets what it knows: whoever changes a key does, so that its next request finds the change.
    pub async fn forget(&self) {
        *self.known.lock().await = None;
    }

    async fn read(&self) -> Result<Keys, RecordError> {
        let verifying = keys::list(&self.queue).await?;
        let halves = keys::signing(&self.queue).list(keys::ALL).await?;
        let signing = halves.into_iter().map(|(kid, half, _)| (kid, half)).collect();
        let (ring, faults) = Keyring::new(verifying.iter().cloned());
        for fault in faults {
            tracing::warn!(error = %fault, "a token key is left out");
        }
        Ok(Keys { verifying, signing, ring })
    }
}
