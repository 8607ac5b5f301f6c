//! Numbers from a seed: the same seed gives the same numbers on every machine and in every
//! release, which no library promises.

/// SplitMix64: small, and good enough to choose who is struck next.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// Begins the row of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0. The bias of the remainder does not matter here.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// One of a list that is not empty.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("it is below a length")]
    }

    /// One of a list of weighted things; the weights are not all 0.
    pub fn weighted<T: Copy>(&mut self, from: &[(u64, T)]) -> T {
        let mut left = self.below(from.iter().map(|(weight, _)| weight).sum());
        for (weight, thing) in from {
            if left < *weight {
                return *thing;
            }
            left -= weight;
        }
        unreachable!("the number is below the sum of the weights")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_a_seed_never_changes() {
        let mut seed = Seed::new(1);
        // The published first numbers of this generator.
        assert_eq!([seed.number(), seed.number()], [0x910a_2dec_8902_5cc1, 0xbeeb_8da1_658e_ec67]);
    }

    #[test]
    fn choices_stay_inside_their_bounds() {
        let mut seed = Seed::new(7);
        for _ in 0..1000 {
            assert!((3..=5).contains(&seed.between(3, 5)));
            assert!([1, 2].contains(&seed.pick(&[1, 2])));
            assert_eq!(seed.weighted(&[(0, 'a'), (3, 'b'), (0, 'c')]), 'b');
        }
    }
}
