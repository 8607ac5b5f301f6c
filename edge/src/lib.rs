//! The edge: lets in whom it should, serves what it has, and forgets on command.
//!
//! Owns the check of tokens before anything else, the cache, the choice among origins, and what a purge means here.
//! Never writes an object, and holds nothing that others need: what it knows it follows, and with NATS, schedulers and
//! workers gone it goes on with that.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admission;
mod cache;
mod clock;
mod cmcd;
mod config;
mod fence;
mod folder;
mod follow;
mod http;
mod metrics;
mod origin;
mod purge;
mod renewal;
mod run;
mod sessions;
mod steering;
mod trace;

pub use config::{EdgeConfig, STORE, TlsConfig};
pub use fence::Fence;
pub use http::TagHeader;
pub use origin::OriginOrder;
pub use run::{EdgeError, EdgeParts, run};
pub use steering::{NetworkPlace, SteeringConfig};
