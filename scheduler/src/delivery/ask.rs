//! What a request for a token says, read and bounded. Pure.

use std::net::IpAddr;

use framemill_schemas::{
    delivery::{
        Address, AddressBinding, LIFETIME_S_MIN, Network, Paths, Region, TokenFormat, TokenRequest, Yields, is_account,
    },
    field_error::FieldError,
    ids::Tenant,
};
use framemill_tokens::Format;

use uuid::Uuid;

use super::{TokenSettings, session};

/// A request whose fields are good. Whether it is granted is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The viewer's account.
    pub account: String,
    /// What is to be watched.
    pub paths: Paths,
    /// The viewer's address.
    pub address: Option<IpAddr>,
    /// Where the viewer is.
    pub region: Option<Region>,
    /// Pages that may use it.
    pub origins: Vec<String>,
    /// Seconds it is valid.
    pub ttl_s: u32,
    /// How it is written.
    pub format: Format,
    /// Most sessions at once, where the request says.
    pub sessions_max: Option<u32>,
    /// Which session yields, where the request says.
    pub yields: Option<Yields>,
    /// The session.
    pub session: String,
}

/// Takes a request for a viewer of `tenant`; returns what it asks for.
///
/// # Errors
/// Every fault, with its place.
pub fn read(request: TokenRequest, tenant: &Tenant, settings: TokenSettings) -> Result<Ask, Vec<FieldError>> {
    let mut faults = Vec::new();
    let mut fault = |at: &str, detail: String, mend: &str| faults.push(FieldError::new(at, detail, mend));
    if !is_account(&request.account) {
        let mend = "use 1 to 128 letters, digits, '-', '_', '.' and '@'; a digest, where yours have others";
        fault("/account", "this is no name of an account".to_owned(), mend);
    }
    let mut paths = request.paths;
    paths.extend(request.channels.iter().map(|channel| format!("/live/{tenant}/{channel}/")));
    paths.extend(request.assets.iter().map(|asset| format!("/vod/{tenant}/{asset}/")));
    let paths = Paths::try_from(paths)
        .map_err(|error| {
            fault("/paths", error.to_string(), "name what is to be watched: `paths`, `channels` or `assets`")
        })
        .ok();
    let region = match request.region.as_deref().map(str::parse::<Region>) {
        None => None,
        Some(Ok(region)) => Some(region),
        Some(Err(error)) => {
            fault("/region", error.why.to_owned(), "write two letters, for example NO");
            None
        }
    };
    let (ttl_s, longest) = (request.ttl_s.unwrap_or(settings.lifetime_s), settings.lifetime_s_max);
    if !(LIFETIME_S_MIN..=longest).contains(&ttl_s) {
        let mend = format!("use {LIFETIME_S_MIN} to {longest} seconds, and renew");
        fault("/ttl_s", "a token is not valid for so long, or so short".to_owned(), &mend);
    }
    let name = request.session.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let session = session::named(&name, region);
    if session.is_none() {
        let mend = "use letters, digits, '-' and '_', at most 61; one that ends in `_NO` goes with that region";
        fault("/session", "this is no name of a session".to_owned(), mend);
    }
    let (Some(paths), Some(session), true) = (paths, session, faults.is_empty()) else { return Err(faults) };
    Ok(Ask {
        account: request.account,
        paths,
        address: request.address,
        region,
        origins: request.origins,
        ttl_s,
        format: format_of(request.format),
        sessions_max: request.sessions_max,
        yields: request.yields,
        session,
    })
}

/// A format as the crate of tokens has it.
pub const fn format_of(format: TokenFormat) -> Format {
    match format {
        TokenFormat::Jwt => Format::Jwt,
        TokenFormat::Compact => Format::Compact,
        TokenFormat::Cat => Format::Cat,
    }
}

