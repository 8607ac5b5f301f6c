//! The sessions that this edge serves. Everything a request meets is here.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use framemill_schemas::delivery::{Claims, NoSeat, SEAT_MS, Sessions, Yields, sessions_key};
use tokio::sync::mpsc;

/// Accounts that are known at once; beyond it new ones are let in without a limit.
const ACCOUNTS_MAX: usize = 200_000;
/// How often a session that watches says so in its record, milliseconds: three times in the life of a seat.
const REFRESH_MS: i64 = SEAT_MS / 3;
/// How soon one that found no seat may ask again, milliseconds.
const AGAIN_MS: i64 = 2_000;
/// Claims that wait; beyond it they are made at a later request.
const CLAIMS_MAX: usize = 10_000;

/// A seat to be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Key of the account's record.
    pub account: String,
    /// The session.
    pub session: String,
    /// Since when it watches, Unix milliseconds.
    pub began_ms: i64,
    /// Most at once.
    pub max: u32,
    /// Which one yields.
    pub yields: Yields,
}

impl Claim {
    /// The claim of a token's session that watches since then.
    fn of(claims: &Claims, account: String, began_ms: i64) -> Self {
        Self { account, session: claims.session.clone(), began_ms, max: claims.sessions_max, yields: claims.yields }
    }
}

/// The accounts that watch here.
#[derive(Debug)]
pub struct Local {
    accounts: Mutex<HashMap<String, Account>>,
    claims: mpsc::Sender<Claim>,
}

#[derive(Debug, Default)]
struct Account {
    /// What this edge knows of the record: its own sessions entered as if it were all there is.
    own: Sessions,
    /// When each session's seat was last claimed, Unix milliseconds.
    claimed_ms: HashMap<String, i64>,
    /// Sessions that the record has no seat for, and when one may be asked for again.
    refused: HashMap<String, (NoSeat, i64)>,
    /// When anything was last asked, Unix milliseconds.
    asked_ms: i64,
}

impl Local {
    /// None yet; and where claims come out.
    pub fn new() -> (Self, mpsc::Receiver<Claim>) {
        let (claims, taken) = mpsc::channel(CLAIMS_MAX);
        (Self { accounts: Mutex::default(), claims }, taken)
    }

    /// Lets a session in that has a seat or may get one.
    ///
    /// # Errors
    /// Why it may not.
    pub fn admit(&self, claims: &Claims, now_ms: i64) -> Result<(), NoSeat> {
        let key = sessions_key(&claims.tenant, &claims.account);
        let mut accounts = self.lock();
        if accounts.len() >= ACCOUNTS_MAX && !accounts.contains_key(&key) {
            return Ok(());
        }
        let account = accounts.entry(key.clone()).or_default();
        account.asked_ms = now_ms;
        if let Some((why, until_ms)) = account.refused.get_mut(&claims.session) {
            let why = *why;
            // One that found no seat asks again now and then, and stays out until the record has one for it.
            if why == NoSeat::Full && *until_ms <= now_ms {
                *until_ms = now_ms.saturating_add(AGAIN_MS);
                // What finds no room is asked once more.
                let _ = self.claims.try_send(Claim::of(claims, key, now_ms));
            }
            return Err(why);
        }
        let claimed_ms = account.claimed_ms.get(&claims.session).copied();
        let is_due = claimed_ms.is_none_or(|claimed_ms| claimed_ms.saturating_add(REFRESH_MS) <= now_ms);
        // Nearly every request: its seat was claimed, and nobody has said anything against it.
        if !is_due {
            return Ok(());
        }
        let (next, entered) = account.own.enter(&claims.session, now_ms, claims.sessions_max, claims.yields, now_ms);
        account.own = next;
        // Those that yielded here need not be told by the record.
        let Account { own, claimed_ms, .. } = account;
        claimed_ms.retain(|session, _| own.seats.iter().any(|seat| seat.session == *session));
        entered?;
        let seat = own.seats.iter().find(|seat| seat.session == claims.session);
        let claim = Claim::of(claims, key, seat.map_or(now_ms, |seat| seat.began_ms));
        if self.claims.try_send(claim).is_ok() {
            account.claimed_ms.insert(claims.session.clone(), now_ms);
        }
        Ok(())
    }

    /// Takes what an account's record says now.
    pub fn take(&self, key: &str, record: &Sessions, now_ms: i64) {
        let mut accounts = self.lock();
        // Nobody of that account watches here.
        let Some(account) = accounts.get_mut(key) else { return };
        for session in record.out.iter().map(|out| &out.session) {
            let is_known = account.claimed_ms.remove(session).is_some() || account.refused.contains_key(session);
            if is_known {
                account.own.seats.retain(|seat| seat.session != *session);
                account.refused.insert(session.clone(), (NoSeat::Yielded, now_ms));
            }
        }
        account.claimed_ms.retain(|session, _| account.own.seats.iter().any(|seat| seat.session == *session));
    }

