//! Envelopes of Common Access Tokens that no honest issuer makes.

use ciborium::{Value, cbor};
use framemill_tokens::{Refusal, TOKEN_CHARS_MAX};

use crate::{
    KID,
    cat_claims::payload,
    forge::{self, b64, cbor_bytes, tagged},
    secret,
    world::World,
};

#[test]
fn envelopes_of_common_access_tokens() {
    let world = World::new();
    let key = secret(&world);
    let kid = |kid: &str| Value::Bytes(kid.as_bytes().to_vec());
    let good = cbor_bytes(&payload(&[]));
    let header = |entries: Vec<(i64, Value)>| {
        cbor_bytes(&Value::Map(entries.into_iter().map(|(label, value)| (label.into(), value)).collect()))
    };
    let hs256 = || header(vec![(1, 5.into()), (4, kid(KID))]);
    let none = || Value::Map(vec![]);
    let outside = |entries: Vec<(i64, Value)>| {
        Value::Map(entries.into_iter().map(|(label, value)| (label.into(), value)).collect())
    };
    let mac0 = |protected: Vec<u8>, unprotected: Value| forge::mac0(key, &protected, unprotected, &good);
    let part = |index: usize, value: Value| {
        let Value::Array(mut items) = mac0(hs256(), none()) else { unreachable!("an array") };
        items[index] = value;
        Value::Array(items)
    };
    let malformed = Err(Refusal::Malformed);
    for (what, value, expected) in [
        ("no tags", mac0(hs256(), none()), Ok(())),
        ("COSE's tag", tagged(17, mac0(hs256(), none())), Ok(())),
        ("both tags", tagged(61, tagged(17, mac0(hs256(), none()))), Ok(())),
        ("the kid outside", mac0(header(vec![(1, 5.into())]), outside(vec![(4, kid(KID))])), Ok(())),
        ("the kid in both", mac0(hs256(), outside(vec![(4, kid(KID))])), Ok(())),
        ("two kids", mac0(hs256(), outside(vec![(4, kid("x"))])), malformed),
        ("no kid", mac0(header(vec![(1, 5.into())]), none()), Err(Refusal::UnknownKey)),
        (
            "a kid that is none",
            mac0(header(vec![(1, 5.into()), (4, Value::Bytes(vec![0xff]))]), none()),
            Err(Refusal::UnknownKey),
        ),
        ("a kid as text", mac0(header(vec![(1, 5.into()), (4, KID.into())]), none()), malformed),
        ("the algorithm outside", mac0(header(vec![(4, kid(KID))]), outside(vec![(1, 5.into())])), malformed),
        ("more outside", mac0(hs256(), outside(vec![(4, kid(KID)), (99, 0.into())])), malformed),
        ("more outside, and no kid", mac0(hs256(), outside(vec![(99, 0.into())])), malformed),
        ("no algorithm", mac0(header(vec![(4, kid(KID))]), none()), Err(Refusal::Algorithm)),
        ("no header", mac0(vec![], outside(vec![(4, kid(KID))])), Err(Refusal::Algorithm)),
        ("a short HMAC", mac0(header(vec![(1, 4.into()), (4, kid(KID))]), none()), Err(Refusal::Algorithm)),
        (
            "an algorithm by name",
            mac0(header(vec![(1, "HS256".into()), (4, kid(KID))]), none()),
            Err(Refusal::Algorithm),
        ),
        ("another's algorithm", mac0(header(vec![(1, (-7).into()), (4, kid(KID))]), none()), Err(Refusal::Algorithm)),
        ("a public key", mac0(header(vec![(1, 5.into()), (4, kid("acme-EdDsa"))]), none()), Err(Refusal::Algorithm)),
        (
            "crit",
            mac0(header(vec![(1, 5.into()), (2, cbor!([99]).unwrap()), (4, kid(KID))]), none()),
            Err(Refusal::Unsupported("crit")),
        ),
        ("crit outside", mac0(hs256(), outside(vec![(2, cbor!([99]).unwrap())])), Err(Refusal::Unsupported("crit"))),
        ("the other tag", tagged(18, mac0(hs256(), none())), Err(Refusal::Algorithm)),
        ("an encrypted one's tag", tagged(16, mac0(hs256(), none())), malformed),
        ("the tags turned round", tagged(17, tagged(61, mac0(hs256(), none()))), malformed),
        ("a tag twice", tagged(61, tagged(61, tagged(17, mac0(hs256(), none())))), malformed),
        ("no payload", part(2, Value::Null), malformed),
        (
            "another payload",
            part(2, Value::Bytes(cbor_bytes(&payload(&[(2, Some("b".into()))])))),
            Err(Refusal::Signature),
        ),
        ("no MAC", part(3, Value::Bytes(vec![])), Err(Refusal::Signature)),
        ("half a MAC", part(3, Value::Bytes(vec![0; 16])), Err(Refusal::Signature)),
        ("a MAC as text", part(3, "x".into()), malformed),
        ("an unprotected header that is none", part(1, Value::Null), malformed),
        ("a protected header that is none", mac0(cbor_bytes(&cbor!([1]).unwrap()), none()), malformed),
        ("three parts", cbor!([1, 2, 3]).unwrap(), malformed),
        ("a map", cbor!({1 => 2}).unwrap(), malformed),
    ] {
        assert_eq!(world.verify(&b64(cbor_bytes(&value))).map(|_| ()), expected, "{what}");
    }
    // A payload well signed that is no claims, has a key twice, or is a bomb.
    let twice = [&[0xa2, 4, 0x1a, 0x69, 0x2b, 0x10, 0, 4][..], &[0x1a, 0x7f, 0, 0, 0]].concat();
    for (what, payload) in [
        ("nothing", vec![]),
        ("an array", vec![0x80]),
        ("a key twice", twice),
        ("a key that is a list", vec![0xa1, 0x80, 0]),
        ("deep", vec![0x81; 2000]),
        ("long", vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("without an end", vec![0xbf, 4, 0, 0xff]),
        ("more after it", [cbor_bytes(&payload(&[])), vec![0]].concat()),
    ] {
        assert_eq!(world.verify(&forge::cat(key, KID, &payload)).map(|_| ()), malformed, "{what}");
    }
    // Countersignatures in headers in countersignatures, as deep as they fit.
    let mut deep = vec![0xa0];
    while deep.len() < 2800 {
        let inner = Value::Array(vec![Value::Bytes(deep), none(), Value::Bytes(vec![])]);
        deep = cbor_bytes(&Value::Map(vec![(7.into(), inner)]));
    }
    let token = b64(cbor_bytes(&mac0(deep, none())));
    assert!(token.len() <= TOKEN_CHARS_MAX);
    assert!(world.verify(&token).is_err());
}
