//! Work and its truth on NATS JetStream: records changed only by compare-and-set, hints that say
//! "look at this record now", the runner that claims and commits, events, leases, presence.
//!
//! Knows records, never media: what a job does is its handler's business.
#![cfg_attr(test, allow(clippy::unwrap_used))]
// A failure is returned once per attempt, after seconds of work: its size costs nothing there.

mod cloud_event;
mod config;
mod connect;
mod dispatch;
mod error;
mod events;
mod follow;
mod hearing;
mod layout;
mod link;
mod nodes;
mod outbox;
mod presence;
mod queue;
mod records;
mod take_back;
mod watch;

pub mod lease;
pub mod node;
pub mod runner;
pub mod transition;

pub use config::NatsConfig;
pub use error::{QueueError, RecordError};
pub use hearing::{Hearing, LEASE};
pub use layout::ACK_WAIT;
pub use nodes::{Changed, Member, Standing, Trial, run as run_node};
pub use outbox::Outbox;
pub use queue::Queue;
pub use records::{Extent, Records};
pub use watch::{Change, Watch};
