//! Answers an address slowly that has shown many tokens that open nothing: a flood of forged ones then costs viewers
//! nothing, and a viewer at the same address with a good token notices nothing.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use super::peer::network;

/// Counters, whatever the number of addresses; two that share one are slowed together.
const COUNTERS: usize = 4096;
/// Refusals of an address in one second that are answered at once.
const REFUSALS_MAX: u64 = 20;

/// Counts refusals by address.
pub struct Tarpit {
    /// Each the second it counts in, and the count in its lower 16 bits.
    counters: Vec<AtomicU64>,
    hasher: RandomState,
}

impl Tarpit {
    /// Nobody is slowed.
    pub fn new() -> Self {
        Self { counters: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }

    /// Takes that an address was refused; returns whether it is to be answered slowly.
    pub fn refused(&self, address: IpAddr, now_s: i64) -> bool {
        let at = usize::try_from(self.hasher.hash_one(network(address)) % COUNTERS as u64).unwrap_or(0);
        let second = now_s.unsigned_abs() << 16;
        let count = |counter: u64| {
            let counted = if counter & !0xffff == second { counter & 0xffff } else { 0 };
            Some(second | (counted + 1).min(0xffff))
        };
        let before = self.counters[at].fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).unwrap_or(0);
        before & !0xffff == second && before & 0xffff >= REFUSALS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_slowed_in_a_second_in_which_it_was_refused_often() {
        let tarpit = Tarpit::new();
        let (flood, viewer): (IpAddr, IpAddr) = ("203.0.113.7".parse().unwrap(), "2001:db8::1".parse().unwrap());
        for _ in 0..REFUSALS_MAX {
            assert!(!tarpit.refused(flood, 10));
        }
        assert!(tarpit.refused(flood, 10) && tarpit.refused("::ffff:203.0.113.7".parse().unwrap(), 10));
        assert!(!tarpit.refused(viewer, 10));
        assert!(!tarpit.refused(flood, 11));
    }
}
