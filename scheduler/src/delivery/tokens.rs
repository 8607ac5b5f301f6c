//! Issuing and revoking tokens: what is asked of the records, and in which order.
//!
//! Never here: what is granted (`entitle`), what a request may say (`ask`), what signs (`keys`).

use framemill_queue::{Queue, QueueError, RecordError};
use framemill_schemas::{
    delivery::{
        AuditedAct, Claims, Revocation, RevokeRequest, Revoked, SESSION_CHARS_MAX, TokenIssued, TokenRequest,
        is_account,
    },
    event::{Event, EventData},
    field_error::FieldError,
};
use framemill_tokens::{Format, More, Refusal, SignError, path_form, sign_with};
use opentelemetry::{KeyValue, metrics::Counter};
use ring::rand::SystemRandom;

use super::{
    Audit, AuditSettings, KeyCache, Noted, TokenSettings, accounts,
    ask::{self, Ask},
    entitle::{Denied, Level, Moment, Place, entitled},
    keys::signer,
    revocations::{self, RevokedUntil},
    tenants::{TenantError, visible},
};
use crate::{access::Caller, metrics};

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The tenant is not there, or not the caller's.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// The request has faults.
    #[error("the request has faults")]
    Faults(Vec<FieldError>),
    /// The viewer may not watch this.
    #[error("{why}")]
    Denied {
        /// A word that stays.
        word: &'static str,
        /// What is in the way, and the mend.
        why: String,
    },
    /// No key can sign it; the text has the mend.
    #[error("{0}")]
    NoKey(String),
    /// The token that was to be renewed lets nobody in.
    #[error("{0}")]
    Refused(Refusal),
    /// It cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The records do not answer.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// NATS does not answer.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl From<Denied> for TokenError {
    fn from(denied: Denied) -> Self {
        let mend = match &denied {
            Denied::TenantSuspended(_) => "set its state to active",
            Denied::AccountUnknown => "make it with `framemill account apply`, or let the tenant take any account",
            Denied::AccountSuspended => "set its state to active",
            Denied::AccountEnded => "give it a later end",
            Denied::Package(_) => "give the account a package that does, or ask for less",
            Denied::Ancestor { .. } => "have it given to that tenant, or ask for less",
            Denied::Region(_) => "ask for something else",
            Denied::RegionMissing(_) => "name the viewer's region in `region`",
            Denied::Early(_) | Denied::Late(_) => "ask for something else, or give the package other times",
        };
        Self::Denied { word: denied.word(), why: format!("{denied}; {mend}") }
    }
}

/// The control plane of delivery. Clones share what it remembers.
#[derive(Clone)]
pub struct Delivery {
    /// Records.
    pub queue: Queue,
    /// Keys, as they were a moment ago.
    pub keys: KeyCache,
    /// Who was let in or refused.
    pub audit: Audit,
    pub(super) settings: TokenSettings,
    asked: Counter<u64>,
}

impl Delivery {
    /// Everything it needs.
    pub fn new(queue: Queue, settings: TokenSettings, audit: AuditSettings) -> Self {
        let keys = KeyCache::new(queue.clone());
        let audit = Audit::new(queue.clone(), audit.addresses_s);
        Self { queue, keys, audit, settings, asked: metrics::tokens() }
    }

    /// Takes a request for a token; returns the token. Guards: the caller sees the tenant; the account may watch all it
    /// asks for; the session is not revoked; what is refused or issued is written down first.
    pub async fn issue(&self, caller: &Caller, request: TokenRequest, now_ms: i64) -> Result<TokenIssued, TokenError> {
        let issued = self.answer(caller, request, now_ms).await;
        self.count(AuditedAct::Issue, &issued);
        issued
    }

    async fn answer(&self, caller: &Caller, request: TokenRequest, now_ms: i64) -> Result<TokenIssued, TokenError> {
        let levels = visible(&self.queue, caller, request.tenant.as_ref()).await?;
        let Some(level) = levels.first() else { return Err(TokenError::Faults(Vec::new())) };
        let ask = ask::read(request, &level.tenant, self.settings).map_err(TokenError::Faults)?;
        let issued = self.grant(&levels, &ask, now_ms).await;
        let noted = Noted {
            tenant: &level.tenant,
            account: &ask.account,
            caller: caller.tenant.as_ref(),
            what: AuditedAct::Issue,
            refused: None,
            paths: ask.paths.as_slice(),
            session: &ask.session,
            address: ask.address,
            now_ms,
        };
        self.written(noted, issued).await
    }

    /// Counts what came of a request.
    pub(super) fn count(&self, what: AuditedAct, answer: &Result<TokenIssued, TokenError>) {
        let came_to = match answer {
            Ok(_) => "done",
            Err(TokenError::Denied { word, .. }) => word,
            Err(TokenError::Refused(refusal)) => refusal.reason(),
            Err(TokenError::Tenant(_) | TokenError::Faults(_) | TokenError::NoKey(_) | TokenError::Sign(_)) => "fault",
            Err(TokenError::Records(_) | TokenError::Queue(_)) => "unavailable",
        };
        self.asked.add(1, &[KeyValue::new("what", what.as_str()), KeyValue::new("came_to", came_to)]);
    }

