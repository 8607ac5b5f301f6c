//! Silent renewal: whoever watches a channel gets the next token of its session with a playlist, before its token ends.
//!
//! The scheduler decides and signs; this edge asks it in the background, so that no viewer ever waits for that, and
//! hands on what it gets. Without a scheduler everything goes on, and tokens end as they say.

mod ask;
mod chains;
mod scheduler;

pub use ask::{Renewal, run};
pub use chains::{Digest, Lineage, Next, Shown, Times, digest_of, lineage_of};
pub use scheduler::Schedulers;
