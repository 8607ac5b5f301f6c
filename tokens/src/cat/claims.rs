//! The claims of a Common Access Token: what is read, what is refused, what is passed over.

use ciborium::Value;
use framemill_schemas::{
    delivery::{Address, Claims, LIST_MAX, Network, Paths, Region, Yields},
    ids::Tenant,
};

use super::{labels, more, network};
use crate::{Method, Methods, More, Refusal, cbor, said::Said};

/// The version of CTA-5007-B.
const VERSION: i64 = 1;
/// The path among the parts of an address, and how it can match (CTA-5007-B, `catu`).
const PART_PATH: i64 = 3;
const MATCH_EXACT: i64 = 0;
const MATCH_PREFIX: i64 = 1;

/// Takes a payload; returns what it says.
pub(super) fn read(payload: &[u8]) -> Result<Said, Refusal> {
    let Value::Map(entries) = cbor::read(payload)? else { return Err(Refusal::Malformed) };
    let mut said = Said::default();
    let mut place = None;
    for (label, value) in entries {
        let label: i64 = match label {
            Value::Integer(label) => label.try_into().map_err(|_| Refusal::Malformed)?,
            // No claim that has to be enforced has a name instead of a number.
            Value::Text(_) => continue,
            _ => return Err(Refusal::Malformed),
        };
        match label {
            labels::ISS => said.tenant = Some(text(value)?.parse::<Tenant>().map_err(|_| Refusal::Tenant)?),
            labels::SUB => said.account = Some(text(value)?),
            labels::EXP => said.expires_s = Some(integer(&value)?),
            labels::NBF => said.not_before_s = integer(&value)?,
            labels::IAT => said.issued_s = Some(integer(&value)?),
            labels::CTI => said.session = Some(session(value)?),
            labels::CATV if integer(&value)? == VERSION => {}
            labels::CATNIP => said.networks = list(value, |entry| network::read(&entry))?,
            labels::CATU => place = Some(Place::read(&value)?),
            labels::CATM => said.methods = methods(value)?,
            labels::CATGEOISO3166 => said.regions = list(value, region)?,
            labels::CATIF => said.more.instead = more::instead(value)?,
            labels::CATR => said.more.renewing = Some(more::renewing(value)?),
            labels::PATHS => {
                said.paths = Some(Paths::try_from(list(value, text)?).map_err(|_| Refusal::Malformed)?);
            }
            labels::ORIGINS => said.origins = list(value, text)?,
            labels::MAX => said.sessions_max = integer(&value)?.try_into().map_err(|_| Refusal::Malformed)?,
            labels::YIELDS => said.yields = yields(&text(value)?)?,
            other => {
                if let Some(claim) = labels::enforced(other) {
                    return Err(Refusal::Unsupported(claim));
                }
            }
        }
    }
    if let Some(place) = place {
        said.paths = Some(place.narrowed(said.paths)?);
    }
    Ok(said)
}

/// What `catu` says of the path.
struct Place {
    kind: i64,
    path: String,
}

impl Place {
    /// One match of the path is read; whatever else an address or a match can have is not.
    fn read(value: &Value) -> Result<Self, Refusal> {
        let unsupported = Refusal::Unsupported("catu");
        let only = |value: &Value| match value {
            Value::Map(entries) if entries.len() == 1 => {
                let (label, value) = entries[0].clone();
                Ok((integer(&label)?, value))
            }
            Value::Map(_) => Err(unsupported),
            _ => Err(Refusal::Malformed),
        };
        let (PART_PATH, matches) = only(value)? else { return Err(unsupported) };
        match only(&matches)? {
            (kind @ (MATCH_EXACT | MATCH_PREFIX), path) => Ok(Self { kind, path: text(path)? }),
            _ => Err(unsupported),
        }
    }

    /// The paths: our own, which must lie inside, or this one, which must then be a path as ours are.
    fn narrowed(self, own: Option<Paths>) -> Result<Paths, Refusal> {
        if let Some(own) = own {
            let holds = |path: &String| match self.kind {
                MATCH_EXACT => *path == self.path,
                _ => path.starts_with(&self.path),
            };
            return if own.as_slice().iter().all(holds) { Ok(own) } else { Err(Refusal::Malformed) };
        }
        if (self.kind == MATCH_PREFIX) != self.path.ends_with('/') {
            return Err(Refusal::Unsupported("catu"));
        }
        Paths::try_from(vec![self.path]).map_err(|_| Refusal::Unsupported("catu"))
    }

