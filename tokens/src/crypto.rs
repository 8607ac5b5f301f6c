//! Signing and checking bytes over `ring`. Never here: what the bytes say.

use framemill_schemas::delivery::Algorithm;
use ring::{
    hmac,
    rand::SecureRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        UnparsedPublicKey,
    },
};

/// Bytes of a secret that is made here: as many as its hash has (RFC 2104, clause 3).
const SECRET_BYTES: usize = 32;
/// Bytes of a secret: at least what the hash has, at most its block.
const SECRET_BYTES_RANGE: std::ops::RangeInclusive<usize> = 32..=64;
/// An uncompressed point (SEC 1, clause 2.3.3): 4 and two coordinates.
const POINT_BYTES: usize = 65;
const POINT_UNCOMPRESSED: u8 = 4;
const ED25519_PUBLIC_BYTES: usize = 32;

/// What checks signatures: one key with its one algorithm, so that no token can choose.
pub(crate) enum Verifier {
    Hs256(hmac::Key),
    Es256(UnparsedPublicKey<Vec<u8>>),
    EdDsa(UnparsedPublicKey<Vec<u8>>),
}

impl Verifier {
    /// Takes what a record has; nothing when that cannot be such a key.
    pub(crate) fn new(algorithm: Algorithm, verifies: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Hs256 if SECRET_BYTES_RANGE.contains(&verifies.len()) => {
                Some(Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, verifies)))
            }
            Algorithm::Es256 if verifies.len() == POINT_BYTES && verifies[0] == POINT_UNCOMPRESSED => {
                Some(Self::Es256(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, verifies.to_vec())))
            }
            Algorithm::EdDsa if verifies.len() == ED25519_PUBLIC_BYTES => {
                Some(Self::EdDsa(UnparsedPublicKey::new(&ED25519, verifies.to_vec())))
            }
            _ => None,
        }
    }

    /// Its algorithm.
    pub(crate) const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::Hs256,
            Self::Es256(_) => Algorithm::Es256,
            Self::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// Whether this key signed these bytes. Takes as long for a wrong HMAC as for a good one.
    pub(crate) fn proves(&self, message: &[u8], signed: &[u8]) -> bool {
        match self {
            Self::Hs256(key) => hmac::verify(key, message, signed).is_ok(),
            Self::Es256(key) | Self::EdDsa(key) => key.verify(message, signed).is_ok(),
        }
    }
}

/// What signs.
pub(crate) enum Signer {
    Hs256(hmac::Key),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Signer {
    /// Takes what a record has; nothing when that cannot be such a key.
    pub(crate) fn new(algorithm: Algorithm, signs: &[u8], rng: &dyn SecureRandom) -> Option<Self> {
        match algorithm {
            Algorithm::Hs256 => {
                SECRET_BYTES_RANGE.contains(&signs.len()).then(|| Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, signs)))
            }
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, signs, rng).ok().map(Self::Es256)
            }
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(signs).ok().map(Self::EdDsa),
        }
    }

    /// Takes bytes; returns what proves them. Nothing when there is no randomness (ES256 needs some each time).
    pub(crate) fn sign(&self, message: &[u8], rng: &dyn SecureRandom) -> Option<Vec<u8>> {
        match self {
            Self::Hs256(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
            Self::Es256(pair) => pair.sign(rng, message).ok().map(|signed| signed.as_ref().to_vec()),
            Self::EdDsa(pair) => Some(pair.sign(message).as_ref().to_vec()),
        }
    }
}

/// Makes a key; returns what verifies (for [`framemill_schemas::delivery::TokenKey`]) and what signs (for
/// [`framemill_schemas::delivery::SigningKey`]). Of a secret both are the same.
///
/// # Errors
/// When there is no randomness.
pub fn generate(algorithm: Algorithm, rng: &dyn SecureRandom) -> Result<(Vec<u8>, Vec<u8>), ring::error::Unspecified> {
    match algorithm {
        Algorithm::Hs256 => {
            let mut secret = vec![0; SECRET_BYTES];
            rng.fill(&mut secret)?;
            Ok((secret.clone(), secret))
        }
        Algorithm::Es256 => {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, rng)?;
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), rng)
                .expect("ring takes what it made");
            Ok((public(&pair), pkcs8.as_ref().to_vec()))
        }
        Algorithm::EdDsa => {
            let pkcs8 = Ed25519KeyPair::generate_pkcs8(rng)?;
            let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("ring takes what it made");
            Ok((public(&pair), pkcs8.as_ref().to_vec()))
        }
    }
}

fn public(pair: &impl KeyPair) -> Vec<u8> {
    pair.public_key().as_ref().to_vec()
}
