//! `catif` and `catr` in CBOR. Whatever of them is not built makes the token one that cannot be enforced: no header and no
//! cookie has a name that only a token knows.

use ciborium::Value;

use super::labels;
use crate::{
    LIFETIME_S_MAX, Refusal,
    more::{Instead, Renewing, RenewingWay},
};

/// Most claims that a token says an answer for.
const CLAIMS_MAX: usize = 16;
/// Longest value of a header.
const VALUE_CHARS_MAX: usize = 1024;
/// Shortest time that a renewed token is valid, seconds: shorter ones would be renewed all the time.
const ADD_S_MIN: i64 = 30;
/// Statuses of answers that lead elsewhere, and of those that do not.
const REDIRECTS: [u16; 4] = [302, 303, 307, 308];
const REFUSALS: [u16; 6] = [400, 401, 403, 404, 410, 451];
/// Headers of an answer.
const HEADERS: [&str; 3] = ["location", "cache-control", "www-authenticate"];
const LOCATION: &str = "location";
/// Parts of `catr`.
const TYPE: i64 = 0;
const EXPADD: i64 = 1;
const DEADLINE: i64 = 2;
const COOKIE_NAME: i64 = 3;
const HEADER_NAME: i64 = 4;
const STATUS: i64 = 7;
/// The names that a token may give the cookie, and the header.
const COOKIES: [&str; 2] = ["framemill-token", "CTA-Common-Access-Token"];
const HEADER: &str = "CTA-Common-Access-Token";
/// The redirect that keeps the method.
const TEMPORARY: u16 = 307;

const CATIF: Refusal = Refusal::Unsupported("catif");
const CATR: Refusal = Refusal::Unsupported("catr");

/// Labels of the claims that a refusal is about; none: of no claim, or before any is read.
pub(crate) const fn labels_of(refusal: Refusal) -> &'static [i64] {
    match refusal {
        Refusal::Expired => &[labels::EXP],
        Refusal::NotYet => &[labels::NBF, labels::IAT],
        Refusal::Tenant => &[labels::ISS],
        Refusal::Path => &[labels::CATU, labels::PATHS],
        Refusal::Method => &[labels::CATM],
        Refusal::Address => &[labels::CATNIP],
        Refusal::Region => &[labels::CATGEOISO3166],
        Refusal::Origin => &[labels::ORIGINS],
        _ => &[],
    }
}

fn integer(value: &Value) -> Result<i64, Refusal> {
    value.as_integer().and_then(|number| number.try_into().ok()).ok_or(Refusal::Malformed)
}

/// Reads `catif`: by the label of a claim an array of a status, headers and a key's id.
pub(super) fn instead(value: Value) -> Result<Vec<(i64, Instead)>, Refusal> {
    let Value::Map(entries) = value else { return Err(Refusal::Malformed) };
    if entries.is_empty() || entries.len() > CLAIMS_MAX {
        return Err(Refusal::Malformed);
    }
    entries.into_iter().map(|(label, value)| Ok((integer(&label)?, answer(value)?))).collect()
}

fn answer(value: Value) -> Result<Instead, Refusal> {
    let Value::Array(items) = value else { return Err(Refusal::Malformed) };
    let mut items = items.into_iter();
    let status = items.next().ok_or(Refusal::Malformed)?;
    let status = u16::try_from(integer(&status)?).map_err(|_| Refusal::Malformed)?;
    let headers = match items.next() {
        None => Vec::new(),
        Some(Value::Map(entries)) => entries.into_iter().map(header).collect::<Result<Vec<_>, _>>()?,
        Some(_) => return Err(Refusal::Malformed),
    };
    // A key's id is of the one that signs a token for the address it leads to: nobody here can.
    if items.next().is_some() {
        return Err(CATIF);
    }
    let times = |name: &str| headers.iter().filter(|(other, _)| *other == name).count();
    if HEADERS.iter().any(|name| times(name) > 1) {
        return Err(Refusal::Malformed);
    }
    match (REDIRECTS.contains(&status), REFUSALS.contains(&status), times(LOCATION)) {
        (true, _, 1) | (_, true, 0) => Ok(Instead { status, headers }),
        _ => Err(CATIF),
    }
}

