//! Histograms of the roles, in the text format of Prometheus. Pure.

use std::collections::BTreeMap;

/// A histogram, of one process or of several added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many were at most so long, by microseconds; the last bound is none.
    buckets: BTreeMap<u64, u64>,
}

impl Histogram {
    /// Adds the buckets of `name` that a text tells of, whatever their other labels.
    pub fn add(&mut self, name: &str, text: &str) {
        let start = format!("{name}_bucket{{");
        for line in text.lines().filter_map(|line| line.strip_prefix(&start)) {
            let Some((labels, value)) = line.rsplit_once('}') else { continue };
            let bound = labels.split(',').find_map(|label| label.trim().strip_prefix("le=\"")?.strip_suffix('"'));
            let (Some(bound), Ok(count)) = (bound.and_then(micros), value.trim().parse::<u64>()) else { continue };
            *self.buckets.entry(bound).or_default() += count;
        }
    }

    /// What was counted since another reading of the same.
    pub fn since(&self, before: &Self) -> Self {
        let of = |bound: &u64| before.buckets.get(bound).copied().unwrap_or_default();
        let buckets = self.buckets.iter().map(|(bound, count)| (*bound, count.saturating_sub(of(bound))));
        Self { buckets: buckets.collect() }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.buckets.values().next_back().copied().unwrap_or_default()
    }

    /// The bound that so many of a thousand stay under, microseconds; `None` beyond the last bound, and for
    /// nothing counted.
    pub fn within(&self, of_thousand: u64) -> Option<u64> {
        let least = (self.count() * of_thousand).div_ceil(1000).max(1);
        let bound = self.buckets.iter().find(|(_, count)| **count >= least).map(|(bound, _)| *bound);
        bound.filter(|bound| *bound != u64::MAX)
    }
}

/// Seconds as they are written there.
fn micros(text: &str) -> Option<u64> {
    if text == "+Inf" {
        return Some(u64::MAX);
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<6}");
    Some(whole.parse::<u64>().ok()? * 1_000_000 + part.get(..6)?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE x_seconds histogram\n\
        x_seconds_bucket{otel_scope_name=\"a\",le=\"0.05\"} 90\n\
        x_seconds_bucket{otel_scope_name=\"a\",le=\"0.25\"} 99\n\
        x_seconds_bucket{otel_scope_name=\"a\",le=\"+Inf\"} 100\n\
        x_seconds_sum 7\ny_seconds_bucket{le=\"1\"} 5\n";

    #[test]
    fn processes_are_added_up_and_bounds_are_found() {
        let mut both = Histogram::default();
        both.add("x_seconds", TEXT);
        let one = both.clone();
        both.add("x_seconds", TEXT);
        assert_eq!((one.count(), both.count()), (100, 200));
        assert_eq!(
            [500, 900, 990, 1000].map(|share| both.within(share)),
            [Some(50_000), Some(50_000), Some(250_000), None]
        );
        assert_eq!(both.since(&one), one);
        assert_eq!(Histogram::default().within(500), None);
    }
}
