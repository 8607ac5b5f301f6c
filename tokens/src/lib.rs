//! Tokens that let viewers in: reading, verifying and signing them, in three formats with one meaning
//! ([`framemill_schemas::delivery::Claims`]).
//!
//! Never here: I/O, clocks, records. The time and the source of randomness come as arguments, so that everything here
//! is a pure function: a token and a moment give one answer.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admit;
mod base64url;
mod cat;
mod cbor;
mod compact;
mod crypto;
mod format;
mod inspect;
mod jwt;
mod keyring;
mod more;
mod refusal;
mod said;
mod sign;
#[cfg(test)]
mod vectors;

pub use admit::{Asked, Method, Methods, Verified, admit};
pub use crypto::generate;
pub use format::{Format, TOKEN_CHARS_MAX, path_form};
pub use inspect::{Inspected, inspect};
pub use keyring::{KeyFault, Keyring};
pub use more::{Instead, More, Refused, Renewing, RenewingWay};
pub use refusal::Refusal;
pub use said::{LIFETIME_S_MAX, SKEW_S};
pub use sign::{SignError, sign, sign_with};
