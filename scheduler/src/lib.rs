//! The control plane's service: the HTTP API, planning, and the loops that turn records into jobs
//! and finished jobs into published assets.
//!
//! It is stateless: everything it knows comes from the records, and any number of schedulers run
//! side by side. It never touches ffmpeg or a media byte.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod access;
pub mod act;
pub mod advance;
pub mod api;
mod archive;
mod chain;
pub mod chunk;
mod clock;
pub mod delivery;
pub mod diagnose;
pub mod engine;
mod entries;
pub mod failover;
mod fold;
pub mod gate;
pub mod gc;
pub mod ladders;
pub mod load;
pub mod loops;
mod metrics;
pub mod on_air;
mod ops;
mod page;
pub mod plan;
mod publish;
pub mod purges;
mod repair;
pub mod retention;
mod revive;
pub mod run;
pub mod shred;
mod stored;
pub mod triage;
pub mod view;
