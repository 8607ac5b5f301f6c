//! Signals of a real process, and a stop that was asked for.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use framemill_telemetry::Shutdown;
use tokio::time::timeout;

const BOUND: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_first_signal_drains_and_the_second_stops() {
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    let interrupt = || std::process::Command::new("kill").args(["-INT", &std::process::id().to_string()]).status();
    interrupt().unwrap();
    timeout(BOUND, shutdown.drain.cancelled()).await.unwrap();
    assert!(!shutdown.stop.is_cancelled());
    interrupt().unwrap();
    timeout(BOUND, shutdown.stop.cancelled()).await.unwrap();
}

#[tokio::test]
async fn a_stop_is_a_drain_too() {
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    shutdown.stop.cancel();
    timeout(BOUND, shutdown.drain.cancelled()).await.unwrap();
}
