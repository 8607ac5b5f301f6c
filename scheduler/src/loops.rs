//! The loops of a scheduler, one a file, all of the same shape: `tick` is one pass, `run` is the
//! timer and the shutdown.

pub mod audit;
mod caches;
pub mod channels;
pub mod collect;
pub mod drive;
pub mod keep;
pub mod nodes;
pub mod notify;
pub mod purges;
pub mod reap;
pub mod sweep;
pub mod watch;

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

/// Ticks at once, then every `period`; a pass that takes longer delays the next one.
fn timer(period: Duration) -> Interval {
    let mut timer = tokio::time::interval(period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}
