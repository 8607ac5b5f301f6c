//! Latencies: percentiles by nearest rank, in milliseconds.

use std::time::Duration;

use serde::Serialize;

use crate::figures::nearest_rank;

/// How long something took, over many times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half took at most this.
    pub p50_ms: f64,
    /// 99 of 100 took at most this.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// How many were measured.
    pub samples: usize,
}

impl Latency {
    /// Of all samples; zeros of none.
    pub fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort();
        let rank = |percent| nearest_rank(&samples, percent).map_or(0.0, |sample| sample.as_secs_f64() * 1000.0);
        Self { p50_ms: rank(50), p99_ms: rank(99), max_ms: rank(100), samples: samples.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let latency = Latency::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!((latency.p50_ms, latency.p99_ms, latency.max_ms, latency.samples), (100.0, 198.0, 200.0, 200));
        let one = Latency::of(vec![Duration::from_millis(7)]);
        assert_eq!((one.p50_ms, one.p99_ms), (7.0, 7.0));
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
