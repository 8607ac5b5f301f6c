//! Revocations: sessions and accounts whose tokens are let in no more, and whether a token is one of theirs.

use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    delivery::{REVOCATION_VERSION, Revocation, RevocationView, Revoked},
    event::{Event, EventData},
    ids::Tenant,
    subject::REVOCATIONS_BUCKET,
};

/// How often a compare-and-set is tried again when somebody else was faster.
const CAS_TRIES_MAX: u32 = 8;

fn records(queue: &Queue) -> Records<Revocation> {
    queue.records(REVOCATIONS_BUCKET)
}

/// A revocation as it is listed.
pub fn view(revocation: &Revocation) -> RevocationView {
    let (session, account) = match &revocation.revoked {
        Revoked::Session(name) => (Some(name.clone()), None),
        Revoked::Account(name) => (None, Some(name.clone())),
    };
    RevocationView { tenant: revocation.tenant.clone(), session, account, until_ms: revocation.until_ms }
}

/// All revocations that are kept, the latest first.
pub async fn list(queue: &Queue) -> Result<Vec<Revocation>, RecordError> {
    let mut all: Vec<_> = records(queue).list(">").await?.into_iter().map(|(_, record, _)| record).collect();
    all.sort_by(|one, other| (other.until_ms, one.key()).cmp(&(one.until_ms, other.key())));
    Ok(all)
}

/// Takes what is revoked; returns its revocation. Edges refuse its tokens within moments, and nobody renews one.
/// Guards: one that reaches further stands.
pub async fn revoke(queue: &Queue, tenant: &Tenant, revoked: Revoked, now_ms: i64) -> Result<Revocation, RecordError> {
    let wanted = Revocation { v: REVOCATION_VERSION, tenant: tenant.clone(), revoked, until_ms: now_ms };
    let (records, key) = (records(queue), wanted.key());
    let mut tries = 0;
    loop {
        let stored = match records.get(&key).await? {
            Some((found, _)) if found.until_ms >= now_ms => return Ok(found),
            Some((_, revision)) => records.update(&key, &wanted, revision).await,
            None => records.create(&key, &wanted).await,
        };
        match stored {
            Ok(_) => return Ok(wanted),
            Err(RecordError::Fenced | RecordError::Exists) if tries < CAS_TRIES_MAX => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The event that tells of a revocation: told twice, it is one.
pub fn event(revocation: &Revocation) -> Event {
    let view = view(revocation);
    let data = EventData { session: view.session, account: view.account, ..EventData::default() };
    let transition = format!("session.revoked/{}", revocation.until_ms);
    let kind = "session.revoked".to_owned();
    Event::derive(&revocation.key(), &transition, kind, &revocation.tenant, revocation.until_ms, data)
}

/// What is revoked of a viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevokedUntil {
    /// Tokens of the session that were issued until then, Unix milliseconds.
    pub session_ms: Option<i64>,
    /// Tokens of the account that were issued until then, Unix milliseconds.
    pub account_ms: Option<i64>,
}

impl RevokedUntil {
    /// Reads what is revoked of a session and its account.
    pub async fn read(queue: &Queue, tenant: &Tenant, account: &str, session: &str) -> Result<Self, RecordError> {
        let until = async |revoked: Revoked| {
            let wanted = Revocation { v: REVOCATION_VERSION, tenant: tenant.clone(), revoked, until_ms: 0 };
            let found = records(queue).get(&wanted.key()).await?;
            Ok::<_, RecordError>(found.map(|(record, _)| record.until_ms))
        };
        let session_ms = until(Revoked::Session(session.to_owned())).await?;
        let account_ms = until(Revoked::Account(account.to_owned())).await?;
        Ok(Self { session_ms, account_ms })
    }

    /// Whether a token issued then (Unix seconds) is let in no more. The second it was issued in counts as before: a
    /// token says no more than seconds.
    pub fn holds(&self, issued_s: i64) -> bool {
        let until_ms = self.session_ms.max(self.account_ms);
        until_ms.is_some_and(|until_ms| issued_s.saturating_mul(1000) <= until_ms)
    }

    /// Whether a token issued then (Unix seconds) is the last of its session. A session that was revoked is over, whatever
    /// the clock of who issued it said.
    pub fn ends(&self, issued_s: i64) -> bool {
        self.session_ms.is_some() || self.holds(issued_s)
    }

    /// When a token issued now says that it was, Unix seconds, so that it is not among those that are revoked. Nothing
    /// for a session that is revoked: that one is over, and another begins.
    pub fn issue_s(&self, now_s: i64) -> Option<i64> {
        let after_s = self.account_ms.map_or(i64::MIN, |until_ms| until_ms.div_euclid(1000) + 1);
        self.session_ms.is_none().then_some(now_s.max(after_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_issued_until_then_is_revoked() {
        let none = RevokedUntil::default();
        let session = RevokedUntil { session_ms: Some(5_500), account_ms: None };
        let account = RevokedUntil { session_ms: None, account_ms: Some(5_500) };
        for (revoked, issued_s, held) in
            [(none, 5, false), (session, 5, true), (session, 6, false), (account, 5, true), (account, 6, false)]
        {
            assert_eq!(revoked.holds(issued_s), held, "{revoked:?} {issued_s}");
        }
        assert!(session.ends(9) && account.ends(5) && !account.ends(9) && !none.ends(5));
        assert_eq!(
            (none.issue_s(5), session.issue_s(9), account.issue_s(5), account.issue_s(9)),
            (Some(5), None, Some(6), Some(9))
        );
    }

    #[test]
    fn an_event_is_one_however_often_it_is_told() {
        let revocation = Revocation {
            v: REVOCATION_VERSION,
            tenant: "acme".parse().unwrap(),
            revoked: Revoked::Session("s1".to_owned()),
            until_ms: 7,
        };
        let told = event(&revocation);
        assert_eq!((told.id, told.kind.as_str()), (event(&revocation).id, "session.revoked"));
        assert_eq!(told.data.session.as_deref(), Some("s1"));
        assert_ne!(event(&Revocation { until_ms: 8, ..revocation }).id, told.id);
    }
}
