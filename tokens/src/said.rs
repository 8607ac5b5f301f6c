//! What a token said, gathered from any format, and what of that holds whatever the format: bounds, times, tenant and
//! scope. Only what is signed comes here.

use framemill_schemas::{
    delivery::{Address, Claims, Network, Paths, REVOCATION_AGE_MAX, Region, Yields},
    ids::Tenant,
};

use crate::{Format, Methods, More, Refusal, Refused, Verified};

/// How far a clock that issues may be ahead of ours. An end has none: a token's life is what its issuer says, and
/// viewers renew before it.
pub const SKEW_S: i64 = 30;
/// Longest life of a token, from its issue. Less than revocations are kept, so that none is forgotten before what it
/// revokes, however clocks differ.
pub const LIFETIME_S_MAX: i64 = 12 * 3600;
const _: () = assert!((LIFETIME_S_MAX + SKEW_S) as u64 <= REVOCATION_AGE_MAX.as_secs());

/// What a token said.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) tenant: Option<Tenant>,
    pub(crate) account: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) paths: Option<Paths>,
    pub(crate) regions: Vec<Region>,
    pub(crate) origins: Vec<String>,
    pub(crate) networks: Vec<Network>,
    pub(crate) methods: Methods,
    pub(crate) not_before_s: i64,
    pub(crate) expires_s: Option<i64>,
    pub(crate) issued_s: Option<i64>,
    pub(crate) sessions_max: u32,
    pub(crate) yields: Yields,
    pub(crate) more: More,
}

/// Whose key it was, and what that key may.
pub(crate) struct Key<'a> {
    pub(crate) kid: &'a str,
    pub(crate) tenant: &'a Tenant,
    pub(crate) scope: &'a Paths,
    pub(crate) retired_ms: Option<i64>,
}

impl Said {
    /// Takes what was said and the key that proved it; returns what holds now.
    pub(crate) fn hold(self, format: Format, key: &Key<'_>, now_s: i64) -> Result<Verified, Refused> {
        let mut networks = self.networks.into_iter();
        let claims = Claims {
            tenant: self.tenant.unwrap_or_else(|| key.tenant.clone()),
            account: self.account.ok_or(Refusal::Malformed)?,
            session: self.session.ok_or(Refusal::Malformed)?,
            paths: self.paths.ok_or(Refusal::Malformed)?,
            regions: self.regions,
            origins: self.origins,
            address: networks.next().map_or(Address::Any, Address::Within),
            not_before_s: self.not_before_s,
            expires_s: self.expires_s.ok_or(Refusal::Malformed)?,
            sessions_max: self.sessions_max,
            yields: self.yields,
        };
        claims.check().map_err(|_| Refusal::Malformed)?;
        if claims.tenant != *key.tenant {
            return Err(self.more.refused(Refusal::Tenant));
        }
        if !key.scope.cover(&claims.paths) {
            return Err(Refusal::Scope.into());
        }
        let issued_s = self.issued_s.or(Some(claims.not_before_s).filter(|from_s| *from_s != 0));
        let verified = Verified {
            claims,
            kid: key.kid.to_owned(),
            format,
            // Without a time of issue nobody could tell whether a revocation means this token.
            issued_s: issued_s.ok_or(Refusal::TooLong)?,
            methods: self.methods,
            more_networks: networks.collect(),
            retired_ms: key.retired_ms,
            more: self.more,
        };
        match verified.is_timely(now_s) {
            Ok(()) => Ok(verified),
            Err(refusal) => Err(verified.more.refused(refusal)),
        }
    }
}
