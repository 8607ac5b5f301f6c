//! Renewing a token: the token itself lets the caller in, and everything it depends on is asked again. The next one is of
//! the same session, for the same paths, from the same address; only its times are new.

use framemill_schemas::{
    delivery::{AuditedAct, Claims, LIFETIME_S_MIN, RENEWAL_GRACE_S, RenewRequest, TokenIssued},
    field_error::FieldError,
};
use framemill_tokens::{Refusal, Verified};

use super::{
    Noted, TokenSettings, accounts, ask,
    cache::Keys,
    entitle::{Moment, entitled},
    revocations::RevokedUntil,
    session,
    tenants::chain,
    tokens::{Delivery, TokenError, ends_s, session_revoked},
};

impl Delivery {
    /// Takes a token that is valid, or expired no longer than a minute ago; returns the next one of its session. Guards:
    /// its signature and key; neither it nor its account is revoked; the account may still watch all of it.
    pub async fn renew(&self, request: RenewRequest, now_ms: i64) -> Result<TokenIssued, TokenError> {
        let renewed = self.next(request, now_ms).await;
        self.count(AuditedAct::Renew, &renewed);
        renewed
    }

    async fn next(&self, request: RenewRequest, now_ms: i64) -> Result<TokenIssued, TokenError> {
        let ttl_s = ttl_of(request.ttl_s, self.settings).map_err(|fault| TokenError::Faults(vec![fault]))?;
        let keys = self.keys.keys().await?;
        let verified = verified(&keys, &request.token, now_ms).map_err(TokenError::Refused)?;
        let renewed = self.again(&verified, ttl_s, now_ms).await;
        if renewed.is_ok() {
            // Its session is in the trail since it began.
            return renewed;
        }
        let claims = &verified.claims;
        let noted = Noted {
            tenant: &claims.tenant,
            account: &claims.account,
            caller: None,
            what: AuditedAct::Renew,
            refused: None,
            paths: claims.paths.as_slice(),
            session: &claims.session,
            address: None,
            now_ms,
        };
        self.written(noted, renewed).await
    }

    async fn again(&self, verified: &Verified, ttl_s: u32, now_ms: i64) -> Result<TokenIssued, TokenError> {
        let before = &verified.claims;
        let revoked = RevokedUntil::read(&self.queue, &before.tenant, &before.account, &before.session).await?;
        if revoked.ends(verified.issued_s) {
            return Err(session_revoked());
        }
        let levels = chain(&self.queue, &before.tenant).await?;
        let account = accounts::get(&self.queue, &before.tenant, &before.account).await?.map(|record| record.document);
        let moment = Moment { now_ms, place: session::place_of(&before.session) };
        let granted = entitled(&levels, account.as_ref(), &before.paths, moment)?;
        let issued_s = now_ms.div_euclid(1000);
        // One that says for how long its next one may be valid is not renewed for longer.
        let longest_s = verified.more.renewing.and_then(|renewing| u32::try_from(renewing.add_s).ok());
        let ttl_s = longest_s.map_or(ttl_s, |longest_s| ttl_s.min(longest_s));
        let tenant_max = levels.first().map_or(0, |level| level.document.sessions_max);
        let allowed = account.and_then(|account| account.sessions_max).unwrap_or(tenant_max);
        let claims = Claims {
            expires_s: ends_s(issued_s, ttl_s, granted.until_ms),
            not_before_s: 0,
            sessions_max: ask::sessions(Some(before.sessions_max), allowed),
            ..before.clone()
        };
        self.signed(&claims, verified.format, &verified.more, issued_s, now_ms).await
    }
}

/// Takes a token; returns what it says. Guards: as an edge, but for its end, which may be a moment ago.
fn verified(keys: &Keys, token: &str, now_ms: i64) -> Result<Verified, Refusal> {
    let now_s = now_ms.div_euclid(1000);
    let verified = match keys.ring.verify(token, now_s) {
        Err(Refusal::Expired) => keys.ring.verify(token, now_s - RENEWAL_GRACE_S)?,
        other => other?,
    };
    if verified.retired_ms.is_some_and(|retired_ms| retired_ms <= now_ms) {
        return Err(Refusal::Retired);
    }
    // What more a token of somebody else's making may ask, the next one could not say.
    if !verified.more_networks.is_empty() || verified.methods != framemill_tokens::Methods::default() {
        return Err(Refusal::Unsupported("networks or methods"));
    }
    Ok(verified)
}

/// How long the next token is valid.
fn ttl_of(asked: Option<u32>, settings: TokenSettings) -> Result<u32, FieldError> {
    let (ttl_s, longest) = (asked.unwrap_or(settings.lifetime_s), settings.lifetime_s_max);
    if (LIFETIME_S_MIN..=longest).contains(&ttl_s) {
        return Ok(ttl_s);
    }
    let mend = format!("use {LIFETIME_S_MIN} to {longest} seconds, and renew");
    Err(FieldError::new("/ttl_s", "a token is not valid for so long, or so short", mend))
}
