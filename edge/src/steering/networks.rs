//! Where viewers are, by their addresses. Pure.

use std::{cmp::Reverse, net::IpAddr};

use framemill_schemas::delivery::{Network, Place};

use super::config::NetworkPlace;

/// Most networks: every request that is steered looks through them.
const NETWORKS_MAX: usize = 4096;

/// The networks, the smallest first.
#[derive(Clone, Debug, Default)]
pub struct Networks(Vec<(Network, Place)>);

impl Networks {
    /// Takes the configuration's.
    ///
    /// # Errors
    /// One that is no network, or lies nowhere.
    pub fn new(all: &[NetworkPlace]) -> Result<Self, String> {
        if all.len() > NETWORKS_MAX {
            return Err(format!("at most {NETWORKS_MAX} networks"));
        }
        let read = |one: &NetworkPlace| {
            let network: Network = one.network.parse().map_err(|error| format!("{}: {error}", one.network))?;
            let place = Place { latitude: one.latitude, longitude: one.longitude };
            place.is_on_earth().then_some((network, place)).ok_or_else(|| format!("{network}: there is no such place"))
        };
        let mut networks = all.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        networks.sort_by_key(|(network, _)| Reverse(network.bits()));
        Ok(Self(networks))
    }

    /// Where a viewer is, if that is known.
    pub fn place(&self, viewer: IpAddr) -> Option<Place> {
        self.0.iter().find(|(network, _)| network.holds(viewer)).map(|(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_network_that_holds_an_address_says_where_it_is() {
        let at = |network: &str, latitude| NetworkPlace { network: network.to_owned(), latitude, longitude: 1.0 };
        let networks =
            Networks::new(&[at("10.0.0.0/8", 1.0), at("10.1.0.0/16", 2.0), at("2001:db8::/32", 3.0)]).unwrap();
        for (viewer, latitude) in [
            ("10.1.2.3", Some(2.0)),
            ("10.2.2.3", Some(1.0)),
            ("::ffff:10.1.2.3", Some(2.0)),
            ("2001:db8::7", Some(3.0)),
            ("203.0.113.7", None),
        ] {
            assert_eq!(networks.place(viewer.parse().unwrap()).map(|place| place.latitude), latitude, "{viewer}");
        }
        assert!(Networks::new(&[at("10.0.0.0/33", 1.0)]).is_err() && Networks::new(&[at("10.0.0.0/8", 91.0)]).is_err());
    }
}
