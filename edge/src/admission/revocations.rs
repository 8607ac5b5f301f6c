//! Sessions and accounts that are let in no more.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use framemill_queue::Queue;
use framemill_schemas::{
    delivery::{Claims, REVOCATION_AGE_MAX, Revocation, Revoked},
    ids::Tenant,
    subject::REVOCATIONS_BUCKET,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::now_ms,
    follow::{Said, follow},
};

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
        let count = self.count.load(Ordering::Acquire);
        let mut kept = count;
        // Now and then, and not at each: looking through all of them takes a while.
        if count >= REVOKED_MAX && count.is_multiple_of(REVOKED_MAX / 10) {
            let oldest_ms = now_ms.saturating_sub(i64::try_from(REVOCATION_AGE_MAX.as_millis()).unwrap_or(i64::MAX));
            all.values_mut().for_each(|own| own.retain(|_, until_ms| *until_ms > oldest_ms));
            kept = all.values().map(HashMap::len).sum();
        }
        let own = all.entry(revocation.tenant).or_default();
        let before = own.len();
        let until_ms = own.entry(revocation.revoked).or_default();
        *until_ms = revocation.until_ms.max(*until_ms);
        let added = own.len() - before;
        self.count.store(kept + added, Ordering::Release);
    }
}

/// Follows revocations until it is stopped.
pub async fn follow_revocations(
    queue: Queue,
    into: Arc<Revocations>,
    heard: watch::Sender<Option<u64>>,
    stop: CancellationToken,
) {
    let hear = |said| match said {
        Said::Put { value, .. } => into.take(*value, now_ms()),
        Said::Deleted { .. } | Said::Current => {}
        Said::Unreadable(error) => {
            tracing::error!(%error, "a revocation cannot be read; bring the edge to the farm's version");
        }
    };
    follow(&queue, REVOCATIONS_BUCKET, &heard, &stop, hear).await;
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
