//! What a run of a fleet came to. Pure.

use std::time::Duration;

use serde::Serialize;

use super::{
    Fleet,
    book::{Account, Book, Entry},
    cost,
};
use crate::figures::nearest_rank;

/// A fleet that is filled so far counts as full.
pub(super) const FULL_PERCENT: f64 = 85.0;

/// The fleet in one second.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Since the nodes started.
    pub seconds: f64,
    /// How full devices are in what binds them (encoders, sessions, memory, or the time between two
    /// starts), percent of what their ceilings allow; the mean.
    pub filled_percent: f64,
    /// Load of their encoders, percent; the mean.
    pub encoder_percent: f64,
    /// Jobs that nobody has started.
    pub waiting: usize,
    /// Jobs that run.
    pub running: usize,
    /// Jobs that started in this second.
    pub started: usize,
    /// How long these had waited, the median, seconds; absent where none started.
    pub wait_s: Option<f64>,
}

/// What it came to.
#[derive(Clone, Debug, Serialize)]
pub struct FleetReport {
    /// That nothing of it was real but the policy and the queue.
    pub simulated: bool,
    /// Nodes.
    pub nodes: usize,
    /// Jobs that were done.
    pub jobs: usize,
    /// How long that took, seconds.
    pub seconds: f64,
    /// How full devices were in what binds them while work waited, after the first starts; percent of
    /// what their ceilings allow.
    pub filled_percent: f64,
    /// The load of their encoders alone meanwhile, percent.
    pub encoder_percent: f64,
    /// Looks in a row at which a device was above its ceiling: one is a reading's delay.
    pub over_ceiling_looks: u32,
    /// Longest time that a device ran nothing while jobs waited that fit it, seconds.
    pub idle_longest_s: f64,
    /// Sessions that were refused.
    pub refused: u64,
    /// Longest time from a refusal to the start of that job after all, seconds.
    pub refused_longest_s: Option<f64>,
    /// Closest two starts on one device, seconds; absent where none had two.
    pub closest_starts_s: Option<f64>,
    /// Most starts on one device.
    pub most_starts: usize,
    /// How long the largest jobs waited that came when the fleet was full, the longest, seconds.
    pub large_longest_s: Option<f64>,
    /// Small ones that started meanwhile.
    pub started_meanwhile: usize,
    /// Wait of all others: median and 99th percentile, seconds.
    pub wait_s: [f64; 2],
    /// Mean time of a claim decision, microseconds.
    pub decision_us: f64,
    /// Part of a core that reading this machine every second takes, percent.
    pub readings_percent: f64,
    /// The fleet, second by second.
    pub samples: Vec<Sample>,
}

/// The seconds in which a fleet fills: each device starts one process after another.
const FILLING: f64 = 15.0;

pub(super) async fn report(fleet: &Fleet, book: &Book, samples: Vec<Sample>) -> FleetReport {
    let Account { entries, closest_starts, most_starts, refusals, idle_longest, over_longest } = book.account();
    // While there is more work than devices: what is left in the end cannot fill a fleet.
    let busy = |sample: &&Sample| sample.waiting > fleet.nodes && sample.seconds > FILLING;
    let filled: Vec<f64> = samples.iter().filter(busy).map(|sample| sample.filled_percent).collect();
    let mean = |values: &[f64]| if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 };
    let encoder: Vec<f64> = samples.iter().filter(busy).map(|sample| sample.encoder_percent).collect();
    let wait = |entry: &Entry| entry.started.map(|started| started - entry.submitted);
    let large: Vec<&Entry> = entries.iter().filter(|entry| entry.large).collect();
    let large_from = large.iter().map(|entry| entry.submitted).min();
    let large_until = large.iter().filter_map(|entry| entry.started).max();
    let meanwhile = |entry: &&Entry| {
        let between = large_from.zip(large_until).zip(entry.started);
        !entry.large && between.is_some_and(|((from, until), started)| (from..until).contains(&started))
    };
    let mut waits: Vec<Duration> = entries.iter().filter(|entry| !entry.large).filter_map(wait).collect();
    waits.sort_unstable();
    let at = |percent| nearest_rank(&waits, percent).map_or(0.0, |wait: Duration| wait.as_secs_f64());
    let refused = entries.iter().filter_map(|entry| entry.started?.checked_duration_since(entry.refused?));
    let seconds = |duration: Duration| duration.as_secs_f64();
    FleetReport {
        simulated: true,
        nodes: fleet.nodes,
        jobs: entries.iter().filter(|entry| entry.ended.is_some()).count(),
        seconds: samples.last().map_or(0.0, |sample| sample.seconds),
        filled_percent: mean(&filled),
        encoder_percent: mean(&encoder),
        over_ceiling_looks: over_longest,
        idle_longest_s: idle_longest.as_secs_f64(),
        refused: refusals,
        refused_longest_s: refused.max().map(seconds),
        closest_starts_s: closest_starts.map(seconds),
        most_starts,
        large_longest_s: large.iter().filter_map(|entry| wait(entry)).max().map(seconds),
        started_meanwhile: entries.iter().filter(meanwhile).count(),
        wait_s: [at(50), at(99)],
        decision_us: cost::decision().await.as_secs_f64() * 1e6,
        readings_percent: framemill_worker::readings_cost().as_secs_f64() * 100.0,
        samples,
    }
}
