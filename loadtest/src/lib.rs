//! Benchmarks and load: drives the farm only from outside, as a user would, through the binary
//! and what it prints. No service links it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bench;
pub mod chaos;
mod farm;
mod figures;
pub mod fleet;
pub mod live;
mod machine;
mod plain;
mod quality;
pub mod rig;
