//! Whether a verified token lets a request in. Pure, and cheap enough for every request: who keeps a [`Verified`] for
//! the next request of the same token asks only this again.

use std::net::IpAddr;

use framemill_schemas::delivery::{Claims, Network, Region};

use crate::{Format, LIFETIME_S_MAX, More, Refusal, SKEW_S};

/// What a token says, proved by its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// The key that signed it.
    pub kid: String,
    /// How it was written.
    pub format: Format,
    /// When it was issued, Unix seconds: what it says (`iat`), or else when its time begins. What revocations compare
    /// with. May be [`SKEW_S`] ahead of our clock: who revokes what is issued until now adds that.
    pub issued_s: i64,
    /// Methods it is for.
    pub methods: Methods,
    /// Networks besides [`Claims::address`], any of which will do. Only a Common Access Token has more than one.
    pub more_networks: Vec<Network>,
    /// From then on its key is used no more, Unix milliseconds.
    pub retired_ms: Option<i64>,
    /// What it asks for besides. Only a Common Access Token does.
    pub more: More,
}

impl Verified {
    /// Whether its time is now.
    pub(crate) const fn is_timely(&self, now_s: i64) -> Result<(), Refusal> {
        let soon_s = now_s.saturating_add(SKEW_S);
        if let Some(retired_ms) = self.retired_ms
            && now_s.saturating_mul(1000) >= retired_ms
        {
            return Err(Refusal::Retired);
        }
        if self.claims.expires_s <= now_s {
            return Err(Refusal::Expired);
        }
        // One issued in the future would outlive its own revocation.
        if self.claims.not_before_s > soon_s || self.issued_s > soon_s {
            return Err(Refusal::NotYet);
        }
        if self.claims.expires_s.saturating_sub(self.issued_s) > LIFETIME_S_MAX {
            return Err(Refusal::TooLong);
        }
        Ok(())
    }
}

/// What a viewer may do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Fetch it.
    Get,
    /// Ask what it is.
    Head,
    /// Ask on a page's behalf (CORS).
    Options,
}

/// Some of the methods; all by default.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Methods(u8);

impl Methods {
    /// None.
    pub const NONE: Self = Self(0);

    const fn bit(method: Method) -> u8 {
        match method {
            Method::Get => 1,
            Method::Head => 2,
            Method::Options => 4,
        }
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, method: Method) -> Self {
        Self(self.0 | Self::bit(method))
    }

    /// Whether it is among them.
    pub const fn hold(self, method: Method) -> bool {
        self.0 & Self::bit(method) != 0
    }
}

impl Default for Methods {
    fn default() -> Self {
        Self::NONE.with(Method::Get).with(Method::Head).with(Method::Options)
    }
}

impl std::fmt::Debug for Methods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = [Method::Get, Method::Head, Method::Options];
        f.debug_set().entries(all.into_iter().filter(|method| self.hold(*method))).finish()
    }
}

/// What a request asks.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// For which path: canonical already (see [`framemill_schemas::delivery::canonical`]), without the token.
    pub path: &'a str,
    /// How.
    pub method: Method,
    /// From where.
    pub address: IpAddr,
    /// Its header `Origin`, if it has one.
    pub origin: Option<&'a str>,
    /// Where the viewer is, if anybody knows.
    pub region: Option<Region>,
    /// When, Unix seconds.
    pub now_s: i64,
}

/// Takes what is verified and what is asked; says whether that is let in. Revocations are not asked here: whoever
/// follows them does.
///
/// A request without `Origin` passes whatever origins a token has: native players and Safari's own send none, and
/// whoever is not a browser can send any. What the claim keeps out is other people's pages, whose scripts cannot help
/// sending theirs.
///
/// # Errors
/// The first thing that is not as the token says.
pub fn admit(verified: &Verified, asked: &Asked<'_>) -> Result<(), Refusal> {
    let claims = &verified.claims;
    verified.is_timely(asked.now_s)?;
    if !claims.paths.hold(asked.path) {
        return Err(Refusal::Path);
    }
    if !verified.methods.hold(asked.method) {
        return Err(Refusal::Method);
    }
    let is_near = || verified.more_networks.iter().any(|network| network.holds(asked.address));
    if !claims.address.admits(asked.address) && !is_near() {
        return Err(Refusal::Address);
    }
    if let Some(origin) = asked.origin
        && !claims.origins.is_empty()
        && !claims.origins.iter().any(|own| own == origin)
    {
        return Err(Refusal::Origin);
    }
    // A place that nobody knows is none of the places.
    if !claims.regions.is_empty() && !asked.region.is_some_and(|region| claims.regions.contains(&region)) {
        return Err(Refusal::Region);
    }
    Ok(())
}
