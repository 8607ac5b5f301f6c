//! What a token says, whatever its format. Formats differ in how they spell this; what is enforced is the same.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::ids::Tenant;

/// Longest name of an account.
pub const ACCOUNT_CHARS_MAX: usize = 128;
/// Longest name of a session.
pub const SESSION_CHARS_MAX: usize = 64;
/// Longest path of a token.
pub const PATH_CHARS_MAX: usize = 256;
/// Most entries of any list in a token.
pub const LIST_MAX: usize = 32;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose viewer it is: the tenant of the key that signed it, or one below.
    pub tenant: Tenant,
    /// The viewer's account: 1 to [`ACCOUNT_CHARS_MAX`] of letters, digits and `-_.@`.
    pub account: String,
    /// The viewing session: 1 to [`SESSION_CHARS_MAX`] of letters, digits and `-_`. Stays the same when a token is
    /// renewed.
    pub session: String,
    /// What may be asked for; never empty.
    pub paths: Paths,
    /// Where it may be watched (ISO 3166-1 alpha-2); empty: everywhere.
    pub regions: Vec<Region>,
    /// Pages that may ask for it (`https://tv.example`); empty: any.
    pub origins: Vec<String>,
    /// The address it is bound to.
    pub address: Address,
    /// Valid from, Unix seconds; 0: from ever.
    pub not_before_s: i64,
    /// Valid until, Unix seconds.
    pub expires_s: i64,
    /// Most sessions of the account at once; 0: no limit.
    pub sessions_max: u32,
    /// Which session yields when there are more.
    pub yields: Yields,
}

/// Why claims are no claims.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{claim}: {why}")]
pub struct ClaimsError {
    /// Which one.
    pub claim: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Claims {
    /// What no type can say. Issuers and verifiers both ask.
    ///
    /// # Errors
    /// The first claim that is out of bounds.
    pub fn check(&self) -> Result<(), ClaimsError> {
        let fault = |claim, why| Err(ClaimsError { claim, why });
        let is_word = |text: &str, also: &[u8], max: usize| {
            !text.is_empty()
                && text.len() <= max
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
        };
        if !is_word(&self.account, b"-_.@", ACCOUNT_CHARS_MAX) {
            return fault("account", "1 to 128 letters, digits, '-', '_', '.' and '@'");
        }
        if !is_word(&self.session, b"-_", SESSION_CHARS_MAX) {
            return fault("session", "1 to 64 letters, digits, '-' and '_'");
        }
        if self.regions.len() > LIST_MAX {
            return fault("regions", "at most 32");
        }
        let is_origin = |origin: &str| {
            origin.len() <= PATH_CHARS_MAX
                && origin.split_once("://").is_some_and(|(scheme, host)| {
                    matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', ' ', ',', '*'])
                })
        };
        if self.origins.len() > LIST_MAX || !self.origins.iter().all(|origin| is_origin(origin)) {
            return fault("origins", "at most 32 of the form https://host");
        }
        if self.expires_s <= self.not_before_s {
            return fault("expires", "not after the start");
        }
        Ok(())
    }
}

/// The paths of a token: each either one object, or, with a slash at its end, all below a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Paths(Vec<String>);

impl Paths {
    /// The paths themselves.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether a canonical path (see [`super::canonical`]) is among them.
    pub fn hold(&self, path: &str) -> bool {
        self.0.iter().any(|own| if own.ends_with('/') { path.starts_with(own.as_str()) } else { path == own })
    }

    /// Whether everything that `other` holds is held here too.
    pub fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|path| self.hold(path))
    }
}

impl TryFrom<Vec<String>> for Paths {
    type Error = ClaimsError;

    fn try_from(paths: Vec<String>) -> Result<Self, ClaimsError> {
        let fault = |why| Err(ClaimsError { claim: "paths", why });
        if paths.is_empty() || paths.len() > LIST_MAX {
            return fault("1 to 32");
        }
        for path in &paths {
            let folder = path.strip_suffix('/').unwrap_or(path);
            if path.len() > PATH_CHARS_MAX || super::canonical(folder).ok() != Some(folder) {
                return fault("each is /live/... or /vod/... in its plain form, with a slash at the end for a folder");
            }
        }
        Ok(Self(paths))
    }
}

impl From<Paths> for Vec<String> {
    fn from(paths: Paths) -> Self {
        paths.0
    }
}

/// A country (ISO 3166-1 alpha-2), upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region([u8; 2]);

impl Region {
    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters")
    }
}

impl FromStr for Region {
    type Err = ClaimsError;

    fn from_str(text: &str) -> Result<Self, ClaimsError> {
        match text.as_bytes() {
            &[a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(ClaimsError { claim: "regions", why: "each is two letters (ISO 3166-1 alpha-2)" }),
        }
    }
}

impl TryFrom<String> for Region {
    type Error = ClaimsError;