    /// Writes an answer down, and hands it on. What the farm is at fault for is no refusal.
    pub(super) async fn written(
        &self,
        noted: Noted<'_>,
        answer: Result<TokenIssued, TokenError>,
    ) -> Result<TokenIssued, TokenError> {
        let refused = match &answer {
            Ok(_) => None,
            Err(TokenError::Denied { word, .. }) => Some(*word),
            Err(_) => return answer,
        };
        let noted = Noted { refused, ..noted };
        let is_first = self.audit.note(noted.clone()).await;
        if let Err(TokenError::Denied { why, .. }) = &answer
            && is_first
        {
            // Told for those who watch; the trail is what stays, so one that is lost is not sent again.
            if let Err(error) = self.queue.publish_event(&denied_event(&noted, why)).await {
                tracing::warn!(%error, "an event of a denied session is not sent");
            }
        }
        answer
    }

    /// Asks everything that a token depends on, and signs it.
    async fn grant(&self, levels: &[Level], ask: &Ask, now_ms: i64) -> Result<TokenIssued, TokenError> {
        let Some(level) = levels.first() else { return Err(Denied::AccountUnknown.into()) };
        let account = accounts::get(&self.queue, &level.tenant, &ask.account).await?.map(|record| record.document);
        let revoked = RevokedUntil::read(&self.queue, &level.tenant, &ask.account, &ask.session).await?;
        let place = ask.region.map_or(Place::Unknown, Place::In);
        let granted = entitled(levels, account.as_ref(), &ask.paths, Moment { now_ms, place })?;
        let Some(issued_s) = revoked.issue_s(now_ms.div_euclid(1000)) else { return Err(session_revoked()) };
        let document = &level.document;
        let Some(address) = ask::bound(document.address_binding, ask.address) else {
            let why = "the tenant's tokens are bound to the viewer's address, and the request names none; name it in \
                       `address`, or set the tenant's address_binding to off";
            return Err(TokenError::Denied { word: "address-missing", why: why.to_owned() });
        };
        let allowed = account.and_then(|account| account.sessions_max).unwrap_or(document.sessions_max);
        let claims = Claims {
            tenant: level.tenant.clone(),
            account: ask.account.clone(),
            session: ask.session.clone(),
            paths: ask.paths.clone(),
            // They are answered here, once: an edge need not know where anybody is.
            regions: Vec::new(),
            origins: ask.origins.clone(),
            address,
            not_before_s: 0,
            expires_s: ends_s(issued_s, ask.ttl_s, granted.until_ms),
            sessions_max: ask::sessions(ask.sessions_max, allowed),
            yields: ask.yields.unwrap_or(document.yields),
        };
        self.signed(&claims, ask.format, &More::default(), issued_s, now_ms).await
    }

    /// Signs claims with the tenant's key.
    pub(super) async fn signed(
        &self,
        claims: &Claims,
        format: Format,
        more: &More,
        issued_s: i64,
        now_ms: i64,
    ) -> Result<TokenIssued, TokenError> {
        let check = |error: framemill_schemas::delivery::ClaimsError| {
            let fault = FieldError::new(format!("/{}", error.claim), error.why, "correct it");
            TokenError::Faults(vec![fault])
        };
        claims.check().map_err(check)?;
        let keys = self.keys.keys().await?;
        let has_both = |kid: &str| keys.signing.contains_key(kid);
        let own = keys.verifying.iter().filter(|key| key.tenant == claims.tenant);
        let Some(key) = signer(
            own.clone(),
            &claims.tenant,
            |key| has_both(&key.kid) && format.takes(key.algorithm) && key.scope.cover(&claims.paths),
            now_ms,
        ) else {
            return Err(TokenError::NoKey(no_key(claims, format, own.count())));
        };
        let Some(half) = keys.signing.get(&key.kid) else {
            return Err(TokenError::NoKey(no_key(claims, format, 0)));
        };
        let token = sign_with(format, half, key.algorithm, claims, more, issued_s, &SystemRandom::new())?;
        Ok(TokenIssued {
            prefix: format!("/t/{}", path_form(&token)),
            query: format!("{}={}", if format == Format::Cat { "CAT" } else { "token" }, path_form(&token)),
            header: match format {
                Format::Cat => format!("CTA-Common-Access-Token: {token}"),
                Format::Jwt | Format::Compact => format!("Authorization: Bearer {token}"),
            },
            expires_s: claims.expires_s,
            session: claims.session.clone(),
            kid: key.kid.clone(),
            paths: claims.paths.as_slice().to_vec(),
            token,
        })
    }

