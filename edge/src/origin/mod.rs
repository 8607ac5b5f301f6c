//! Where objects come from, and which of several is asked.

mod begun;
mod board;
mod breaker;
mod distance;
mod health;
mod kept;
mod lately;
mod order;
mod origins;
mod playlist;
mod pour;
mod prober;
mod source;

pub use breaker::Breaker;
pub use kept::gzip;
pub use order::OriginOrder;
pub use origins::{FetchError, Fetched, Origins};
pub use prober::run as probe;
pub use source::{PURGED_HEADER, SHIELD_HEADER};
