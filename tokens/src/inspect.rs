//! What a token seems to say, for people who look for a fault. Nothing here is proved, and nothing may be decided by it.

use ciborium::Value as Cbor;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    Format, base64url, cat, cbor,
    format::{Shape, recognise},
};

/// What a token seems to say. Nobody checked that.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Inspected {
    /// How it seems to be written.
    pub format: Option<Format>,
    /// How long it is.
    pub chars: usize,
    /// The key that it names.
    pub kid: Option<String>,
    /// The algorithm that it names, as it writes it.
    pub algorithm: Option<String>,
    /// Its claims, as far as they can be read.
    pub claims: Value,
}

/// Takes a token, or what should be one; returns what can be read of it.
pub fn inspect(token: &str) -> Inspected {
    let chars = token.len();
    let found = match recognise(token) {
        Ok(Shape::Jwt(text)) => jwt(text),
        Ok(Shape::Compact(text)) => compact(&text),
        Ok(Shape::Cat(bytes)) => cwt(&bytes),
        Err(_) => Inspected::default(),
    };
    Inspected { chars, ..found }
}

fn jwt(token: &str) -> Inspected {
    let mut parts = token.split('.').map(|part| {
        let bytes = base64url::decode(part).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    });
    let header = parts.next().flatten().unwrap_or_default();
    let member = |name: &str| header.get(name).and_then(Value::as_str).map(str::to_owned);
    Inspected {
        format: Some(Format::Jwt),
        kid: member("kid"),
        algorithm: member("alg"),
        claims: parts.next().flatten().unwrap_or_default(),
        ..Inspected::default()
    }
}

fn compact(token: &str) -> Inspected {
    // All but what proves it: what is shown to people may be shown on.
    let fields = token.split('~').filter_map(|field| field.split_once('=')).filter(|(name, _)| *name != "hmac");
    let claims: Map<String, Value> = fields.map(|(name, value)| (name.to_owned(), value.into())).collect();
    let kid = claims.get("data").and_then(Value::as_str).and_then(|data| data.split(':').nth(1)).map(str::to_owned);
    Inspected {
        format: Some(Format::Compact),
        kid,
        algorithm: Some("HS256".to_owned()),
        claims: claims.into(),
        ..Inspected::default()
    }
}

fn cwt(bytes: &[u8]) -> Inspected {
    let Ok(parts) = cat::Parts::read(bytes) else {
        let format = cbor::read(bytes).is_ok().then_some(Format::Cat);
        return Inspected { format, ..Inspected::default() };
    };
    let claims = cbor::read(&parts.payload).ok();
    Inspected {
        format: Some(Format::Cat),
        kid: Some(parts.kid).filter(|kid| !kid.is_empty()),
        algorithm: parts.algorithm.map(|algorithm| crate::jwt::name_of(algorithm).to_owned()),
        claims: claims.map(|claims| claims_of(&claims)).unwrap_or_default(),
        ..Inspected::default()
    }
}

/// Claims by their names.
fn claims_of(value: &Cbor) -> Value {
    let Cbor::Map(entries) = value else { return json(value) };
    let name = |label: &Cbor| {
        let number = label.as_integer().and_then(|label| i64::try_from(label).ok());
        number.and_then(cat::claim_name).map_or_else(|| key(label), str::to_owned)
    };
    entries.iter().map(|(label, value)| (name(label), json(value))).collect::<Map<_, _>>().into()
}

fn key(value: &Cbor) -> String {
    match json(value) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// CBOR as JSON, for people (RFC 8949, clause 6.1): bytes as text where they are some, or else in hexadecimal.
fn json(value: &Cbor) -> Value {
    match value {
        Cbor::Integer(number) => i64::try_from(*number).map_or(Value::Null, Value::from),
        Cbor::Float(number) => Value::from(*number),
        Cbor::Bool(truth) => Value::from(*truth),
        Cbor::Text(text) => Value::from(text.as_str()),
        Cbor::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => text.into(),
            _ => format!("h'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()).into(),
        },
        Cbor::Array(items) => items.iter().map(json).collect::<Vec<_>>().into(),
        Cbor::Map(entries) => entries.iter().map(|(k, v)| (key(k), json(v))).collect::<Map<_, _>>().into(),
        Cbor::Tag(tag, inner) => serde_json::json!({ format!("tag {tag}"): json(inner) }),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_is_shown_as_far_as_it_goes() {
        for (text, format) in [
            ("", None),
            ("x", None),
            ("aGVsbG8", None),
            (&"A".repeat(5000), None),
            ("a.b.c", Some(Format::Jwt)),
            ("exp=1~hmac=00", Some(Format::Compact)),
            // An array of three.
            ("gwECAw", Some(Format::Cat)),
        ] {
            let seen = inspect(text);
            assert_eq!((seen.format, seen.chars, seen.kid), (format, text.len(), None), "{text}");
        }
        // What proves a token is not shown.
        let seen = serde_json::to_string(&inspect("exp=1~id=s~data=v1:k:~hmac=c0ffee")).unwrap();
        assert!(seen.contains("\"exp\":\"1\"") && seen.contains("\"kid\":\"k\"") && !seen.contains("c0ffee"), "{seen}");
    }
}
