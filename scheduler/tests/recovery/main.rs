//! What becomes of jobs when workers, schedulers' ears or NATS itself fail: the loops that take
//! back and queue again, with runners in earnest, on a nats-server of each test's own.
#![allow(clippy::unwrap_used)]

mod channels;
mod control;
mod holders;
mod outages;
mod pace;
#[allow(dead_code)]
#[path = "../../../queue/tests/real/proxy.rs"]
mod proxy;
#[allow(dead_code)]
#[path = "../../../queue/tests/real/server.rs"]
mod server;
#[allow(dead_code)]
#[path = "../../../queue/tests/real/worker.rs"]
mod worker;
