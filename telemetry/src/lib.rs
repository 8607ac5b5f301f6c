//! How Framemill is seen from outside: traces, metrics, logs, the health listener, and the two
//! steps of a shutdown. Every role uses the same ones.
//!
//! Never here: what a role does. A role names its own spans and metrics.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
pub mod health;
mod init;
mod metrics;
pub mod shutdown;
pub mod span;

pub use config::{LogConfig, LogFormat, OtelConfig, TelemetryConfig};
pub use init::{Telemetry, TelemetryError, init};
pub use metrics::meter;
pub use shutdown::Shutdown;