    /// Takes what is to be let in no more; returns its revocation once edges can hear of it and its event is sent.
    /// Guards: the caller sees the tenant; one of session and account. Asked again after a fault, it is done again.
    pub async fn revoke(&self, caller: &Caller, request: RevokeRequest, now_ms: i64) -> Result<Revocation, TokenError> {
        let revoked = revoked_of(&request).map_err(|fault| TokenError::Faults(vec![fault]))?;
        let levels = visible(&self.queue, caller, request.tenant.as_ref()).await?;
        let Some(level) = levels.first() else { return Err(TokenError::Faults(Vec::new())) };
        let revocation = revocations::revoke(&self.queue, &level.tenant, revoked, now_ms).await?;
        self.audit
            .note(Noted {
                tenant: &level.tenant,
                account: request.account.as_deref().unwrap_or_default(),
                caller: caller.tenant.as_ref(),
                what: AuditedAct::Revoke,
                refused: None,
                paths: &[],
                session: request.session.as_deref().unwrap_or_default(),
                address: None,
                now_ms,
            })
            .await;
        self.queue.publish_event(&revocations::event(&revocation)).await?;
        Ok(revocation)
    }
}

/// The session is over for good; another may begin.
pub(super) fn session_revoked() -> TokenError {
    let why = "the session is revoked; begin another";
    TokenError::Denied { word: "revoked", why: why.to_owned() }
}

/// When a token ends: after its time, and no later than what is granted.
pub(super) fn ends_s(issued_s: i64, ttl_s: u32, until_ms: Option<i64>) -> i64 {
    let ends_s = issued_s.saturating_add(i64::from(ttl_s));
    // A grant that ends within the second still gives one.
    until_ms.map_or(ends_s, |until_ms| ends_s.min(until_ms.div_euclid(1000)).max(issued_s + 1))
}

/// Why no key of a tenant can sign, and the mend.
fn no_key(claims: &Claims, format: Format, has: usize) -> String {
    let tenant = &claims.tenant;
    let make = format!("`framemill token key create --tenant {tenant}`");
    match has {
        0 => format!("the tenant {tenant} has no token key; make one with {make}"),
        _ => format!(
            "no token key of the tenant {tenant} that is in use has its signing half, signs {} tokens and may name {}; \
             make one that does with {make} and `--scope`",
            format.as_str(),
            claims.paths.as_slice().join(", ")
        ),
    }
}

/// What a request wants revoked.
fn revoked_of(request: &RevokeRequest) -> Result<Revoked, FieldError> {
    let is_session = |text: &str| {
        !text.is_empty()
            && text.len() <= SESSION_CHARS_MAX
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    match (&request.session, &request.account) {
        (Some(session), None) if is_session(session) => Ok(Revoked::Session(session.clone())),
        (None, Some(account)) if is_account(account) => Ok(Revoked::Account(account.clone())),
        (Some(_), None) => {
            Err(FieldError::new("/session", "this is no name of a session", "name one as it was issued"))
        }
        (None, Some(_)) => {
            Err(FieldError::new("/account", "this is no name of an account", "name one as it was issued"))
        }
        _ => Err(FieldError::new("", "it names not one of session and account", "name one of them")),
    }
}

/// The event that tells of a refusal, once for all of a minute.
fn denied_event(noted: &Noted<'_>, why: &str) -> Event {
    let data = EventData {
        account: Some(noted.account.to_owned()),
        session: Some(noted.session.to_owned()),
        status: noted.refused.map(str::to_owned),
        reason: Some(why.to_owned()),
        ..EventData::default()
    };
    let kind = "session.denied".to_owned();
    let word = noted.refused.unwrap_or_default();
    let transition = format!("session.denied/{}/{word}/{}", noted.account, noted.now_ms);
    Event::derive(noted.tenant.as_str(), &transition, kind, noted.tenant, noted.now_ms, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_with_what_is_granted() {
        for (until_ms, expected) in
            [(None, 1300), (Some(1_200_000), 1200), (Some(9_999_000), 1300), (Some(1_000_400), 1001), (Some(5), 1001)]
        {
            assert_eq!(ends_s(1000, 300, until_ms), expected, "{until_ms:?}");
        }
    }

    #[test]
    fn one_of_session_and_account_is_revoked() {
        let request = |session: Option<&str>, account: Option<&str>| RevokeRequest {
            session: session.map(str::to_owned),
            account: account.map(str::to_owned),
            ..RevokeRequest::default()
        };
        assert_eq!(revoked_of(&request(Some("s-1_NO"), None)), Ok(Revoked::Session("s-1_NO".to_owned())));
        assert_eq!(revoked_of(&request(None, Some("u@x"))), Ok(Revoked::Account("u@x".to_owned())));
        for (session, account, pointer) in [
            (None, None, ""),
            (Some("s"), Some("u"), ""),
            (Some("s 1"), None, "/session"),
            (None, Some(""), "/account"),
        ] {
            assert_eq!(revoked_of(&request(session, account)).unwrap_err().pointer, pointer);
        }
    }
}
