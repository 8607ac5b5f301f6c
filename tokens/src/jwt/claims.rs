//! The claims of a JSON web token: what is read, what is refused, what is passed over.

use std::fmt;

use framemill_schemas::{
    delivery::{Address, Claims, LIST_MAX, Network, Paths, Region, Yields},
    ids::Tenant,
};
use serde::{
    Deserialize, Serialize,
    de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor},
};

use super::members::{Text, each};
use crate::{Refusal, said::Said};

/// Claims of other profiles that ask for something to be enforced. Passed over they would let in whom they keep out:
/// audience (RFC 7519), proof of possession (RFC 7800, RFC 9449), scopes (RFC 8693), URI signing (RFC 9246), and the
/// common access token's (CTA-5007-B) by their names.
const ENFORCED_ELSEWHERE: [&str; 30] = [
    "aud",
    "cnf",
    "scope",
    "htm",
    "htu",
    "cdniv",
    "cdnicrit",
    "cdniip",
    "cdniuc",
    "cdniets",
    "cdnistt",
    "cdnistd",
    "catreplay",
    "catpor",
    "catv",
    "catnip",
    "catu",
    "catm",
    "catalpn",
    "cath",
    "catgeoiso3166",
    "catgeocoord",
    "catgeoalt",
    "cattpk",
    "catifdata",
    "catdpop",
    "catif",
    "catr",
    "cattprint",
    "crit",
];

/// Takes JSON; returns what it says.
pub(super) fn read(json: &[u8]) -> Result<Said, Refusal> {
    let Read { said, unsupported } = serde_json::from_slice(json).map_err(|_| Refusal::Malformed)?;
    unsupported.map_or(Ok(said), |claim| Err(Refusal::Unsupported(claim)))
}

struct Read {
    said: Said,
    unsupported: Option<&'static str>,
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the claims of a token")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Read, A::Error> {
        let mut said = Said::default();
        let mut unsupported = None;
        each(map, |name, map| {
            match name {
                "sub" => said.account = Some(map.next_value()?),
                "sid" => said.session = Some(map.next_value()?),
                "ten" => said.tenant = Some(map.next_value::<Tenant>()?),
                "paths" => said.paths = Some(map.next_value::<Paths>()?),
                "reg" => said.regions = some(map.next_value()?)?,
                "ori" => said.origins = some(map.next_value()?)?,
                "ip" => said.networks = vec![network(&map.next_value::<Text<'de>>()?.0)?],
                "nbf" => said.not_before_s = map.next_value()?,
                "exp" => said.expires_s = Some(map.next_value()?),
                "iat" => said.issued_s = Some(map.next_value()?),
                "max" => said.sessions_max = map.next_value()?,
                "yld" => said.yields = map.next_value::<Yields>()?,
                other => {
                    if let Some(claim) = ENFORCED_ELSEWHERE.iter().find(|claim| **claim == other) {
                        unsupported.get_or_insert(*claim);
                    }
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(())
        })?;
        Ok(Read { said, unsupported })
    }
}

/// A list that is there and empty would admit nobody to one reader and everybody to another.
fn some<T, E: Error>(list: Vec<T>) -> Result<Vec<T>, E> {
    if list.is_empty() || list.len() > LIST_MAX { Err(E::custom("1 to 32")) } else { Ok(list) }
}

fn network<E: Error>(text: &str) -> Result<Network, E> {
    text.parse().map_err(E::custom)
}

/// The claims as they are written, in this order.
#[derive(Serialize)]
struct Written<'a> {
    ten: &'a Tenant,
    sub: &'a str,
    sid: &'a str,
    paths: &'a Paths,
    #[serde(skip_serializing_if = "<[Region]>::is_empty")]
    reg: &'a [Region],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ori: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    nbf: i64,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "is_zero")]
    max: i64,
    yld: Yields,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Takes claims; returns their JSON.
pub(super) fn write(claims: &Claims, issued_s: i64) -> String {
    let written = Written {
        ten: &claims.tenant,
        sub: &claims.account,
        sid: &claims.session,
        paths: &claims.paths,
        reg: &claims.regions,
        ori: &claims.origins,
        ip: match &claims.address {
            Address::Any => None,
            Address::Within(network) => Some(network.to_string()),
        },
        nbf: claims.not_before_s,
        exp: claims.expires_s,
        iat: issued_s,
        max: claims.sessions_max.into(),
        yld: claims.yields,
    };
    serde_json::to_string(&written).expect("strings and numbers are JSON")
}
