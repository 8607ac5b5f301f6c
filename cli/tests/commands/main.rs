//! What the commands say: to right and wrong flags, files and settings.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod bench_queue;
mod channel;
mod first_key;
mod fleet;
mod purge;
mod serve;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod token;
mod usage;
mod viewer;
