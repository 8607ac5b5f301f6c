//! Objects in S3: conditional puts, ranged reads, listings, and the embedded store.
//!
//! Owns how bytes reach a store and come back, what is written beside them as metadata, and what
//! a store's refusals mean. Knows nothing of jobs or media.
//!
//! Retries of a request have one owner, the SDK, with bounded attempts and time
//! ([`config::Limits`]); nothing here loops around it, except where two callers race for one name
//! and the race is run again. An outage outlasts them: whoever holds a patient handle
//! ([`Store::patient`]) waits until the store answers again.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod check;
pub mod classes;
mod client;
pub mod config;
mod delete;
mod digest;
pub mod embedded;
pub mod error;
mod fault;
pub mod key;
mod list;
pub mod meta;
mod outage;
mod put;
pub mod range;
mod read;
mod retry;
pub mod secret;
mod store;

pub use classes::{CLASSES, Classes};
pub use config::{Checksums, Limits, S3Config};
pub use error::StoreError;
pub use list::{LIST_KEYS_MAX, Listed};
pub use meta::Meta;
pub use put::Put;
pub use read::{OBJECT_BYTES_MAX, Object, ObjectStream};
pub use secret::Secret;
pub use store::Store;
