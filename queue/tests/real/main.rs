//! The queue on a real nats-server, one per test, on a free port.
#![allow(clippy::unwrap_used, clippy::result_large_err)]

mod claim;
mod cluster;
mod connect;
mod dispatch;
mod events;
mod lease;
mod nodes;
mod outage;
mod outbox;
mod pace;
mod proxy;
mod records;
mod runner;
mod server;
mod worker;
