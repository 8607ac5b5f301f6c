//! The keys that verify, by their ids, and the order in which a token is looked at: its length, its form, its key, the
//! key's algorithm, the signature, and only then what it says.

use std::collections::{HashMap, hash_map::Entry};

use framemill_schemas::{
    delivery::{Algorithm, KID_CHARS_MAX, Paths, TOKEN_KEY_VERSION, TokenKey},
    ids::Tenant,
};

use crate::{
    Format, Refusal, Refused, Verified, cat, compact,
    crypto::Verifier,
    format::{Shape, recognise},
    jwt,
    said::Key,
};

/// Why a key was left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// A later version wrote it.
    #[error("the record of key {0} is of a later version")]
    Version(String),
    /// Its id is not 1 to 32 letters, digits, `-` and `_`. Not told: it may be anything.
    #[error("a key's id is not one")]
    Kid,
    /// What verifies is not as long as its algorithm has it.
    #[error("what verifies of key {0} is none of its algorithm")]
    Verifies(String),
    /// Another key has this id.
    #[error("key {0} is there twice")]
    Twice(String),
}

struct Known {
    verifier: Verifier,
    tenant: Tenant,
    scope: Paths,
    retired_ms: Option<i64>,
}

/// The keys that tokens are verified with. Never changes: whoever follows the records of keys makes a new one.
#[derive(Default)]
pub struct Keyring(HashMap<String, Known>);

// Nothing of a key is ever printed.
impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Keyring {
    /// Takes the records of keys; leaves out those that cannot be used, and tells why.
    pub fn new(keys: impl IntoIterator<Item = TokenKey>) -> (Self, Vec<KeyFault>) {
        let mut known = HashMap::new();
        let mut faults = Vec::new();
        for key in keys {
            if let Err(fault) = take(&mut known, key) {
                faults.push(fault);
            }
        }
        (Self(known), faults)
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none: every token is refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a token as it came and the time, Unix seconds; returns what it says once that is proved. Guards: the
    /// signature before any claim; a key's own algorithm, tenant, scope and retirement; times.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(&self, token: &str, now_s: i64) -> Result<Verified, Refusal> {
        self.verify_telling(token, now_s).map_err(|refused| refused.refusal)
    }

    /// The same; a token whose signature is good may say what to answer when it is refused.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify_telling(&self, token: &str, now_s: i64) -> Result<Verified, Refused> {
        match recognise(token)? {
            Shape::Jwt(text) => {
                let parts = jwt::Parts::read(text)?;
                let (kid, known) = self.key(&parts.kid, parts.algorithm)?;
                known.prove(parts.message, &parts.signed)?;
                parts.said()?.hold(Format::Jwt, &known.key(kid), now_s)
            }
            Shape::Compact(text) => {
                let parts = compact::Parts::read(&text)?;
                let (kid, known) = self.key(parts.kid, Some(Algorithm::Hs256))?;
                known.prove(parts.message, &parts.signed)?;
                parts.said()?.hold(Format::Compact, &known.key(kid), now_s)
            }
            Shape::Cat(bytes) => {
                let parts = cat::Parts::read(&bytes)?;
                let (kid, known) = self.key(&parts.kid, parts.algorithm)?;
                known.prove(&parts.message, &parts.signed)?;
                parts.said()?.hold(Format::Cat, &known.key(kid), now_s)
            }
        }
    }

    /// The key with this id, if it signs in this way.
    fn key(&self, kid: &str, algorithm: Option<Algorithm>) -> Result<(&str, &Known), Refusal> {
        let (kid, known) = self.0.get_key_value(kid).ok_or(Refusal::UnknownKey)?;
        if algorithm != Some(known.verifier.algorithm()) {
            return Err(Refusal::Algorithm);
        }
        Ok((kid, known))
    }
}

impl Known {
    fn prove(&self, message: &[u8], signed: &[u8]) -> Result<(), Refusal> {
        if self.verifier.proves(message, signed) { Ok(()) } else { Err(Refusal::Signature) }
    }

    const fn key<'a>(&'a self, kid: &'a str) -> Key<'a> {
        Key { kid, tenant: &self.tenant, scope: &self.scope, retired_ms: self.retired_ms }
    }
}

fn take(known: &mut HashMap<String, Known>, key: TokenKey) -> Result<(), KeyFault> {
    if !is_kid(&key.kid) {
        return Err(KeyFault::Kid);
    }
    if key.v > TOKEN_KEY_VERSION {
        return Err(KeyFault::Version(key.kid));
    }
    let Some(verifier) = Verifier::new(key.algorithm, &key.verifies) else { return Err(KeyFault::Verifies(key.kid)) };
    match known.entry(key.kid) {
        Entry::Occupied(same) => Err(KeyFault::Twice(same.key().clone())),
        Entry::Vacant(place) => {
            place.insert(Known { verifier, tenant: key.tenant, scope: key.scope, retired_ms: key.retired_ms });
            Ok(())
        }
    }
}

/// Whether a text can name a key.
pub(crate) fn is_kid(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= KID_CHARS_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
