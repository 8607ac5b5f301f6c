//! Signing tokens. Never here: who may have one.

use framemill_schemas::delivery::{Algorithm, Claims, ClaimsError, SIGNING_KEY_VERSION, SigningKey};
use ring::rand::SecureRandom;

use crate::{Format, LIFETIME_S_MAX, More, TOKEN_CHARS_MAX, cat, compact, crypto::Signer, jwt, keyring::is_kid};

/// Why no token was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The claims are out of bounds.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// The times are: a token ends after its issue, within [`LIFETIME_S_MAX`], and has no time before 1970.
    #[error("a token ends after its issue, within 12 hours")]
    Times,
    /// The format has no such signature.
    #[error("tokens of this format are not signed so")]
    Algorithm,
    /// The key is none of its algorithm, or a later version's.
    #[error("the key cannot sign so")]
    Key,
    /// There is no randomness.
    #[error("there is no randomness")]
    Randomness,
    /// The token would be longer than [`TOKEN_CHARS_MAX`].
    #[error("the token would be over {TOKEN_CHARS_MAX} characters")]
    TooLong,
}

/// Takes a key with its algorithm, claims and the time of issue (Unix seconds); returns the token. Guards: what this
/// signs, a [`crate::Keyring`] takes, if the key's tenant and scope allow the claims.
///
/// # Errors
/// See [`SignError`].
pub fn sign(
    format: Format,
    key: &SigningKey,
    algorithm: Algorithm,
    claims: &Claims,
    issued_s: i64,
    rng: &dyn SecureRandom,
) -> Result<String, SignError> {
    sign_with(format, key, algorithm, claims, &More::default(), issued_s, rng)
}

/// The same, with what a Common Access Token asks for besides. Other formats cannot say it, and tokens of theirs never
/// did.
///
/// # Errors
/// See [`SignError`].
pub fn sign_with(
    format: Format,
    key: &SigningKey,
    algorithm: Algorithm,
    claims: &Claims,
    more: &More,
    issued_s: i64,
    rng: &dyn SecureRandom,
) -> Result<String, SignError> {
    claims.check()?;
    let life_s = claims.expires_s.saturating_sub(issued_s);
    if issued_s < 0 || claims.not_before_s < 0 || !(1..=LIFETIME_S_MAX).contains(&life_s) {
        return Err(SignError::Times);
    }
    if !format.takes(algorithm) {
        return Err(SignError::Algorithm);
    }
    if key.v > SIGNING_KEY_VERSION || !is_kid(&key.kid) {
        return Err(SignError::Key);
    }
    let signer = Signer::new(algorithm, &key.signs, rng).ok_or(SignError::Key)?;
    let prove = |message: &[u8]| signer.sign(message, rng).ok_or(SignError::Randomness);
    let token = match format {
        Format::Jwt => {
            let message = jwt::message(&key.kid, algorithm, claims, issued_s);
            jwt::token(&message, &prove(message.as_bytes())?)
        }
        Format::Compact => {
            let message = compact::message(&key.kid, claims, issued_s);
            compact::token(&message, &prove(message.as_bytes())?)
        }
        Format::Cat => {
            let unsigned = cat::Unsigned::new(&key.kid, algorithm, claims, more, issued_s);
            let signed = prove(&unsigned.message)?;
            unsigned.token(signed)
        }
    };
    if crate::path_form(&token).len() > TOKEN_CHARS_MAX { Err(SignError::TooLong) } else { Ok(token) }
}
