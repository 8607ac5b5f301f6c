//! What the tests of sessions have in common.

use framemill_schemas::delivery::{Address, Claims, Yields};

/// The claims of a token of one account that may watch once.
pub fn claims(session: &str, yields: Yields) -> Claims {
    Claims {
        tenant: "acme".parse().unwrap(),
        account: "ada".to_owned(),
        session: session.to_owned(),
        paths: vec!["/live/acme/".to_owned()].try_into().unwrap(),
        regions: Vec::new(),
        origins: Vec::new(),
        address: Address::Any,
        not_before_s: 0,
        expires_s: 1,
        sessions_max: 1,
        yields,
    }
}
