//! Whether a request is let in: its tokens, in memory and before the cache.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use foyer::{Cache, CacheBuilder};
use framemill_schemas::delivery::{NoSeat, Region};
use framemill_tokens::{Asked as Seeking, Instead, Keyring, Method, Refusal, Refused, Renewing, Verified, admit};

use super::asked::{Asked, Carriage};
use crate::{
    admission::Revocations,
    metrics::Metrics,
    renewal::{Digest, Lineage, Renewal, Shown, Times, digest_of, lineage_of},
    sessions::{Local, Spread},
    steering::is_manifest,
};

/// Tokens whose signature was right and is not computed again. Only such: a flood of forged ones takes no memory.
const VERIFIED_MAX: usize = 50_000;

/// The check.
pub struct Guard {
    keyring: Arc<ArcSwap<Keyring>>,
    revocations: Arc<Revocations>,
    sessions: Arc<Local>,
    spread: Spread,
    renewal: Option<Arc<Renewal>>,
    region: Option<Region>,
    /// By digest of the token: nobody reads one out of memory that was not there before.
    verified: Cache<[u8; 32], Arc<Known>>,
    metrics: Arc<Metrics>,
}

/// A token whose signature is right, and with which keys.
struct Known {
    verified: Verified,
    lineage: Lineage,
    keyring: Arc<Keyring>,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No token will do.
    #[error(transparent)]
    Token(#[from] Refusal),
    /// Its session or account is let in no more.
    #[error("the session is revoked")]
    Revoked,
    /// The account has as many sessions as it may.
    #[error("the account watches elsewhere")]
    NoSeat(NoSeat),
    /// Its session is watched from more places than one viewer is at.
    #[error("the session is watched from too many networks")]
    Shared,
}

impl Denial {
    /// In one word, for metrics and programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Token(refusal) => refusal.reason(),
            Self::Revoked => "revoked",
            Self::NoSeat(NoSeat::Yielded) => "yielded",
            Self::NoSeat(NoSeat::Full) => "full",
            Self::Shared => "shared",
        }
    }

    /// Whether another token would help.
    pub const fn is_mended_by_another_token(&self) -> bool {
        matches!(self, Self::Token(Refusal::Missing | Refusal::Expired | Refusal::Retired))
    }
}

/// Why a request is not let in, and what its token asks to be answered then.
#[derive(Debug)]
pub struct Denied {
    /// Why.
    pub why: Denial,
    /// What to answer: of a token whose signature is good.
    pub instead: Option<Box<Instead>>,
}

impl From<Denial> for Denied {
    fn from(why: Denial) -> Self {
        Self { why, instead: None }
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Denial::Token(refusal).into()
    }
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        Self { why: Denial::Token(refused.refusal), instead: refused.instead }
    }
}

/// Who was let in.
pub struct Admitted<'a> {
    /// How the token came.
    pub carriage: Carriage,
    /// The token itself.
    pub token: &'a str,
    /// Whose it is.
    pub session: String,
    /// When it ends, Unix seconds.
    pub expires_s: i64,
    /// How it asks to be renewed.
    pub renewing: Option<Renewing>,
    digest: Digest,
    lineage: Lineage,
    issued_s: i64,
}

impl<'a> Admitted<'a> {
    /// What it is renewed by.
    pub fn shown(&self) -> Shown<'a> {
        let Self { token, digest, lineage, issued_s, expires_s, renewing, .. } = *self;
        Shown { token, digest, lineage, times: Times::of(issued_s, expires_s, renewing) }
    }
}

impl Guard {
    /// Takes what decides.
    pub fn new(
        keyring: Arc<ArcSwap<Keyring>>,
        revocations: Arc<Revocations>,
        sessions: Arc<Local>,
        spread: Spread,
        renewal: Option<Arc<Renewal>>,
        region: Option<Region>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let verified = CacheBuilder::new(VERIFIED_MAX).with_shards(8).build();
        Self { keyring, revocations, sessions, spread, renewal, region, verified, metrics }
    }

