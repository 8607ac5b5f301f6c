//! An edge on a real NATS server and a real store.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod admission;
mod answers;
mod arriving;
mod caching;
mod cmcd;
mod fronts;
mod health;
mod origins;
mod purging;
mod renewal;
mod sessions;
mod steering;
mod support;
mod tls;
mod traces;
