//! From how many places one session is watched. A token is one session however many have it, so a link that is passed
//! on takes no more than one seat: what gives it away is that it is shown from many networks at once.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use framemill_schemas::delivery::{Address, Claims, Network};

/// How long a network counts after it was seen, milliseconds.
const SEEN_MS: i64 = 60_000;
/// Sessions that are looked at; beyond it new ones are let in from anywhere.
const SESSIONS_MAX: usize = 200_000;
/// How often sessions are forgotten that nobody asks for, milliseconds.
const PRUNE_MS: i64 = 10_000;
/// Most networks of a session that are remembered.
const NETWORKS_MAX: usize = 255;

/// The sessions that watch here, and from where.
#[derive(Debug)]
pub struct Spread {
    /// Networks that a session may be asked for from; 0: any number.
    networks_max: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By a digest of tenant, account and session.
    sessions: HashMap<[u8; 16], Vec<Place>>,
    pruned_ms: i64,
}

/// A network, and when it was last seen, Unix milliseconds.
#[derive(Clone, Copy, Debug)]
struct Place {
    network: u64,
    seen_ms: i64,
}

impl Spread {
    /// Takes how many networks one session may be asked for from within a minute.
    pub fn new(networks_max: usize) -> Self {
        Self { networks_max: networks_max.min(NETWORKS_MAX), seen: Mutex::default() }
    }

    /// Takes a request of a session; returns whether it comes from one network too many, or others do: the whole
    /// session is refused then, until it has not been asked for from so many for a minute.
    pub fn is_too_wide(&self, claims: &Claims, viewer: IpAddr, now_ms: i64) -> bool {
        // A token that is bound to an address is shown from one network, or refused.
        if self.networks_max == 0 || claims.address != Address::Any {
            return false;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now_ms.saturating_sub(seen.pruned_ms) >= PRUNE_MS {
            seen.pruned_ms = now_ms;
            let is_fresh = |place: &Place| place.seen_ms.saturating_add(SEEN_MS) > now_ms;
            seen.sessions.retain(|_, places| places.iter().any(is_fresh));
        }
        let key = key(claims);
        if seen.sessions.len() >= SESSIONS_MAX && !seen.sessions.contains_key(&key) {
            return false;
        }
        let places = seen.sessions.entry(key).or_default();
        take(places, network_of(viewer), self.networks_max, now_ms);
        places.len() > self.networks_max
    }
}

/// Remembers that a network was seen, and no more of them than one too many: whichever was seen longest ago gives way.
fn take(places: &mut Vec<Place>, network: u64, networks_max: usize, now_ms: i64) {
    // Nearly every request: the same network again.
    match places.iter_mut().find(|place| place.network == network) {
        Some(place) => place.seen_ms = now_ms,
        None => places.push(Place { network, seen_ms: now_ms }),
    }
    places.retain(|place| place.seen_ms.saturating_add(SEEN_MS) > now_ms);
    if places.len() > networks_max + 1 {
        let oldest = places.iter().enumerate().min_by_key(|(_, place)| place.seen_ms).map(|(at, _)| at);
        if let Some(at) = oldest {
            places.swap_remove(at);
        }
    }
}

fn key(claims: &Claims) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    // None of them has a zero byte.
    for part in [claims.tenant.as_str(), &claims.account, &claims.session] {
        hasher.update(part.as_bytes()).update(&[0]);
    }
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    key
}

/// A /24 of IPv4 or a /64 of IPv6. As numbers they never meet: what is as small of IPv6 is routed nowhere.
fn network_of(viewer: IpAddr) -> u64 {
    match Network::prefix(viewer).address() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 64).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use framemill_schemas::delivery::Yields;

    use super::*;
    use crate::sessions::sample;

    fn claims(session: &str) -> Claims {
        sample::claims(session, Yields::Oldest)
    }

    #[test]
    fn a_session_from_too_many_networks_is_refused_until_it_is_from_few_again() {
        let spread = Spread::new(2);
        for (viewer, now_ms, too_wide) in [
            ("203.0.113.7", 0, false),
            ("203.0.113.99", 1, false),
            ("2001:db8::1", 2, false),
            ("2001:db8::2", 3, false),
            ("198.51.100.1", 10, true),
            ("203.0.113.7", 20, true),
            ("192.0.2.1", 30, true),
            // What was seen at 10 counts for a minute.
            ("203.0.113.7", 60_009, true),
            ("203.0.113.7", 60_010, false),
            ("2001:db8::1", 60_031, false),
        ] {
            assert_eq!(
                spread.is_too_wide(&claims("a"), viewer.parse().unwrap(), now_ms),
                too_wide,
                "{viewer} {now_ms}"
            );
        }
        assert!(!spread.is_too_wide(&claims("b"), "198.51.100.1".parse().unwrap(), 60_032), "another session");
        assert!((0..200).all(|last| {
            let viewer = IpAddr::from([10, 0, last, 1]);
            !Spread::new(0).is_too_wide(&claims("a"), viewer, 0)
        }));
    }

    #[test]
    fn a_flood_of_networks_takes_no_more_memory_than_a_few() {
        let spread = Spread::new(8);
        for last in 0..=255_u8 {
            spread.is_too_wide(&claims("a"), IpAddr::from([10, 0, last, 1]), i64::from(last));
        }
        assert_eq!(spread.seen.lock().unwrap().sessions.values().map(Vec::len).collect::<Vec<_>>(), [9]);
        // And is forgotten.
        spread.is_too_wide(&claims("b"), IpAddr::from([10, 0, 0, 1]), SEEN_MS + 300);
        assert_eq!(spread.seen.lock().unwrap().sessions.len(), 1);
    }
}
