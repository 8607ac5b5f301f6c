//! What a Common Access Token asks for besides: answers (`catif`) and renewal (`catr`).

use ciborium::{Value, cbor};
use framemill_tokens::{Asked, Format, Method, Refusal, RenewingWay, admit, sign_with};

use crate::{
    KID,
    cat_claims::payload,
    forge::{self, cbor_bytes},
    secret,
    world::{NOW_S, World, asked, claims},
};

fn token(world: &World, changes: &[(i64, Option<Value>)]) -> String {
    forge::cat(secret(world), KID, &cbor_bytes(&payload(changes)))
}

#[test]
fn answers_that_are_read_and_answers_that_are_not() {
    let world = World::new();
    let to = |address: &str| cbor!({4 => [307, {"Location" => address}]}).unwrap();
    let long = format!("https://a.example/{}", "x".repeat(1024));
    let many = Value::Map((0..17).map(|label| (label.into(), cbor!([401]).unwrap())).collect());
    let malformed = Err(Refusal::Malformed);
    let unsupported = Err(Refusal::Unsupported("catif"));
    for (value, expected) in [
        (cbor!({4 => [401]}).unwrap(), Ok(())),
        (cbor!({4 => [403, {}], 312 => [404], 999 => [451]}).unwrap(), Ok(())),
        (to("https://auth.example.net/?a=b"), Ok(())),
        (
            cbor!({4 => [401, {"WWW-Authenticate" => "Bearer realm=x", "cache-control" => "max-age=60"}]}).unwrap(),
            Ok(()),
        ),
        // Others write so: an address that a token is to be signed for, and with which key.
        (
            cbor!({4 => [307, {"Location" => ["https://auth.example.net/?CAT=", {1 => 0}]}, "mykey"]}).unwrap(),
            unsupported,
        ),
        (cbor!({4 => [307, {"Location" => "https://auth.example.net/"}, "mykey"]}).unwrap(), unsupported),
        (cbor!({4 => [307, {"Location" => "https://a.example/", "x-custom-header" => "y"}]}).unwrap(), unsupported),
        (cbor!({4 => [401, {"Set-Cookie" => "a=b"}]}).unwrap(), unsupported),
        (cbor!({4 => [401, {"Access-Control-Allow-Origin" => "*"}]}).unwrap(), unsupported),
        // Nobody is let in by an answer, and none leads nowhere.
        (cbor!({4 => [200]}).unwrap(), unsupported),
        (cbor!({4 => [206]}).unwrap(), unsupported),
        (cbor!({4 => [500]}).unwrap(), unsupported),
        (cbor!({4 => [307]}).unwrap(), unsupported),
        (cbor!({4 => [401, {"Location" => "https://a.example/"}]}).unwrap(), unsupported),
        (cbor!({4 => [70000]}).unwrap(), malformed),
        (cbor!({4 => [(-1)]}).unwrap(), malformed),
        (to("javascript:alert(1)"), malformed),
        (to("//evil.example/"), malformed),
        (to("data:text/html,x"), malformed),
        (to("https://"), malformed),
        (to("https://a.example/\r\nSet-Cookie: a=b"), malformed),
        (to("https://a.example/ b"), malformed),
        (to("https://a.example/\u{e9}"), malformed),
        (to(&long), malformed),
        (cbor!({4 => [401, {"WWW-Authenticate" => "a\r\nb: c"}]}).unwrap(), malformed),
        (
            cbor!({4 => [307, {"Location" => "https://a.example/", "location" => "https://b.example/"}]}).unwrap(),
            malformed,
        ),
        (cbor!({4 => 401}).unwrap(), malformed),
        (cbor!({4 => []}).unwrap(), malformed),
        (cbor!({4 => [401, 1]}).unwrap(), malformed),
        (cbor!({"exp" => [401]}).unwrap(), malformed),
        (cbor!({}).unwrap(), malformed),
        (cbor!([4]).unwrap(), malformed),
        (many, malformed),
    ] {
        let shown = format!("{value:?}");
        assert_eq!(world.verify(&token(&world, &[(322, Some(value))])).map(|_| ()), expected, "{shown}");
    }
}

