//! Claims of Common Access Tokens: each that is read, in every wrong form, and each that is refused.

use ciborium::{Value, cbor};
use framemill_tokens::{Asked, Method, Refusal, admit, inspect};

use crate::{
    KID,
    forge::{self, cbor_bytes, tagged},
    secret,
    world::{NOW_S, World, asked},
};

/// The payload of a good Common Access Token, with claims changed or added.
pub fn payload(changes: &[(i64, Option<Value>)]) -> Value {
    let mut claims: Vec<(i64, Value)> = vec![
        (2, "a".into()),
        (4, (NOW_S + 60).into()),
        (6, NOW_S.into()),
        (7, Value::Bytes(b"s".to_vec())),
        (312, cbor!({3 => {1 => "/live/acme/"}}).unwrap()),
    ];
    for (label, value) in changes {
        claims.retain(|(other, _)| other != label);
        claims.extend(value.clone().map(|value| (*label, value)));
    }
    Value::Map(claims.into_iter().map(|(label, value)| (label.into(), value)).collect())
}

#[test]
fn claims_of_common_access_tokens() {
    let world = World::new();
    let v4 = |inner: Value| Some(Value::Array(vec![tagged(52, inner)]));
    let v6 = |inner: Value| Some(Value::Array(vec![tagged(54, inner)]));
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let malformed = Err(Refusal::Malformed);
    let unsupported = |claim| Err(Refusal::Unsupported(claim));
    let texts = |all: &[&str]| Some(Value::Array(all.iter().map(|text| (*text).into()).collect()));
    let mut rows = vec![
        (310, Some(1.into()), Ok(())),
        (310, Some(2.into()), unsupported("catv")),
        (310, Some("1".into()), malformed),
        (1, Some("acme".into()), Ok(())),
        (1, Some("other".into()), Err(Refusal::Tenant)),
        (1, Some("https://issuer.example".into()), Err(Refusal::Tenant)),
        (2, None, malformed),
        (2, Some(5.into()), malformed),
        (3, Some("cdn".into()), unsupported("aud")),
        (4, None, malformed),
        (4, Some(1.5.into()), malformed),
        (4, Some(NOW_S.into()), Err(Refusal::Expired)),
        (4, Some(u64::MAX.into()), malformed),
        (4, Some(tagged(1, (NOW_S + 60).into())), malformed),
        (5, Some((NOW_S + 31).into()), Err(Refusal::NotYet)),
        (6, None, Err(Refusal::TooLong)),
        (7, None, malformed),
        (7, Some("s".into()), malformed),
        (7, Some(bytes(&[])), malformed),
        (7, Some(bytes(&[0xff])), Ok(())),
        (7, Some(bytes(&[0xff; 32])), Ok(())),
        (7, Some(bytes(&[0xff; 33])), malformed),
        (7, Some(bytes(&[b's'; 65])), malformed),
        (8, Some(cbor!({1 => 2}).unwrap()), unsupported("cnf")),
        (300, Some(1.into()), unsupported("watermark")),
        (308, Some(0.into()), unsupported("catreplay")),
        (309, Some(0.into()), unsupported("catpor")),
        (314, texts(&["h2"]), unsupported("catalpn")),
        (315, Some(cbor!({"origin" => {0 => "x"}}).unwrap()), unsupported("cath")),
        (317, Some(0.into()), unsupported("catgeocoord")),
        (318, Some(0.into()), unsupported("catgeoalt")),
        (319, Some(0.into()), unsupported("cattpk")),
        (320, Some(0.into()), unsupported("catifdata")),
        (321, Some(0.into()), unsupported("catdpop")),
        (324, Some(0.into()), unsupported("cattprint")),
        (278, Some(cbor!({0 => 2}).unwrap()), unsupported("label")),
        (325, Some(0.into()), unsupported("label")),
        (10, Some(0.into()), Ok(())),
        (65_536, Some(0.into()), Ok(())),
        (-70000, Some(0.into()), Ok(())),
        // Addresses.
        (311, v4(bytes(&[203, 0, 113, 7])), Ok(())),
        (311, v4(cbor!([24]).unwrap()), unsupported("catnip")),
        (311, v4(Value::Array(vec![24.into(), bytes(&[203, 0, 113])])), Ok(())),
        (311, v4(Value::Map(vec![(24.into(), bytes(&[203, 0, 113]))])), Ok(())),
        (311, v4(Value::Array(vec![24.into(), bytes(&[203, 0, 113, 1])])), malformed),
        (311, v4(Value::Array(vec![33.into(), bytes(&[203])])), malformed),
        (311, v4(Value::Array(vec![(-1).into(), bytes(&[203])])), malformed),
        (311, v4(Value::Array(vec![24.into(), bytes(&[203, 0, 113, 0, 0])])), malformed),
        (311, v4(Value::Array(vec![bytes(&[203, 0, 113, 7]), 24.into()])), unsupported("catnip")),
        (311, v4(bytes(&[203, 0, 113])), malformed),
        (311, v6(bytes(&[0; 16])), Ok(())),
        (311, v6(Value::Array(vec![64.into(), bytes(&[0x20, 1, 0xd, 0xb8])])), Ok(())),
        (311, v6(Value::Array(vec![129.into(), bytes(&[])])), malformed),
        (311, v6(bytes(&[0; 4])), malformed),
        (311, Some(Value::Array(vec![64512.into()])), unsupported("catnip")),
        (311, Some(Value::Array(vec![])), malformed),
        (311, Some(tagged(52, bytes(&[203, 0, 113, 7]))), malformed),
        // Addresses of objects.
        (312, None, malformed),
        (312, Some(cbor!({3 => {0 => "/live/acme/x.m3u8"}}).unwrap()), Ok(())),
        (312, Some(cbor!({3 => {1 => "/live/acme"}}).unwrap()), unsupported("catu")),
        (312, Some(cbor!({3 => {0 => "/live/acme/"}}).unwrap()), unsupported("catu")),
        (312, Some(cbor!({3 => {1 => "/"}}).unwrap()), unsupported("catu")),
        (312, Some(cbor!({3 => {1 => "/live/"}}).unwrap()), Err(Refusal::Scope)),
        (312, Some(cbor!({3 => {1 => "/live/acme/../"}}).unwrap()), unsupported("catu")),
        (312, Some(cbor!({3 => {2 => ".m4s"}}).unwrap()), unsupported("catu")),
        (312, Some(cbor!({3 => {4 => [".*"]}}).unwrap()), unsupported("catu")),
        (312, Some(cbor!({3 => {1 => "/live/acme/", 2 => ".m4s"}}).unwrap()), unsupported("catu")),
        (312, Some(cbor!({1 => {0 => "cdn.example"}}).unwrap()), unsupported("catu")),
        (312, Some(cbor!({1 => {0 => "a"}, 3 => {1 => "/live/acme/"}}).unwrap()), unsupported("catu")),
        (312, Some(cbor!({}).unwrap()), unsupported("catu")),
        (312, Some(cbor!({3 => {}}).unwrap()), unsupported("catu")),
        (312, Some(cbor!({3 => "/live/acme/"}).unwrap()), malformed),
        (312, Some("/live/acme/".into()), malformed),
        (-65537, texts(&["/live/acme/a/", "/live/acme/b.m3u8"]), Ok(())),
        (-65537, texts(&["/live/acme/a/", "/vod/acme/"]), malformed),
        (-65537, texts(&[]), malformed),
        (-65538, texts(&["https://tv.example"]), Ok(())),
        (-65538, texts(&["*"]), malformed),
        (-65539, Some((-1).into()), malformed),
        (-65540, Some("nobody".into()), malformed),
        // Methods and regions.
        (313, texts(&["GET", "PUT"]), Ok(())),
        (313, texts(&["get"]), Ok(())),
        (313, Some(Value::Array(vec![])), malformed),
        (313, Some("GET".into()), malformed),
        (316, texts(&["DE", "at"]), Ok(())),
        (316, texts(&["DE-BY"]), unsupported("catgeoiso3166")),
        (316, Some(Value::Array(vec![])), malformed),
    ];
    for (label, value, expected) in rows.drain(..) {
        let shown = format!("{label} {value:?}");
        let token = forge::cat(secret(&world), KID, &cbor_bytes(&payload(&[(label, value)])));
        assert_eq!(world.verify(&token).map(|_| ()), expected, "{shown}");
        inspect(&token);
    }
}

