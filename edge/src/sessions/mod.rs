//! How many sessions an account has at once, held across all edges without a look at anything but memory for a request.
//!
//! A session that is new here is let in, and its seat is claimed in the account's record a moment later; what the record
//! says comes back to every edge that serves the account. So for as long as that takes there may be one too many, and
//! under a partition as many as are allowed on each side of it.

mod claim;
mod local;
#[cfg(test)]
mod sample;
mod spread;

pub use claim::run;
pub use local::{Claim, Local};
pub use spread::Spread;