#[test]
fn renewals_that_are_read_and_renewals_that_are_not() {
    let world = World::new();
    let malformed = Err(Refusal::Malformed);
    let unsupported = Err(Refusal::Unsupported("catr"));
    for (value, expected) in [
        (cbor!({0 => 0, 1 => 60}).unwrap(), Ok(())),
        (cbor!({0 => 1, 1 => 60, 2 => 20}).unwrap(), Ok(())),
        (cbor!({0 => 1, 1 => 60, 3 => "CTA-Common-Access-Token"}).unwrap(), Ok(())),
        (cbor!({0 => 0, 1 => 60, 3 => "framemill-token", 4 => "cta-common-access-token", 7 => 302}).unwrap(), Ok(())),
        (cbor!({0 => 2, 1 => 60, 4 => "CTA-Common-Access-Token"}).unwrap(), Ok(())),
        (cbor!({0 => 3, 1 => 60, 7 => 307}).unwrap(), Ok(())),
        (cbor!({0 => 4, 1 => 60}).unwrap(), unsupported),
        (cbor!({0 => 0, 1 => 29}).unwrap(), unsupported),
        // Another site's session, and headers that something else goes by.
        (cbor!({0 => 1, 1 => 60, 3 => "sessionid"}).unwrap(), unsupported),
        (cbor!({0 => 1, 1 => 60, 3 => "a=b; Domain=example.com"}).unwrap(), unsupported),
        (cbor!({0 => 2, 1 => 60, 4 => "Set-Cookie"}).unwrap(), unsupported),
        (cbor!({0 => 2, 1 => 60, 4 => "x\r\ny"}).unwrap(), unsupported),
        (cbor!({0 => 1, 1 => 60, 5 => ["Domain=example.com"]}).unwrap(), unsupported),
        (cbor!({0 => 2, 1 => 60, 6 => ["a"]}).unwrap(), unsupported),
        (cbor!({0 => 3, 1 => 60, 7 => 301}).unwrap(), unsupported),
        (cbor!({0 => 3, 1 => 60, 7 => 200}).unwrap(), unsupported),
        (cbor!({0 => 1, 1 => 60, 7 => 307}).unwrap(), unsupported),
        (cbor!({0 => 2, 1 => 60, 3 => "framemill-token"}).unwrap(), unsupported),
        (cbor!({0 => 0, 1 => 60, 8 => 1}).unwrap(), unsupported),
        (cbor!({0 => 0}).unwrap(), malformed),
        (cbor!({1 => 60}).unwrap(), malformed),
        (cbor!({0 => 0, 1 => 0}).unwrap(), malformed),
        (cbor!({0 => 0, 1 => (-5)}).unwrap(), malformed),
        (cbor!({0 => 0, 1 => 1.5}).unwrap(), malformed),
        (cbor!({0 => 0, 1 => 43201}).unwrap(), malformed),
        (cbor!({0 => 0, 1 => 60, 2 => 0}).unwrap(), malformed),
        (cbor!({0 => "automatic", 1 => 60}).unwrap(), malformed),
        (cbor!({"type" => 0, 1 => 60}).unwrap(), malformed),
        (cbor!({0 => 0, 1 => 60, 3 => 5}).unwrap(), malformed),
        (cbor!([0, 60]).unwrap(), malformed),
    ] {
        let shown = format!("{value:?}");
        assert_eq!(world.verify(&token(&world, &[(323, Some(value))])).map(|_| ()), expected, "{shown}");
    }
}

#[test]
fn a_refusal_is_answered_as_the_token_says_once_it_is_proved() {
    let world = World::new();
    let answers = cbor!({
        4 => [307, {"Location" => "https://auth.example.net/"}], 5 => [403], 1 => [451], 311 => [410], 312 => [404],
        313 => [400], 316 => [401]
    });
    let answers = (322, Some(answers.unwrap()));
    let status = |changes: &[(i64, Option<Value>)]| {
        let all: Vec<_> = changes.iter().cloned().chain([answers.clone()]).collect();
        let refused = world.ring.verify_telling(&token(&world, &all), NOW_S).unwrap_err();
        (refused.refusal, refused.instead.map(|instead| (instead.status, instead.headers.len())))
    };
    assert_eq!(status(&[(4, Some(NOW_S.into()))]), (Refusal::Expired, Some((307, 1))));
    assert_eq!(status(&[(5, Some((NOW_S + 31).into()))]), (Refusal::NotYet, Some((403, 0))));
    assert_eq!(status(&[(1, Some("other".into()))]), (Refusal::Tenant, Some((451, 0))));
    assert_eq!(status(&[(6, None)]), (Refusal::TooLong, None));
    // Signed by nobody who may: it says nothing.
    let good = payload(&[(4, Some(NOW_S.into())), answers.clone()]);
    let forged = forge::cat(b"another secret of thirty-two byte", KID, &cbor_bytes(&good));
    let refused = world.ring.verify_telling(&forged, NOW_S).unwrap_err();
    assert_eq!((refused.refusal, refused.instead), (Refusal::Signature, None));

    let more = [(311, Some(cbor!([Value::Tag(52, Box::new(Value::Bytes(vec![203, 0, 113, 9])))]).unwrap())), answers];
    let methods = (313, Some(cbor!(["GET"]).unwrap()));
    let verified = world.verify(&token(&world, &[more.to_vec(), vec![methods]].concat())).unwrap();
    let get = Asked { path: "/live/acme/x", region: None, origin: None, ..asked() };
    for (request, refusal, status) in [
        (Asked { path: "/live/other/x", ..get }, Refusal::Path, Some(404)),
        (Asked { method: Method::Head, ..get }, Refusal::Method, Some(400)),
        (Asked { address: "203.0.113.8".parse().unwrap(), ..get }, Refusal::Address, Some(410)),
    ] {
        assert_eq!(admit(&verified, &request), Err(refusal));
        assert_eq!(verified.more.instead(refusal).map(|instead| instead.status), status, "{refusal:?}");
    }
    assert_eq!(verified.more.instead(Refusal::Origin), None);
}

#[test]
fn the_next_token_asks_for_the_same_as_the_last() {
    let world = World::new();
    let renewing = cbor!({0 => 1, 1 => 60, 2 => 20, 3 => "CTA-Common-Access-Token"}).unwrap();
    let answers = cbor!({4 => [307, {"location" => "https://auth.example.net/"}], 312 => [404, {}]}).unwrap();
    let verified = world.verify(&token(&world, &[(323, Some(renewing)), (322, Some(answers))])).unwrap();
    let read = verified.more.renewing.unwrap();
    assert_eq!((read.way, read.add_s, read.deadline_s), (RenewingWay::Cookie, 60, Some(20)));
    let algorithm = framemill_schemas::delivery::Algorithm::Hs256;
    let next =
        sign_with(Format::Cat, world.signing(KID), algorithm, &claims(), &verified.more, NOW_S, &world.rng).unwrap();
    assert_eq!(world.verify(&next).unwrap().more, verified.more);
}