#[test]
fn what_a_common_access_token_narrows() {
    let world = World::new();
    let verified = |changes: &[(i64, Option<Value>)]| {
        world.verify(&forge::cat(secret(&world), KID, &cbor_bytes(&payload(changes)))).unwrap()
    };
    let get = Asked { path: "/live/acme/x", region: None, origin: None, ..asked() };
    let head = Asked { method: Method::Head, ..get };
    let only_get = verified(&[(313, Some(cbor!(["GET"]).unwrap()))]);
    assert_eq!((admit(&only_get, &get), admit(&only_get, &head)), (Ok(()), Err(Refusal::Method)));
    let nothing = verified(&[(313, Some(cbor!(["PURGE"]).unwrap()))]);
    assert_eq!(admit(&nothing, &get), Err(Refusal::Method));
    // An id of bytes is a session by its digits.
    let by_bytes = verified(&[(7, Some(Value::Bytes(vec![0x0b, 0x71])))]);
    assert_eq!(by_bytes.claims.session, "0b71");
    let networks = Value::Array(vec![
        tagged(52, Value::Array(vec![16.into(), Value::Bytes(vec![198, 51])])),
        tagged(54, Value::Map(vec![(32.into(), Value::Bytes(vec![0x20, 1, 0xd, 0xb8]))])),
    ]);
    let two = verified(&[(311, Some(networks))]);
    for (address, expected) in [
        ("198.51.100.1", Ok(())),
        ("2001:db8:99::1", Ok(())),
        ("203.0.113.9", Err(Refusal::Address)),
        ("2001:db9::1", Err(Refusal::Address)),
    ] {
        assert_eq!(admit(&two, &Asked { address: address.parse().unwrap(), ..get }), expected, "{address}");
    }
}