    /// The narrowest of these that holds all paths. Whoever reads `catu` alone then lets in somewhat more and never all.
    fn around(paths: &Paths) -> Self {
        let (first, others) = paths.as_slice().split_first().expect("there is a path");
        if others.is_empty() {
            let kind = if first.ends_with('/') { MATCH_PREFIX } else { MATCH_EXACT };
            return Self { kind, path: first.clone() };
        }
        let shared = others.iter().fold(first.len(), |shared, other| {
            first.bytes().zip(other.bytes()).take(shared).take_while(|(one, other)| one == other).count()
        });
        let folder = first[..shared].rfind('/').map_or(0, |slash| slash + 1);
        Self { kind: MATCH_PREFIX, path: first[..folder].to_owned() }
    }

    fn write(self) -> Value {
        let matches = Value::Map(vec![(self.kind.into(), self.path.into())]);
        Value::Map(vec![(PART_PATH.into(), matches)])
    }
}

fn text(value: Value) -> Result<String, Refusal> {
    value.into_text().map_err(|_| Refusal::Malformed)
}

/// Times too: a fraction of a second is refused, nobody needs one.
fn integer(value: &Value) -> Result<i64, Refusal> {
    value.as_integer().and_then(|number| number.try_into().ok()).ok_or(Refusal::Malformed)
}

/// Our own issuers write text there. Others write the bytes of a UUID or the like, which are told in hexadecimal.
fn session(value: Value) -> Result<String, Refusal> {
    let bytes = value.into_bytes().map_err(|_| Refusal::Malformed)?;
    let is_word = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_word {
        return String::from_utf8(bytes).map_err(|_| Refusal::Malformed);
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A list that is there and empty would admit nobody to one reader and everybody to another.
fn list<T>(value: Value, entry: impl Fn(Value) -> Result<T, Refusal>) -> Result<Vec<T>, Refusal> {
    match value {
        Value::Array(items) if (1..=LIST_MAX).contains(&items.len()) => items.into_iter().map(entry).collect(),
        _ => Err(Refusal::Malformed),
    }
}

/// Methods that nobody may use here are no loss.
fn methods(value: Value) -> Result<Methods, Refusal> {
    let names = list(value, text)?;
    Ok(names.iter().fold(Methods::NONE, |methods, name| match name.as_str() {
        "GET" => methods.with(Method::Get),
        "HEAD" => methods.with(Method::Head),
        "OPTIONS" => methods.with(Method::Options),
        _ => methods,
    }))
}

/// A part of a country (`DE-BY`) is a place that nobody here can tell.
fn region(value: Value) -> Result<Region, Refusal> {
    text(value)?.parse().map_err(|_| Refusal::Unsupported("catgeoiso3166"))
}

fn yields(name: &str) -> Result<Yields, Refusal> {
    match name {
        "oldest" => Ok(Yields::Oldest),
        "newest" => Ok(Yields::Newest),
        _ => Err(Refusal::Malformed),
    }
}

/// Takes claims; returns the payload, its labels in the one order (RFC 8949, clause 4.2.1).
pub(super) fn write(claims: &Claims, more: &More, issued_s: i64) -> Value {
    let texts = |all: &[String]| Value::Array(all.iter().map(|text| text.as_str().into()).collect());
    let is_alone = claims.paths.as_slice().len() == 1;
    let networks = |network: &Network| Value::Array(vec![network::write(network)]);
    let regions = || Value::Array(claims.regions.iter().map(|region| region.as_str().into()).collect());
    let yields = match claims.yields {
        Yields::Oldest => "oldest",
        Yields::Newest => "newest",
    };
    let entries = [
        (labels::ISS, Some(claims.tenant.as_str().into())),
        (labels::SUB, Some(claims.account.as_str().into())),
        (labels::EXP, Some(claims.expires_s.into())),
        (labels::NBF, (claims.not_before_s != 0).then(|| claims.not_before_s.into())),
        (labels::IAT, Some(issued_s.into())),
        (labels::CTI, Some(Value::Bytes(claims.session.as_bytes().to_vec()))),
        (labels::CATV, Some(VERSION.into())),
        (
            labels::CATNIP,
            match &claims.address {
                Address::Any => None,
                Address::Within(network) => Some(networks(network)),
            },
        ),
        (labels::CATU, Some(Place::around(&claims.paths).write())),
        (labels::CATGEOISO3166, (!claims.regions.is_empty()).then(regions)),
        (labels::CATIF, more::write_instead(&more.instead)),
        (labels::CATR, more.renewing.as_ref().map(more::write_renewing)),
        (labels::PATHS, (!is_alone).then(|| texts(claims.paths.as_slice()))),
        (labels::ORIGINS, (!claims.origins.is_empty()).then(|| texts(&claims.origins))),
        (labels::MAX, (claims.sessions_max != 0).then(|| claims.sessions_max.into())),
        (labels::YIELDS, Some(yields.into())),
    ];
    Value::Map(entries.into_iter().filter_map(|(label, value)| Some((label.into(), value?))).collect())
}
