//! The keys that tokens are verified with.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use framemill_queue::Queue;
use framemill_schemas::{delivery::TokenKey, subject::TOKEN_KEYS_BUCKET};
use framemill_tokens::Keyring;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::follow::{Said, follow};

/// Follows keys until it is stopped.
pub async fn follow_keys(
    queue: Queue,
    into: Arc<ArcSwap<Keyring>>,
    heard: watch::Sender<Option<u64>>,
    stop: CancellationToken,
) {
    let mut all: HashMap<String, TokenKey> = HashMap::new();
    let mut current = false;
    let hear = |said: Said<TokenKey>| {
        match said {
            Said::Put { key, value, .. } => drop(all.insert(key, *value)),
            Said::Deleted { key } => drop(all.remove(&key)),
            Said::Current => current = true,
            Said::Unreadable(error) => {
                tracing::error!(%error, "a key cannot be read, and is as it was; bring the edge to the farm's version");
            }
        }
        // Half of the keys would refuse viewers of the other half.
        if current {
            let (keyring, bad) = Keyring::new(all.values().cloned());
            for error in bad {
                tracing::error!(%error, "a key is left out: its tokens are refused");
            }
            into.store(Arc::new(keyring));
        }
    };
    follow(&queue, TOKEN_KEYS_BUCKET, &heard, &stop, hear).await;
}
