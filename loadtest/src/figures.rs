//! Figures that stand for many measurements.

use serde::Serialize;

/// A distribution of times, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Median.
    pub p50_ms: i64,
    /// All but one of a hundred.
    pub p99_ms: i64,
    /// The longest.
    pub max_ms: i64,
}

impl Spread {
    /// That of some times.
    pub fn of(mut times: Vec<i64>) -> Self {
        times.sort_unstable();
        let rank = |percent| nearest_rank(&times, percent).unwrap_or_default();
        Self { count: times.len(), p50_ms: rank(50), p99_ms: rank(99), max_ms: rank(100) }
    }
}

/// The figure to quote on a machine whose speed drifts: the middle of a list of finite figures, the
/// mean of both for an even count; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// The percentile of a sorted list by nearest rank: one of the list, and of fewer than a hundred the
/// last for 99; nothing of none.
pub fn nearest_rank<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_taken() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
