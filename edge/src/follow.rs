//! Follows what decides about tokens: keys, and what is revoked.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use framemill_queue::{Change, Queue, Watch};
use framemill_schemas::{
    delivery::{Claims, REVOCATION_AGE_MAX, Revocation, Revoked, TokenKey},
    ids::Tenant,
    subject::{REVOCATIONS_BUCKET, TOKEN_KEYS_BUCKET},
};
use framemill_tokens::Keyring;
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;

/// Pause before NATS is asked again that did not answer.
const AGAIN: Duration = Duration::from_millis(200);

/// Revocations that are kept in memory; beyond it the oldest are dropped whose tokens have all expired.
const REVOKED_MAX: usize = 100_000;

/// What is revoked.
#[derive(Debug, Default)]
pub struct Revocations {
    /// Until when issued tokens are refused, Unix milliseconds.
    all: RwLock<HashMap<Tenant, HashMap<Revoked, i64>>>,
    count: AtomicUsize,
}

impl Revocations {
    /// Whether a token of these claims, issued then, is refused.
    pub fn refuse(&self, claims: &Claims, issued_s: i64) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = all.get(&claims.tenant) else { return false };
        let refused = |revoked| own.get(&revoked).is_some_and(|until_ms| issued_s.saturating_mul(1000) <= *until_ms);
        refused(Revoked::Session(claims.session.clone())) || refused(Revoked::Account(claims.account.clone()))
    }

    /// Takes one. What was revoked stays so for its time: a session that is let in again gets a newer token.
    fn take(&self, revocation: Revocation, now_ms: i64) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if self.count.load(Ordering::Acquire) >= REVOKED_MAX {
            let oldest_ms = now_ms.saturating_sub(i64::try_from(REVOCATION_AGE_MAX.as_millis()).unwrap_or(i64::MAX));
            all.values_mut().for_each(|own| own.retain(|_, until_ms| *until_ms > oldest_ms));
        }
        let until_ms = all.entry(revocation.tenant).or_default().entry(revocation.revoked).or_default();
        *until_ms = revocation.until_ms.max(*until_ms);
        self.count.store(all.values().map(HashMap::len).sum(), Ordering::Release);
    }
}

/// Follows revocations until it is stopped.
pub async fn revocations(queue: Queue, into: Arc<Revocations>, stop: CancellationToken) {
    let Some(mut changes) = open::<Revocation>(&queue, REVOCATIONS_BUCKET, &stop).await else { return };
    while let Some(Some(change)) = stop.run_until_cancelled(changes.next()).await {
        match change {
            Ok(Change::Put { value, .. }) => into.take(*value, now_ms()),
            Ok(Change::Deleted { .. } | Change::Current) => {}
            Err(error) => tracing::error!(%error, "a revocation cannot be read; bring the edge to the farm's version"),
        }
    }
}

/// Follows keys until it is stopped.
pub async fn keys(queue: Queue, into: Arc<ArcSwap<Keyring>>, stop: CancellationToken) {
    let Some(mut changes) = open::<TokenKey>(&queue, TOKEN_KEYS_BUCKET, &stop).await else { return };
    let mut all: HashMap<String, TokenKey> = HashMap::new();
    let mut current = false;
    while let Some(Some(change)) = stop.run_until_cancelled(changes.next()).await {
        match change {
            Ok(Change::Put { key, value, .. }) => drop(all.insert(key, *value)),
            Ok(Change::Deleted { key, .. }) => drop(all.remove(&key)),
            Ok(Change::Current) => current = true,
            Err(error) => {
                tracing::error!(%error, "a key cannot be read; its tokens are refused");
                continue;
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
    }
}

/// Follows a bucket, as soon as NATS lets it; `None` when it is stopped before.
pub async fn open<T: Serialize + DeserializeOwned + Send + 'static>(
    queue: &Queue,
    bucket: &'static str,
    stop: &CancellationToken,
) -> Option<Watch<T>> {
    let records = queue.records::<T>(bucket);
    loop {
        match stop.run_until_cancelled(records.watch(">")).await? {
            Ok(changes) => return Some(changes),
            Err(error) => tracing::warn!(%error, bucket, "a bucket cannot be followed yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use framemill_schemas::delivery::{Address, REVOCATION_VERSION, Yields};

    use super::*;

    fn claims(account: &str, session: &str) -> Claims {
        Claims {
            tenant: "acme".parse().unwrap(),
            account: account.to_owned(),
            session: session.to_owned(),
            paths: vec!["/live/acme/".to_owned()].try_into().unwrap(),
            regions: Vec::new(),
            origins: Vec::new(),
            address: Address::Any,
            not_before_s: 0,
            expires_s: 1,
            sessions_max: 0,
            yields: Yields::Oldest,
        }
    }

    #[test]
    fn what_was_issued_before_is_refused_and_what_after_is_not() {
        let revocations = Revocations::default();
        assert!(!revocations.refuse(&claims("a", "s"), 0));
        let revoke = |tenant: &str, revoked, until_ms| Revocation {
            v: REVOCATION_VERSION,
            tenant: tenant.parse().unwrap(),
            revoked,
            until_ms,
        };
        revocations.take(revoke("acme", Revoked::Session("s".to_owned()), 10_500), 0);
        revocations.take(revoke("other", Revoked::Account("a".to_owned()), 99_000), 0);
        for (account, session, issued_s, refused) in
            [("a", "s", 10, true), ("a", "s", 11, false), ("a", "t", 10, false), ("s", "a", 10, false)]
        {
            assert_eq!(
                revocations.refuse(&claims(account, session), issued_s),
                refused,
                "{account} {session} {issued_s}"
            );
        }
        revocations.take(revoke("acme", Revoked::Account("a".to_owned()), 20_000), 0);
        revocations.take(revoke("acme", Revoked::Account("a".to_owned()), 15_000), 0);
        assert!(revocations.refuse(&claims("a", "t"), 20));
    }
}
