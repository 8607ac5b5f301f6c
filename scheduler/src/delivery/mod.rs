//! The control plane of delivery: it makes keys, says who may watch what, issues and renews tokens, and revokes them.
//! Edges verify what it signed, without asking it.
//!
//! Never here: HTTP, and what an edge does.

pub mod accounts;
mod ask;
pub mod audit;
mod cache;
pub mod entitle;
pub mod keys;
mod probe;
mod renew;
pub mod revocations;
mod session;
mod settings;
pub mod tenants;
mod tokens;

pub use audit::{Audit, Noted};
pub use cache::KeyCache;
pub use settings::{AuditSettings, TokenSettings};
pub use tokens::{Delivery, TokenError};
