//! Compact tokens: fields with an HMAC-SHA256, in the long form of the EdgeAuth 2.0 tokens that delivery networks take:
//!
//! ```text
//! st=1764450000~exp=1764450600~acl=/live/acme/news/*!/vod/acme/x.m4s~ip=203.0.113.7~id=SESSION~data=DATA~hmac=HEX
//! ```
//!
//! `DATA` is what that form has no field for, with a colon between each two, and nothing else:
//! `v1:KID:TENANT:ACCOUNT:ISSUED:MAX:YIELDS:REGIONS:ORIGINS`; lists have `!` between two. Fields come in this order,
//! each once; `st` and `ip` may be missing. What is signed is all before `~hmac=`.

use framemill_schemas::{
    delivery::{Address, Claims, LIST_MAX, Network, Region, Yields},
    ids::Tenant,
};

use crate::{Refusal, said::Said};

/// Bytes of an HMAC-SHA256.
const MAC_BYTES: usize = 32;
/// Begins `data`: its version.
const VERSION: &str = "v1";
/// Between entries of a list.
const AND: char = '!';

/// A token taken apart. Nothing that it says is read but where its fields are.
pub(crate) struct Parts<'a> {
    /// Its key.
    pub(crate) kid: &'a str,
    /// What is signed.
    pub(crate) message: &'a [u8],
    /// What proves it.
    pub(crate) signed: [u8; MAC_BYTES],
    fields: Fields<'a>,
}

struct Fields<'a> {
    st: Option<&'a str>,
    exp: &'a str,
    acl: &'a str,
    ip: Option<&'a str>,
    id: &'a str,
    /// `data` after the key's id.
    data: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes a token apart.
    pub(crate) fn read(token: &'a str) -> Result<Self, Refusal> {
        let (message, mac) = token.rsplit_once("~hmac=").ok_or(Refusal::Malformed)?;
        let signed = bytes_of(mac).ok_or(Refusal::Malformed)?;
        let mut fields = message.split('~');
        let mut field = fields.next();
        // Takes the field if it is the one whose turn it is.
        let mut take = |name: &str| {
            let value = field?.strip_prefix(name)?.strip_prefix('=')?;
            field = fields.next();
            Some(value)
        };
        let st = take("st");
        let exp = take("exp").ok_or(Refusal::Malformed)?;
        let acl = take("acl").ok_or(Refusal::Malformed)?;
        let ip = take("ip");
        let id = take("id").ok_or(Refusal::Malformed)?;
        let data = take("data").ok_or(Refusal::Malformed)?;
        if field.is_some() {
            return Err(Refusal::Malformed);
        }
        let data = data.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix(':')).ok_or(Refusal::Malformed)?;
        let (kid, data) = data.split_once(':').ok_or(Refusal::Malformed)?;
        let fields = Fields { st, exp, acl, ip, id, data };
        Ok(Self { kid, message: message.as_bytes(), signed, fields })
    }

    /// What it says. Asked for once the signature is good.
    pub(crate) fn said(&self) -> Result<Said, Refusal> {
        let Fields { st, exp, acl, ip, id, data } = self.fields;
        let mut data = data.splitn(7, ':');
        let mut next = || data.next().ok_or(Refusal::Malformed);
        let (tenant, account, issued, max, yields, regions, origins) =
            (next()?, next()?, next()?, next()?, next()?, next()?, next()?);
        let paths: Vec<String> =
            acl.split(AND).take(LIST_MAX + 1).map(path_of).collect::<Option<_>>().ok_or(Refusal::Malformed)?;
        Ok(Said {
            tenant: Some(tenant.parse::<Tenant>().map_err(|_| Refusal::Malformed)?),
            account: Some(account.to_owned()),
            session: Some(id.to_owned()),
            paths: Some(paths.try_into().map_err(|_| Refusal::Malformed)?),
            regions: list(regions, |text| text.parse::<Region>().ok().filter(|region| region.as_str() == text))?,
            origins: list(origins, |text| Some(text.to_owned()))?,
            networks: ip.map(network).transpose()?.into_iter().collect(),
            not_before_s: st.map_or(Ok(0), number)?,
            expires_s: Some(number(exp)?),
            issued_s: Some(number(issued)?),
            sessions_max: number(max)?.try_into().map_err(|_| Refusal::Malformed)?,
            yields: match yields {
                "oldest" => Yields::Oldest,
                "newest" => Yields::Newest,
                _ => return Err(Refusal::Malformed),
            },
            ..Said::default()
        })
    }
}

/// A path of `acl`: a folder has `*` after its slash, and there is no other use of it.
fn path_of(text: &str) -> Option<String> {
    match text.strip_suffix('*') {
        Some(folder) => folder.ends_with('/').then(|| folder.to_owned()),
        None => (!text.ends_with('/')).then(|| text.to_owned()),
    }
}

fn network(text: &str) -> Result<Network, Refusal> {
    text.parse().map_err(|_| Refusal::Malformed)
}

/// A number in its one form: digits, no zero in front, no sign.
fn number(text: &str) -> Result<i64, Refusal> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().map_err(|_| Refusal::Malformed) } else { Err(Refusal::Malformed) }
}

fn list<T>(text: &str, entry: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Refusal> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(AND).take(LIST_MAX + 1).map(entry).collect::<Option<_>>().ok_or(Refusal::Malformed)
}

/// Lower-case hexadecimal; capitals would make a second text of the same token.
fn bytes_of(hex: &str) -> Option<[u8; MAC_BYTES]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; MAC_BYTES];
    if hex.len() != 2 * MAC_BYTES {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Takes claims, with no time before 1970; returns what has to be signed.
pub(crate) fn message(kid: &str, claims: &Claims, issued_s: i64) -> String {
    let paths =
        joined(claims.paths.as_slice(), |path| if path.ends_with('/') { format!("{path}*") } else { path.clone() });
    let regions = joined(&claims.regions, |region| region.as_str().to_owned());
    let origins = joined(&claims.origins, String::clone);
    let st = if claims.not_before_s == 0 { String::new() } else { format!("st={}~", claims.not_before_s) };
    let ip = match &claims.address {
        Address::Any => String::new(),
        Address::Within(network) => format!("ip={network}~"),
    };
    let yields = match claims.yields {
        Yields::Oldest => "oldest",
        Yields::Newest => "newest",
    };
    let Claims { tenant, account, session, expires_s, sessions_max, .. } = claims;
    format!(
        "{st}exp={expires_s}~acl={paths}~{ip}id={session}\
         ~data={VERSION}:{kid}:{tenant}:{account}:{issued_s}:{sessions_max}:{yields}:{regions}:{origins}"
    )
}

fn joined<T>(entries: &[T], text: impl Fn(&T) -> String) -> String {
    entries.iter().map(text).collect::<Vec<_>>().join("!")
}

/// Takes what was signed and what proves it; returns the token.
pub(crate) fn token(message: &str, signed: &[u8]) -> String {
    let hex: String = signed.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{message}~hmac={hex}")
}
