//! What is done to one replica of a channel, as plain data, and what a seed chooses. Pure.

use serde::Serialize;

use crate::rig::{Link, Seed, Trouble};

/// What is done to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// SIGKILL to its worker.
    KillWorker,
    /// SIGSTOP to its worker, and SIGCONT after a time.
    StopWorker,
    /// SIGKILL to its encoder alone.
    KillEncoder,
    /// SIGSTOP to its encoder alone, and SIGCONT after a time, where it is still there.
    StopEncoder,
    /// Its worker's connections to NATS, to the store or to both break.
    CutNetwork,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::KillWorker, Self::StopWorker, Self::KillEncoder, Self::StopEncoder, Self::CutNetwork];

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KillWorker => "kill worker",
            Self::StopWorker => "stop worker",
            Self::KillEncoder => "kill encoder",
            Self::StopEncoder => "stop encoder",
            Self::CutNetwork => "cut network",
        }
    }
}

/// One strike. Times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Strike {
    /// What is done.
    pub kind: Kind,
    /// To which of the two replicas.
    pub replica: u8,
    /// How long a worker is away, or what is stopped or cut stays so.
    pub length_ms: u64,
    /// How long the restored channel is left alone before.
    pub rest_ms: u64,
    /// Which connections are cut: NATS, the store, or both.
    pub links: &'static [Link],
    /// How they are cut.
    pub trouble: Trouble,
}

/// How long something stays stopped, cut or away.
const LENGTH_MS: (u64, u64) = (5_000, 12_000);
/// How long a restored channel is left alone: strikes shall meet every part of a segment.
const REST_MS: (u64, u64) = (0, 2_500);
const LINKS: [&[Link]; 3] = [&[Link::Nats], &[Link::Store], &[Link::Nats, Link::Store]];

/// The strikes of a seed: every five of them, one of each kind, in any order.
pub fn plan(seed: u64, strikes: usize) -> Vec<Strike> {
    let mut seed = Seed::new(seed);
    let mut left: Vec<Kind> = Vec::new();
    (0..strikes)
        .map(|_| {
            if left.is_empty() {
                left.extend(Kind::ALL);
            }
            let at = usize::try_from(seed.below(left.len() as u64)).expect("it is below a length");
            Strike {
                kind: left.swap_remove(at),
                replica: seed.pick(&[0, 1]),
                length_ms: seed.between(LENGTH_MS.0, LENGTH_MS.1),
                rest_ms: seed.between(REST_MS.0, REST_MS.1),
                links: seed.pick(&LINKS),
                trouble: seed.pick(&[Trouble::Refuse, Trouble::Stall]),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_strikes_the_same_way_again_and_in_every_way() {
        let strikes = plan(7, 50);
        assert_eq!(strikes, plan(7, 50));
        assert_ne!(strikes, plan(8, 50));
        assert_eq!(strikes[..20], plan(7, 20));
        for five in strikes.chunks(5) {
            let mut kinds: Vec<_> = five.iter().map(|strike| strike.kind).collect();
            kinds.sort();
            assert_eq!(kinds, Kind::ALL);
        }
    }
}
