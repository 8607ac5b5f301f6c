//! The data plane's service: claims probe, transcode and audio jobs, runs them with ffmpeg on
//! sources read through its own loopback reader, and puts finished segments into the store while
//! encoding continues.
//!
//! It never plans, and it serves nobody but its own ffmpeg.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod boundary;
mod canary;
pub mod capacity;
pub mod headroom;
mod held;
mod jobs;
mod live;
mod machine;
mod metrics;
mod run;
pub mod source;
mod upload;

pub use live::LiveConfig;
pub use machine::readings::cost as readings_cost;
pub use machine::{gpu, inventory, now, script};
pub use run::{Machine, WorkerConfig, WorkerParts, run};
