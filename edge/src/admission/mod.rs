//! What decides about tokens beside the tokens themselves: keys, and what is revoked.

mod keys;
mod revocations;

pub use keys::follow_keys;
pub use revocations::{Revocations, follow_revocations};
