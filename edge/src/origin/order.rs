//! In which order origins are asked. Pure.

use serde::{Deserialize, Serialize};

use super::health::Standing;

/// What decides among origins that are equally well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginOrder {
    /// The order in which they are listed.
    #[default]
    Listed,
    /// How fast they answer; then the order in which they are listed.
    Nearest,
}

/// What is known of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whether it may be asked, as far as its last answers tell.
    pub admitted: bool,
    /// How it stands for what is asked for.
    pub standing: Standing,
    /// How many steps it is away; `None` before that is known.
    pub step: Option<u8>,
}

/// Takes what is known of origins in their listed order; returns in which order they are asked. Those that are sick come
/// after those that are well, and those that do not answer after both; not never: when nobody else is left, an answer
/// that may be old or fail is better than none.
pub fn order(by: OriginOrder, origins: &[Known]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..origins.len()).collect();
    // The sort is stable.
    order.sort_by_key(|index| {
        let known = origins[*index];
        let step = match by {
            OriginOrder::Listed => 0,
            // One that nothing is known of is not near.
            OriginOrder::Nearest => known.step.unwrap_or(u8::MAX),
        };
        (!known.admitted, known.standing, step)
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_first_then_the_listed_order_or_the_distance() {
        use OriginOrder::{Listed, Nearest};
        use Standing::{Behind, Broken, Well};
        let known = |(admitted, standing, step): &(bool, Standing, Option<u8>)| Known {
            admitted: *admitted,
            standing: *standing,
            step: *step,
        };
        for (by, origins, expected) in [
            (Listed, vec![(true, Well, Some(5)), (true, Well, Some(0))], vec![0, 1]),
            (Nearest, vec![(true, Well, Some(5)), (true, Well, Some(0))], vec![1, 0]),
            (Nearest, vec![(true, Well, Some(1)), (true, Well, Some(1))], vec![0, 1]),
            (Nearest, vec![(true, Well, None), (true, Well, Some(3))], vec![1, 0]),
            (Nearest, vec![(true, Well, None), (true, Well, None)], vec![0, 1]),
            (Listed, vec![(false, Well, None), (true, Well, None)], vec![1, 0]),
            (Listed, vec![(false, Well, None), (false, Well, None)], vec![0, 1]),
            (Listed, vec![(true, Behind, None), (true, Well, None)], vec![1, 0]),
            (Nearest, vec![(true, Behind, Some(0)), (true, Well, Some(9))], vec![1, 0]),
            (
                Listed,
                vec![(false, Well, None), (true, Broken, None), (true, Behind, None), (true, Well, None)],
                vec![3, 2, 1, 0],
            ),
            (Listed, vec![], vec![]),
        ] {
            let known: Vec<_> = origins.iter().map(known).collect();
            assert_eq!(order(by, &known), expected, "{by:?} {origins:?}");
        }
    }
}