    /// Lets a request in, or says why not: the first token that will do decides, else the first one's refusal.
    ///
    /// # Errors
    /// Why no token will do.
    pub fn admit<'a>(
        &self,
        asked: &Asked<'a>,
        method: Method,
        address: IpAddr,
        origin: Option<&str>,
        now_ms: i64,
    ) -> Result<Admitted<'a>, Denied> {
        let now_s = now_ms.div_euclid(1000);
        let seeking = Seeking { path: asked.path, method, address, origin, region: self.region, now_s };
        let mut refused = None;
        for (carriage, token) in &asked.tokens {
            let digest = digest_of(token);
            let checked = match self.check(token, &digest, &seeking, now_ms) {
                Err(denied) if denied.why == Denial::Token(Refusal::Expired) => {
                    self.excused(token, &digest, *carriage, &seeking, now_ms).unwrap_or(Err(denied))
                }
                checked => checked,
            };
            match checked {
                Ok(known) => {
                    let Verified { claims, issued_s, more, .. } = &known.verified;
                    return Ok(Admitted {
                        carriage: *carriage,
                        token,
                        session: claims.session.clone(),
                        expires_s: claims.expires_s,
                        renewing: more.renewing,
                        digest,
                        lineage: known.lineage,
                        issued_s: *issued_s,
                    });
                }
                Err(denied) => drop(refused.get_or_insert(denied)),
            }
        }
        let denied = refused.unwrap_or_else(|| Refusal::Missing.into());
        self.metrics.denied(denied.why.reason());
        Err(denied)
    }

    /// A token whose time is over: where it was renewed here, nothing but its end is excused.
    fn excused(
        &self,
        token: &str,
        digest: &Digest,
        carriage: Carriage,
        seeking: &Seeking<'_>,
        now_ms: i64,
    ) -> Option<Result<Arc<Known>, Denied>> {
        let renewal = self.renewal.as_ref()?;
        let ended_s = renewal.excuse(digest, carriage, leads_on(seeking.path), now_ms)?;
        let checked = self.check(token, digest, &Seeking { now_s: ended_s - 1, ..*seeking }, now_ms);
        Some(checked.and_then(|known| match known.verified.retired_ms {
            Some(retired_ms) if retired_ms <= now_ms => Err(Refusal::Retired.into()),
            _ => Ok(known),
        }))
    }

    fn check(&self, token: &str, digest: &Digest, seeking: &Seeking<'_>, now_ms: i64) -> Result<Arc<Known>, Denied> {
        let keyring = self.keyring.load();
        let known = self.verified.get(digest).map(|known| Arc::clone(known.value()));
        // With other keys the same token may be another's, or nobody's.
        let known = match known.filter(|known| Arc::ptr_eq(&known.keyring, &keyring)) {
            Some(known) => known,
            None => {
                let verified = keyring.verify_telling(token, seeking.now_s)?;
                let lineage = lineage_of(&verified);
                let known = Arc::new(Known { verified, lineage, keyring: Arc::clone(&keyring) });
                self.verified.insert(*digest, Arc::clone(&known));
                known
            }
        };
        let Verified { claims, more, .. } = &known.verified;
        // Who is to renew it is asked for, and is not here.
        if more.renewing.is_some() && self.renewal.is_none() {
            return Err(Refusal::Unsupported("catr").into());
        }
        if let Err(refusal) = admit(&known.verified, seeking) {
            let instead = more.instead(refusal).cloned().map(Box::new);
            return Err(Denied { why: Denial::Token(refusal), instead });
        }
        if self.revocations.refuse(claims, known.verified.issued_s) {
            return Err(Denial::Revoked.into());
        }
        if claims.sessions_max > 0 {
            if self.spread.is_too_wide(claims, seeking.address, now_ms) {
                return Err(Denial::Shared.into());
            }
            self.sessions.admit(claims, now_ms).map_err(Denial::NoSeat)?;
        }
        Ok(known)
    }
}

/// Whether a player is led on to its next token when it asks for this: a playlist or manifest (of steering too), which
/// players of a channel ask for again and again, and what addresses are relative to. Those of a title they ask for once, so there it is
/// anything.
pub fn leads_on(path: &str) -> bool {
    path.starts_with("/vod/") || path.ends_with(".m3u8") || path.ends_with(".mpd") || is_manifest(path)
}
