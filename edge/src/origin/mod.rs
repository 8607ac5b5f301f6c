//! Where objects come from, and which of several is asked.

mod breaker;
mod kept;
mod origins;
mod source;

pub use origins::{FetchError, Origins};
pub use source::{PURGED_HEADER, SHIELD_HEADER};