/// Takes what a tenant's tokens are bound to, and a viewer's address; returns what this one is bound to, or nothing where
/// the address is missing.
pub fn bound(binding: AddressBinding, viewer: Option<IpAddr>) -> Option<Address> {
    match (binding, viewer) {
        (AddressBinding::Off, _) => Some(Address::Any),
        (AddressBinding::Exact, Some(viewer)) => Some(Address::Within(Network::exact(viewer))),
        (AddressBinding::Prefix, Some(viewer)) => Some(Address::Within(Network::prefix(viewer))),
        (AddressBinding::Exact | AddressBinding::Prefix, None) => None,
    }
}

/// The smaller of what a request asks and what is allowed; 0 is no limit.
pub fn sessions(asked: Option<u32>, allowed: u32) -> u32 {
    match (asked.unwrap_or(0), allowed) {
        (0, limit) | (limit, 0) => limit,
        (one, other) => one.min(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_of_a_request_is_named() {
        let settings = TokenSettings::default();
        let tenant: Tenant = "acme".parse().unwrap();
        for (request, expected) in [
            (json!({ "account": "u1", "channels": ["news"] }), vec![]),
            (json!({ "account": "u1", "paths": ["/live/other/"], "region": "no", "ttl_s": 600 }), vec![]),
            (json!({}), vec!["/account", "/paths"]),
            (json!({ "account": "u1", "paths": ["/live/../x"] }), vec!["/paths"]),
            (json!({ "account": "u1", "channels": ["news"], "ttl_s": 29 }), vec!["/ttl_s"]),
            (json!({ "account": "u1", "channels": ["news"], "ttl_s": 601 }), vec!["/ttl_s"]),
            (json!({ "account": "u1", "channels": ["news"], "region": "NOR" }), vec!["/region"]),
            (json!({ "account": "u1", "channels": ["news"], "session": "a_SE", "region": "NO" }), vec!["/session"]),
        ] {
            let read = read(serde_json::from_value(request.clone()).unwrap(), &tenant, settings);
            let found: Vec<_> = read.err().unwrap_or_default().into_iter().map(|fault| fault.pointer).collect();
            assert_eq!(found, expected, "{request}");
        }
        let asset = "0198c0de-0000-7000-8000-000000000000";
        let request = json!({ "account": "u1", "channels": ["news"], "assets": [asset] });
        let ask = read(serde_json::from_value(request).unwrap(), &tenant, settings).unwrap();
        assert_eq!(ask.paths.as_slice(), ["/live/acme/news/".to_owned(), format!("/vod/acme/{asset}/")]);
        assert_eq!((ask.ttl_s, ask.session.len()), (300, 32));
    }

    #[test]
    fn a_token_is_bound_as_its_tenant_says() {
        let viewer = Some("203.0.113.7".parse().unwrap());
        for (binding, viewer, expected) in [
            (AddressBinding::Exact, viewer, Some("203.0.113.7")),
            (AddressBinding::Prefix, viewer, Some("203.0.113.0/24")),
            (AddressBinding::Prefix, Some("2001:db8::7".parse().unwrap()), Some("2001:db8::/64")),
            (AddressBinding::Exact, Some("::ffff:203.0.113.7".parse().unwrap()), Some("203.0.113.7")),
            (AddressBinding::Exact, None, None),
            (AddressBinding::Prefix, None, None),
        ] {
            let expected = expected.map(|text| Address::Within(text.parse().unwrap()));
            assert_eq!(bound(binding, viewer), expected, "{binding:?} {viewer:?}");
        }
        assert_eq!(bound(AddressBinding::Off, viewer), Some(Address::Any));
        assert_eq!(bound(AddressBinding::Off, None), Some(Address::Any));
    }

    #[test]
    fn nobody_asks_for_more_sessions_than_are_allowed() {
        for (asked, allowed, expected) in
            [(None, 0, 0), (None, 3, 3), (Some(2), 3, 2), (Some(5), 3, 3), (Some(0), 3, 3), (Some(5), 0, 5)]
        {
            assert_eq!(sessions(asked, allowed), expected, "{asked:?} {allowed}");
        }
    }
}