    fn try_from(text: String) -> Result<Self, ClaimsError> {
        text.parse()
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.as_str().to_owned()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The address that a token is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Address {
    /// Any.
    #[default]
    Any,
    /// One of these.
    Within(Network),
}

impl Address {
    /// Whether a viewer's address will do. An IPv4 address inside IPv6 is the IPv4 address.
    pub fn admits(&self, viewer: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Within(network) => network.holds(viewer),
        }
    }
}

/// Addresses with the same beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Bits that `prefix` binds to (the issue of mobile networks: neighbours in one pool).
const PREFIX_BITS: (u8, u8) = (24, 64);

impl Network {
    /// The addresses that share `bits` with this one; `None` when it has fewer bits.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let address = address.to_canonical();
        let masked = match address {
            IpAddr::V4(v4) if bits <= 32 => {
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)))
            }
            IpAddr::V6(v6) if bits <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
            _ => return None,
        };
        Some(Self { address: masked, bits })
    }

    /// This address alone.
    pub fn exact(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The /24 (IPv4) or /64 (IPv6) of an address.
    pub fn prefix(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { PREFIX_BITS.0 } else { PREFIX_BITS.1 };
        Self::new(address, bits).expect("an address has as many bits")
    }

    /// Its first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits its addresses share.
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether an address is one of these.
    pub fn holds(&self, address: IpAddr) -> bool {
        Self::new(address, self.bits).is_some_and(|other| other == *self)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        if self.bits == whole { self.address.fmt(f) } else { write!(f, "{}/{}", self.address, self.bits) }
    }
}

impl FromStr for Network {
    type Err = ClaimsError;

    /// `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/64`.
    fn from_str(text: &str) -> Result<Self, ClaimsError> {
        let fault = ClaimsError { claim: "address", why: "an address, or one with its bits: 203.0.113.0/24" };
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address: IpAddr = address.parse().map_err(|_| fault.clone())?;
        match bits {
            None => Ok(Self::exact(address)),
            Some(bits) => bits.parse().ok().and_then(|bits| Self::new(address, bits)).ok_or(fault),
        }
    }
}

/// Which session yields when an account has too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Yields {
    /// The one that began first: whoever comes last watches.
    #[default]
    Oldest,
    /// The one that wants to begin: whoever watches goes on.
    Newest,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn paths(all: &[&str]) -> Result<Paths, ClaimsError> {
        all.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>().try_into()
    }

    #[test]
    fn a_folder_holds_what_is_below_it_and_an_object_itself() {
        let own = paths(&["/live/acme/news/", "/vod/acme/one/master.m3u8"]).unwrap();
        for held in ["/live/acme/news/master.m3u8", "/live/acme/news/t1-00c0ffee/720p/1.m4s", "/vod/acme/one/master.m3u8"] {
            assert!(own.hold(held), "{held}");
        }
        for other in ["/live/acme/news", "/live/acme/newsroom/x", "/vod/acme/one/master.m3u8x", "/vod/acme/one/", "/"] {
            assert!(!own.hold(other), "{other}");
        }
        assert!(paths(&["/live/acme/"]).unwrap().cover(&paths(&["/live/acme/news/"]).unwrap()));
        assert!(!paths(&["/live/acme/news/"]).unwrap().cover(&paths(&["/live/acme/"]).unwrap()));
    }

    #[test]
    fn paths_are_plain() {
        for bad in [&[][..], &["live/"], &["/live/../vod/"], &["/live//"], &["/live/%61/"], &["/"], &["/other/"]] {
            assert!(paths(bad).is_err(), "{bad:?}");
        }
        assert!(paths(&["/live/"]).is_ok() && paths(&["/vod/acme/"]).is_ok());
    }

    #[test]
    fn an_address_is_admitted_by_itself_its_network_or_anything() {
        for (bound, viewer, admitted) in [
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "::ffff:203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("203.0.113.0/24", "203.0.113.8", true),
            ("203.0.113.0/24", "203.0.114.8", false),
            ("2001:db8:1::/64", "2001:db8:1::99", true),
            ("2001:db8:1::/64", "2001:db8:1:1::99", false),
            ("2001:db8:1::/64", "203.0.113.8", false),
            ("0.0.0.0/0", "203.0.113.8", true),
            ("0.0.0.0/0", "2001:db8::1", false),
        ] {
            let bound = Address::Within(bound.parse().unwrap());
            assert_eq!(bound.admits(viewer.parse().unwrap()), admitted, "{bound:?} {viewer}");
        }
        assert!(Address::Any.admits("2001:db8::1".parse().unwrap()));
        assert_eq!(Network::prefix("203.0.113.7".parse().unwrap()).to_string(), "203.0.113.0/24");
        assert_eq!(Network::prefix("2001:db8::7".parse().unwrap()).to_string(), "2001:db8::/64");
        for bad in ["", "203.0.113", "203.0.113.0/33", "::/129", "203.0.113.0/", "x/24"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
