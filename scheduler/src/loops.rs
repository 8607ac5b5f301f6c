//! The loops of a scheduler, one a file, all of the same shape: `tick` is one pass, `run` is the
//! timer and the shutdown.

pub mod collect;
pub mod drive;
pub mod notify;
pub mod reap;
pub mod sweep;
pub mod watch;

use std::{future::Future, time::Duration};

use tokio_util::sync::CancellationToken;

/// Calls `pass` every `period` until `stop`. A pass that takes longer delays the next one.
async fn every<F: Future<Output = ()>>(period: Duration, stop: &CancellationToken, mut pass: impl FnMut() -> F) {
    let mut timer = tokio::time::interval(period);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        pass().await;
    }
}

/// Unix milliseconds: for records and reports, never for deciding who is late.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