    /// Takes that a claim found no seat.
    pub fn refuse(&self, claim: &Claim, why: NoSeat, now_ms: i64) {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(&claim.account) else { return };
        account.claimed_ms.remove(&claim.session);
        account.own.seats.retain(|seat| seat.session != claim.session);
        account.refused.insert(claim.session.clone(), (why, now_ms.saturating_add(AGAIN_MS)));
    }

    /// Takes that a claim found a seat.
    pub fn grant(&self, claim: &Claim, now_ms: i64) {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(&claim.account) else { return };
        // One that has yielded meanwhile, as the record told before the claim did, stays out.
        if matches!(account.refused.get(&claim.session), Some((NoSeat::Full, _))) {
            account.refused.remove(&claim.session);
            let (next, _) = account.own.enter(&claim.session, claim.began_ms, claim.max, claim.yields, now_ms);
            account.own = next;
            account.claimed_ms.insert(claim.session.clone(), now_ms);
        }
    }

    /// Forgets accounts that nobody has asked for lately; their records know what was refused.
    pub fn prune(&self, now_ms: i64) {
        self.lock().retain(|_, account| account.asked_ms.saturating_add(2 * SEAT_MS) > now_ms);
    }

    /// Takes that a claim could not be made: the next request makes it again.
    pub fn forget(&self, claim: &Claim) {
        if let Some(account) = self.lock().get_mut(&claim.account) {
            account.claimed_ms.remove(&claim.session);
        }
    }

    /// Sessions that have a seat here.
    pub fn count(&self) -> usize {
        self.lock().values().map(|account| account.claimed_ms.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::sample::claims;

    #[test]
    fn a_seat_is_claimed_once_and_again_after_a_while() {
        let (local, mut taken) = Local::new();
        for (now_ms, claimed) in [(0, true), (1, false), (REFRESH_MS - 1, false), (REFRESH_MS, true)] {
            assert_eq!(local.admit(&claims("a", Yields::Oldest), now_ms), Ok(()));
            assert_eq!(taken.try_recv().is_ok(), claimed, "{now_ms}");
        }
        assert_eq!(local.count(), 1);
    }

    #[test]
    fn what_the_record_says_counts() {
        let (local, mut taken) = Local::new();
        assert_eq!(local.admit(&claims("a", Yields::Oldest), 0), Ok(()));
        let claim = taken.try_recv().unwrap();
        // Another edge let another session in.
        let (record, _) = Sessions::default().enter("a", 0, 1, Yields::Oldest, 0);
        let (record, _) = record.enter("b", 10, 1, Yields::Oldest, 10);
        local.take(&claim.account, &record, 11);
        assert_eq!(local.admit(&claims("a", Yields::Oldest), 12), Err(NoSeat::Yielded));
        // A record that lacks a session which was not entered yet says nothing of it.
        assert_eq!(local.admit(&claims("c", Yields::Oldest), 13), Ok(()));
        local.take(&claim.account, &record, 14);
        assert_eq!(local.admit(&claims("c", Yields::Oldest), 15), Ok(()));
    }

    #[test]
    fn what_the_record_says_counts_before_the_claim_is_known_to_be_made() {
        let (local, mut taken) = Local::new();
        assert_eq!(local.admit(&claims("a", Yields::Oldest), 0), Ok(()));
        let claim = taken.try_recv().unwrap();
        let (record, _) = Sessions::default().enter("a", 0, 1, Yields::Oldest, 0);
        let (record, _) = record.enter("b", 10, 1, Yields::Oldest, 10);
        local.take(&claim.account, &record, 11);
        local.grant(&claim, 12);
        assert_eq!(local.admit(&claims("a", Yields::Oldest), 13), Err(NoSeat::Yielded));
    }

    #[test]
    fn one_that_finds_no_seat_asks_again_in_time() {
        let (local, mut taken) = Local::new();
        assert_eq!(local.admit(&claims("b", Yields::Newest), 0), Ok(()));
        local.refuse(&taken.try_recv().unwrap(), NoSeat::Full, 1);
        assert_eq!(local.admit(&claims("b", Yields::Newest), AGAIN_MS), Err(NoSeat::Full));
        assert!(taken.try_recv().is_err());
        assert_eq!(local.admit(&claims("b", Yields::Newest), AGAIN_MS + 1), Err(NoSeat::Full));
        local.grant(&taken.try_recv().unwrap(), AGAIN_MS + 2);
        assert_eq!(local.admit(&claims("b", Yields::Newest), AGAIN_MS + 3), Ok(()));
    }

    #[test]
    fn cut_off_from_the_records_each_edge_holds_the_limit_for_itself() {
        let (local, _taken) = Local::new();
        assert_eq!(local.admit(&claims("a", Yields::Oldest), 0), Ok(()));
        assert_eq!(local.admit(&claims("b", Yields::Oldest), 1), Ok(()));
        assert_eq!(local.admit(&claims("a", Yields::Oldest), 2), Err(NoSeat::Yielded));
    }
}