fn header((name, value): (Value, Value)) -> Result<(&'static str, String), Refusal> {
    let name = name.into_text().map_err(|_| Refusal::Malformed)?;
    let name = HEADERS.into_iter().find(|own| own.eq_ignore_ascii_case(&name)).ok_or(CATIF)?;
    let value = match value {
        Value::Text(value) => value,
        // The beginning of an address and claims of a token to be signed.
        Value::Array(_) => return Err(CATIF),
        _ => return Err(Refusal::Malformed),
    };
    let is_plain = !value.is_empty()
        && value.len() <= VALUE_CHARS_MAX
        && value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    let leads = |value: &str| {
        let scheme = ["https://", "http://"].into_iter().find(|scheme| value.starts_with(scheme));
        scheme.is_some_and(|scheme| value.len() > scheme.len()) && !value.contains([' ', '\\', '"', '<', '>'])
    };
    match is_plain && (name != LOCATION || leads(&value)) {
        true => Ok((name, value)),
        false => Err(Refusal::Malformed),
    }
}

/// Reads `catr`: what kind of renewal, and for how long.
pub(super) fn renewing(value: Value) -> Result<Renewing, Refusal> {
    let Value::Map(entries) = value else { return Err(Refusal::Malformed) };
    let (mut way, mut add_s, mut deadline_s, mut status) = (None, None, None, None);
    let (mut cookie, mut header) = (None, false);
    for (label, value) in entries {
        match integer(&label)? {
            TYPE => {
                way = Some(match integer(&value)? {
                    0 => RenewingWay::Automatic,
                    1 => RenewingWay::Cookie,
                    2 => RenewingWay::Header,
                    3 => RenewingWay::Redirect,
                    _ => return Err(CATR),
                });
            }
            EXPADD => add_s = Some(integer(&value)?),
            DEADLINE => deadline_s = Some(integer(&value)?),
            COOKIE_NAME => {
                let name = value.into_text().map_err(|_| Refusal::Malformed)?;
                cookie = Some(COOKIES.into_iter().find(|own| own.eq_ignore_ascii_case(&name)).ok_or(CATR)?);
            }
            HEADER_NAME => {
                let name = value.into_text().map_err(|_| Refusal::Malformed)?;
                header = name.eq_ignore_ascii_case(HEADER).then_some(true).ok_or(CATR)?;
            }
            STATUS => status = Some(u16::try_from(integer(&value)?).map_err(|_| Refusal::Malformed)?),
            // Parameters of cookies and headers, and what later versions have.
            _ => return Err(CATR),
        }
    }
    let (way, add_s) = (way.ok_or(Refusal::Malformed)?, add_s.ok_or(Refusal::Malformed)?);
    let is_life = |seconds: i64| (1..=LIFETIME_S_MAX).contains(&seconds);
    if !is_life(add_s) || !deadline_s.is_none_or(is_life) {
        return Err(Refusal::Malformed);
    }
    let fits = |own| way == own || way == RenewingWay::Automatic;
    let is_odd = cookie.is_some() && !fits(RenewingWay::Cookie)
        || header && !fits(RenewingWay::Header)
        || status.is_some() && !fits(RenewingWay::Redirect);
    // A redirect for good would be kept for longer than what it leads to is good for.
    if is_odd || add_s < ADD_S_MIN || !matches!(status, None | Some(302 | 303 | TEMPORARY)) {
        return Err(CATR);
    }
    Ok(Renewing { way, add_s, deadline_s, cookie, status: status.unwrap_or(TEMPORARY) })
}

/// Takes what is answered instead; returns its claim, if there is any.
pub(super) fn write_instead(all: &[(i64, Instead)]) -> Option<Value> {
    let entry = |(label, instead): &(i64, Instead)| {
        let headers = instead.headers.iter().map(|(name, value)| ((*name).into(), value.as_str().into())).collect();
        ((*label).into(), Value::Array(vec![instead.status.into(), Value::Map(headers)]))
    };
    (!all.is_empty()).then(|| Value::Map(all.iter().map(entry).collect()))
}

/// Takes how a token is renewed; returns its claim.
pub(super) fn write_renewing(renewing: &Renewing) -> Value {
    let way = match renewing.way {
        RenewingWay::Automatic => 0,
        RenewingWay::Cookie => 1,
        RenewingWay::Header => 2,
        RenewingWay::Redirect => 3,
    };
    let status = (renewing.status != TEMPORARY).then(|| renewing.status.into());
    let parts = [
        (TYPE, Some(way.into())),
        (EXPADD, Some(renewing.add_s.into())),
        (DEADLINE, renewing.deadline_s.map(Value::from)),
        (COOKIE_NAME, renewing.cookie.map(Value::from)),
        (STATUS, status),
    ];
    Value::Map(parts.into_iter().filter_map(|(label, value)| Some((label.into(), value?))).collect())
}
