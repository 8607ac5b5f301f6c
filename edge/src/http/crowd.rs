//! How many connections an address has: a bound for one keeps it from taking the places of all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::peer::network;

/// Connections by network; as many entries at most as there are connections.
#[derive(Debug)]
pub struct Crowd {
    by_network: Mutex<HashMap<u128, usize>>,
    max: usize,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub struct Member {
    crowd: Arc<Crowd>,
    network: u128,
}

impl Crowd {
    /// Takes how many connections an address may have; 0 is any number.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { by_network: Mutex::default(), max })
    }

    /// A place for one more connection of an address; none where it has as many as it may.
    pub fn join(self: &Arc<Self>, address: IpAddr) -> Option<Member> {
        let network = network(address);
        let mut by_network = self.lock();
        let count = by_network.entry(network).or_default();
        if self.max > 0 && *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Member { crowd: Arc::clone(self), network })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, usize>> {
        self.by_network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut by_network = self.crowd.lock();
        if let Some(count) = by_network.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_gets_them_back() {
        let crowd = Crowd::new(2);
        let join = |address: &str| crowd.join(address.parse().unwrap());
        let (first, second) = (join("2001:db8::1").unwrap(), join("2001:db8::2").unwrap());
        assert!(join("2001:db8::3").is_none() && join("2001:db8:0:1::1").is_some());
        drop(first);
        assert!(join("2001:db8::3").is_some());
        drop(second);
        let any = Crowd::new(0);
        let all: Vec<_> = (0..100).map(|_| any.join("192.0.2.1".parse().unwrap())).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(crowd.lock().is_empty());
    }
}
