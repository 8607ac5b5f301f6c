//! How far away an origin is, told from how long its answers take. Pure.

/// Answers that it is told from.
const SAMPLES: usize = 15;
/// Milliseconds up to which an origin is as near as can be; each step is twice as far as the one before.
const NEAR_MS: i64 = 8;
/// The last step.
const FARTHEST: u8 = 12;

/// One origin's.
#[derive(Clone, Debug, Default)]
pub struct Distance {
    took_ms: Vec<i64>,
    next: usize,
    step: Option<u8>,
}

impl Distance {
    /// Takes how long one more answer took.
    pub fn add(&mut self, took_ms: i64) {
        if self.took_ms.len() < SAMPLES {
            self.took_ms.push(took_ms);
        } else {
            self.took_ms[self.next] = took_ms;
        }
        self.next = (self.next + 1) % SAMPLES;
        let mut sorted = self.took_ms.clone();
        sorted.sort_unstable();
        let median_ms = sorted[sorted.len() / 2];
        // Near the border between two steps it stays where it was: only a quarter beyond it counts.
        let stays =
            self.step.is_some_and(|step| (step_of(median_ms * 4 / 5)..=step_of(median_ms * 5 / 4)).contains(&step));
        if !stays {
            self.step = Some(step_of(median_ms));
        }
    }

    /// How many steps it is away; `None` before anything is known.
    pub const fn step(&self) -> Option<u8> {
        self.step
    }
}

fn step_of(ms: i64) -> u8 {
    (0..FARTHEST).find(|step| ms <= NEAR_MS << step).unwrap_or(FARTHEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_told_in_steps() {
        for (took_ms, step) in [
            (vec![0], 0),
            (vec![8], 0),
            (vec![9], 1),
            (vec![40], 3),
            (vec![40, 40, 9000], 3),
            (vec![1, 2, 3, 900, 900], 0),
            (vec![i64::MAX / 8], FARTHEST),
        ] {
            let mut distance = Distance::default();
            took_ms.iter().for_each(|ms| distance.add(*ms));
            assert_eq!(distance.step(), Some(step), "{took_ms:?}");
        }
        assert_eq!(Distance::default().step(), None);
    }

    #[test]
    fn near_a_border_it_stays_where_it_was() {
        let mut distance = Distance::default();
        (0..SAMPLES).for_each(|_| distance.add(15));
        assert_eq!(distance.step(), Some(1));
        (0..SAMPLES).for_each(|_| distance.add(18));
        assert_eq!(distance.step(), Some(1));
        (0..SAMPLES).for_each(|_| distance.add(25));
        assert_eq!(distance.step(), Some(2));
        (0..SAMPLES).for_each(|_| distance.add(14));
        assert_eq!(distance.step(), Some(2));
        (0..SAMPLES).for_each(|_| distance.add(11));
        assert_eq!(distance.step(), Some(1));
    }
}
