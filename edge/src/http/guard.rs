//! Whether a request is let in: its tokens, in memory and before the cache.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use foyer::{Cache, CacheBuilder};
use framemill_schemas::delivery::{NoSeat, Region};
use framemill_tokens::{Asked as Seeking, Keyring, Method, Refusal, Verified, admit};

use super::asked::{Asked, Carriage};
use crate::{admission::Revocations, metrics::Metrics, sessions::Local};

/// Tokens whose signature was right and is not computed again. Only such: a flood of forged ones takes no memory.
const VERIFIED_MAX: usize = 50_000;

/// The check.
pub struct Guard {
    keyring: Arc<ArcSwap<Keyring>>,
    revocations: Arc<Revocations>,
    sessions: Arc<Local>,
    region: Option<Region>,
    /// By digest of the token: nobody reads one out of memory that was not there before.
    verified: Cache<[u8; 32], Arc<Known>>,
    metrics: Arc<Metrics>,
}

/// A token whose signature is right, and with which keys.
struct Known {
    verified: Verified,
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
}

impl Denial {
    /// In one word, for metrics and programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Token(refusal) => refusal.reason(),
            Self::Revoked => "revoked",
            Self::NoSeat(NoSeat::Yielded) => "yielded",
            Self::NoSeat(NoSeat::Full) => "full",
        }
    }

    /// Whether another token would help.
    pub const fn is_mended_by_another_token(&self) -> bool {
        matches!(self, Self::Token(Refusal::Missing | Refusal::Expired | Refusal::Retired))
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
}

impl Guard {
    /// Takes what decides.
    pub fn new(
        keyring: Arc<ArcSwap<Keyring>>,
        revocations: Arc<Revocations>,
        sessions: Arc<Local>,
        region: Option<Region>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let verified = CacheBuilder::new(VERIFIED_MAX).with_shards(8).build();
        Self { keyring, revocations, sessions, region, verified, metrics }
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
    ) -> Result<Admitted<'a>, Denial> {
        let now_s = now_ms.div_euclid(1000);
        let seeking = Seeking { path: asked.path, method, address, origin, region: self.region, now_s };
        let mut refused = None;
        for (carriage, token) in &asked.tokens {
            match self.check(token, &seeking, now_ms) {
                Ok(known) => {
                    let claims = &known.verified.claims;
                    return Ok(Admitted {
                        carriage: *carriage,
                        token,
                        session: claims.session.clone(),
                        expires_s: claims.expires_s,
                    });
                }
                Err(denial) => drop(refused.get_or_insert(denial)),
            }
        }
        let denial = refused.unwrap_or(Denial::Token(Refusal::Missing));
        self.metrics.denied(denial.reason());
        Err(denial)
    }

    fn check(&self, token: &str, seeking: &Seeking<'_>, now_ms: i64) -> Result<Arc<Known>, Denial> {
        let keyring = self.keyring.load();
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        let known = self.verified.get(&digest).map(|known| Arc::clone(known.value()));
        // With other keys the same token may be another's, or nobody's.
        let known = match known.filter(|known| Arc::ptr_eq(&known.keyring, &keyring)) {
            Some(known) => known,
            None => {
                let verified = keyring.verify(token, seeking.now_s)?;
                let known = Arc::new(Known { verified, keyring: Arc::clone(&keyring) });
                self.verified.insert(digest, Arc::clone(&known));
                known
            }
        };
        admit(&known.verified, seeking)?;
        if self.revocations.refuse(&known.verified.claims, known.verified.issued_s) {
            return Err(Denial::Revoked);
        }
        if known.verified.claims.sessions_max > 0 {
            self.sessions.admit(&known.verified.claims, now_ms).map_err(Denial::NoSeat)?;
        }
        Ok(known)
    }
}
