//! Whose address a request comes from. Pure.

use std::net::IpAddr;

use framemill_schemas::delivery::{ClaimsError, Network};
use hyper::HeaderMap;

/// Most addresses of a chain that are looked at.
const CHAIN_MAX: usize = 16;

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    /// Takes the configuration's list.
    ///
    /// # Errors
    /// One that is no network.
    pub fn new(networks: &[String]) -> Result<Self, ClaimsError> {
        networks.iter().map(|network| network.parse()).collect::<Result<_, _>>().map(Self)
    }

    /// The viewer's address: the other end of the connection, or, where that is a proxy that is believed, the last
    /// address of `X-Forwarded-For` that is none. What stands before that anyone could have written.
    pub fn viewer(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.believes(peer) {
            return peer;
        }
        let mut viewer = peer;
        let lists = headers.get_all("x-forwarded-for").iter().rev();
        let addresses = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(',')).take(CHAIN_MAX);
        for address in addresses {
            let Ok(address) = address.trim().parse::<IpAddr>() else { break };
            viewer = address.to_canonical();
            if !self.believes(viewer) {
                break;
            }
        }
        viewer
    }

    /// Whether an address is a proxy's that is believed.
    pub fn believes(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.holds(address.to_canonical()))
    }
}

/// What one sender has for itself, as a number: an address of IPv4, and of IPv6, where it has many, their /64.
pub fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proxies_that_are_named_are_believed_and_only_what_they_add() {
        let proxies = Proxies::new(&["10.0.0.0/8".to_owned(), "::1".to_owned()]).unwrap();
        for (peer, forwarded, viewer) in [
            ("203.0.113.7", vec!["198.51.100.1"], "203.0.113.7"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["203.0.113.7"], "203.0.113.7"),
            ("::ffff:10.0.0.1", vec!["203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", vec!["1.2.3.4, 203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", vec!["1.2.3.4, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", vec!["1.2.3.4", "203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", vec!["203.0.113.7, nonsense"], "10.0.0.1"),
            ("::1", vec!["2001:db8::7"], "2001:db8::7"),
        ] {
            let mut headers = HeaderMap::new();
            for list in &forwarded {
                headers.append("x-forwarded-for", list.parse().unwrap());
            }
            let found = proxies.viewer(peer.parse().unwrap(), &headers);
            assert_eq!(found, viewer.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
        assert!(Proxies::new(&["10.0.0.0/33".to_owned()]).is_err());
    }
}
