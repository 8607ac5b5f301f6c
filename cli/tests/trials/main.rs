//! What happens to a farm in its life: roles are killed, drained, ended and replaced, titles are cancelled,
//! mended and redriven, more is submitted than it takes. One program, so that its parts wait side by side.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod borders;
mod cancel;
mod dead;
mod flood;
mod gpus;
mod nodes;
mod repair;
mod shutdown;
#[path = "../support/mod.rs"]
mod support;
mod upgrade;
