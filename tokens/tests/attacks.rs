//! Every attack that is known of, one row each: what comes, and why it is refused.
#![allow(clippy::unwrap_used)]

#[path = "world/forge.rs"]
mod forge;
mod world;

use ciborium::{Value, cbor};
use forge::{b64, cbor_bytes, tagged};
use framemill_schemas::delivery::{Address, Algorithm, Claims};
use framemill_tokens::{Asked, Format, Keyring, Method, Refusal, TOKEN_CHARS_MAX, admit, inspect, path_form, sign};
use world::{NOW_S, World, asked, claims, kid_of, paths, ways};

const KID: &str = "acme-Hs256";

fn secret(world: &World) -> &[u8] {
    &world.signing(KID).signs
}

/// Signs claims in every way and says what becomes of them at a time.
fn every_way(change: impl Fn(&mut Claims), now_s: i64, expected: Refusal) {
    let world = World::new();
    for (format, algorithm) in ways() {
        let mut claims = claims();
        change(&mut claims);
        let token = world.sign(format, algorithm, &claims);
        assert_eq!(world.ring.verify(&token, now_s).map(|_| ()), Err(expected), "{format:?} {algorithm:?}");
    }
}

#[test]
fn times() {
    every_way(|_| (), NOW_S + 600, Refusal::Expired);
    every_way(|_| (), NOW_S + 601, Refusal::Expired);
    every_way(|_| (), i64::MAX, Refusal::Expired);
    every_way(|claims| claims.not_before_s = NOW_S + 31, NOW_S, Refusal::NotYet);
    // Issued ahead of our clock by more than it may be.
    every_way(|claims| claims.not_before_s = 0, NOW_S - 31, Refusal::NotYet);
    every_way(|_| (), i64::MIN, Refusal::NotYet);
    let world = World::new();
    for (format, algorithm) in ways() {
        let token = world.sign(format, algorithm, &claims());
        for now_s in [NOW_S - 30, NOW_S, NOW_S + 599] {
            assert!(world.ring.verify(&token, now_s).is_ok(), "{format:?} {algorithm:?} {now_s}");
        }
    }
}

#[test]
fn keys_of_others() {
    every_way(|claims| claims.tenant = "other".parse().unwrap(), NOW_S, Refusal::Tenant);
    every_way(|claims| claims.paths = paths(&["/live/other/"]), NOW_S, Refusal::Scope);
    every_way(|claims| claims.paths = paths(&["/live/acme/", "/live/"]), NOW_S, Refusal::Scope);
    every_way(|claims| claims.paths = paths(&["/live/acme-2/"]), NOW_S, Refusal::Scope);
    let world = World::new();
    for (format, algorithm) in ways() {
        // Another tenant's key under this tenant's name, and the other way round.
        let theirs = sign(format, world.signing(&kid_of(algorithm, "other")), algorithm, &claims(), NOW_S, &world.rng);
        assert_eq!(world.verify(&theirs.unwrap()).map(|_| ()), Err(Refusal::Tenant));
        let mut named = world.signing(&kid_of(algorithm, "other")).clone();
        named.kid = kid_of(algorithm, "acme");
        let stolen = sign(format, &named, algorithm, &claims(), NOW_S, &world.rng).unwrap();
        assert_eq!(world.verify(&stolen).map(|_| ()), Err(Refusal::Signature));
        named.kid = "nobody".to_owned();
        let unknown = sign(format, &named, algorithm, &claims(), NOW_S, &world.rng).unwrap();
        assert_eq!(world.verify(&unknown).map(|_| ()), Err(Refusal::UnknownKey));
        // Retired, now and while somebody keeps what was verified before.
        let token = world.sign(format, algorithm, &claims());
        let mut keys = world.keys.clone();
        keys.iter_mut().for_each(|key| key.retired_ms = Some((NOW_S + 60) * 1000));
        let (ring, _) = Keyring::new(keys);
        let verified = ring.verify(&token, NOW_S + 59).unwrap();
        assert_eq!(ring.verify(&token, NOW_S + 60).map(|_| ()), Err(Refusal::Retired));
        assert_eq!(admit(&verified, &asked()), Ok(()));
        assert_eq!(admit(&verified, &Asked { now_s: NOW_S + 60, ..asked() }), Err(Refusal::Retired));
    }
}

#[test]
fn requests_that_a_token_is_not_for() {
    let world = World::new();
    for (format, algorithm) in ways() {
        let verified = world.verify(&world.sign(format, algorithm, &claims())).unwrap();
        for (asked, expected) in [
            (Asked { path: "/live/acme/sport/master.m3u8", ..asked() }, Refusal::Path),
            (Asked { path: "/live/acme/news", ..asked() }, Refusal::Path),
            (Asked { path: "/live/acme/newsroom/x.m4s", ..asked() }, Refusal::Path),
            (Asked { path: "/live/acme/news.m3u8/x", ..asked() }, Refusal::Path),
            (Asked { path: "/live/ACME/news/x.m4s", ..asked() }, Refusal::Path),
            (Asked { path: "", ..asked() }, Refusal::Path),
            (Asked { address: "203.0.114.9".parse().unwrap(), ..asked() }, Refusal::Address),
            (Asked { address: "2001:db8::1".parse().unwrap(), ..asked() }, Refusal::Address),
            (Asked { origin: Some("https://tv.example.evil"), ..asked() }, Refusal::Origin),
            (Asked { origin: Some("https://tv.example:8443"), ..asked() }, Refusal::Origin),
            (Asked { origin: Some("null"), ..asked() }, Refusal::Origin),
            (Asked { origin: Some(""), ..asked() }, Refusal::Origin),
            (Asked { region: Some("FR".parse().unwrap()), ..asked() }, Refusal::Region),
            (Asked { region: None, ..asked() }, Refusal::Region),
            (Asked { now_s: NOW_S + 600, ..asked() }, Refusal::Expired),
            (Asked { now_s: NOW_S - 31, ..asked() }, Refusal::NotYet),
        ] {
            assert_eq!(admit(&verified, &asked), Err(expected), "{format:?} {asked:?}");
        }
        for good in [
            Asked { origin: None, ..asked() },
            Asked { method: Method::Head, ..asked() },
            Asked { path: "/live/acme/news.m3u8", ..asked() },
            Asked { address: "::ffff:203.0.113.1".parse().unwrap(), ..asked() },
        ] {
            assert_eq!(admit(&verified, &good), Ok(()), "{good:?}");
        }
        // A token that asks for nothing more lets in from anywhere.
        let plain = Claims { regions: vec![], origins: vec![], address: Address::Any, ..claims() };
        let verified = world.verify(&world.sign(format, algorithm, &plain)).unwrap();
        let address = "2001:db8::1".parse().unwrap();
        assert_eq!(admit(&verified, &Asked { origin: Some("x"), region: None, address, ..asked() }), Ok(()));
    }
}

#[test]
fn sizes() {
    let world = World::new();
    let (most, more) = (TOKEN_CHARS_MAX, TOKEN_CHARS_MAX + 1);
    for letter in ["A", ".", "~", "é", "\0"] {
        assert_eq!(world.verify(&letter.repeat(more)).map(|_| ()), Err(Refusal::Oversized));
        assert_eq!(world.verify(&letter.repeat(most / letter.len())).map(|_| ()), Err(Refusal::Malformed));
    }
    assert_eq!(world.verify("").map(|_| ()), Err(Refusal::Missing));
}

#[test]
fn cut_short_or_one_bit_changed() {
    let world = World::new();
    for (format, algorithm) in ways() {
        let token = world.sign(format, algorithm, &claims());
        for token in [path_form(&token).into_owned(), token] {
            for end in 0..token.len() {
                assert!(world.verify(&token[..end]).is_err(), "{format:?} {algorithm:?} {end}");
                // The first four letters are the two tags, which may be left out.
                let is_untagged = format == Format::Cat && end == 3;
                assert_eq!(world.verify(&token[end + 1..]).is_ok(), is_untagged, "{format:?} {algorithm:?} from {end}");
                inspect(&token[..end]);
            }
            for bit in 0..token.len() * 8 {
                let mut bytes = token.clone().into_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                // What is no text cannot come.
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(world.verify(&changed).is_err(), "{format:?} {algorithm:?} bit {bit}: {changed}");
            }
            for more in ["A", "=", ".", "~", " ", "\n", "%00"] {
                assert!(world.verify(&format!("{token}{more}")).is_err(), "{format:?} {algorithm:?} {more:?}");
                assert!(world.verify(&format!("{more}{token}")).is_err(), "{format:?} {algorithm:?} {more:?}");
            }
        }
    }
}

#[test]
fn headers_of_json_tokens() {
    let world = World::new();
    let payload = r#"{"sub":"a","sid":"s","paths":["/live/acme/"],"exp":1764450060,"iat":1764450000}"#;
    let public = |algorithm| world.keys.iter().find(|key| key.algorithm == algorithm).unwrap().verifies.clone();
    let (ed, ec) = (public(Algorithm::EdDsa), public(Algorithm::Es256));
    for (key, header, expected) in [
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256"}"#, Ok(())),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256","typ":"jwt","jku":"https://evil","x":1}"#, Ok(())),
        (secret(&world), r#"{"alg":"none","kid":"acme-Hs256"}"#, Err(Refusal::Algorithm)),
        (secret(&world), r#"{"alg":"None","kid":"acme-Hs256"}"#, Err(Refusal::Algorithm)),
        (secret(&world), r#"{"alg":"hs256","kid":"acme-Hs256"}"#, Err(Refusal::Algorithm)),
        (secret(&world), r#"{"alg":"HS512","kid":"acme-Hs256"}"#, Err(Refusal::Algorithm)),
        (secret(&world), r#"{"alg":"RS256","kid":"acme-Hs256"}"#, Err(Refusal::Algorithm)),
        // A public key as if it were a secret.
        (&ed, r#"{"alg":"HS256","kid":"acme-EdDsa"}"#, Err(Refusal::Algorithm)),
        (&ec, r#"{"alg":"HS256","kid":"acme-Es256"}"#, Err(Refusal::Algorithm)),
        (&ec, r#"{"alg":"ES256","kid":"acme-Es256"}"#, Err(Refusal::Signature)),
        (&ed, r#"{"alg":"EdDSA","kid":"acme-EdDsa"}"#, Err(Refusal::Signature)),
        (&ed, r#"{"alg":"HS256","kid":"acme-Hs256"}"#, Err(Refusal::Signature)),
        (secret(&world), r#"{"alg":"HS256"}"#, Err(Refusal::UnknownKey)),
        (secret(&world), r#"{"alg":"HS256","kid":""}"#, Err(Refusal::UnknownKey)),
        (secret(&world), r#"{"alg":"HS256","kid":"../acme-Hs256"}"#, Err(Refusal::UnknownKey)),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256\u0000"}"#, Err(Refusal::UnknownKey)),
        (secret(&world), r#"{"alg":"HS256","kid":["acme-Hs256"]}"#, Err(Refusal::Malformed)),
        (secret(&world), r#"{"alg":"HS256","alg":"HS256","kid":"acme-Hs256"}"#, Err(Refusal::Malformed)),
        (secret(&world), r#"{"alg":"HS256","kid":"other","\u006bid":"acme-Hs256"}"#, Err(Refusal::Malformed)),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256","typ":"at+jwt"}"#, Err(Refusal::Malformed)),
        (
            secret(&world),
            r#"{"alg":"HS256","kid":"acme-Hs256","crit":["b64"],"b64":true}"#,
            Err(Refusal::Unsupported("crit")),
        ),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256","b64":false}"#, Err(Refusal::Unsupported("b64"))),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256","zip":"DEF"}"#, Err(Refusal::Unsupported("zip"))),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256"} "#, Ok(())),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256"}x"#, Err(Refusal::Malformed)),
        (secret(&world), "[]", Err(Refusal::Malformed)),
        (secret(&world), "", Err(Refusal::Malformed)),
    ] {
        assert_eq!(world.verify(&forge::jwt(key, header, payload)).map(|_| ()), expected, "{header}");
    }
    // Without a signature, as unsecured tokens are.
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"none","kid":"acme-Hs256"}"#, r#"{"alg":"HS256","kid":"acme-Hs256"}"#]
    {
        assert!(world.verify(&format!("{}.{}.", b64(header), b64(payload))).is_err(), "{header}");
    }
    // Padded, in the other alphabet, with four parts.
    let good = forge::jwt(secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256"}"#, payload);
    for bad in [
        format!("{good}="),
        good.replace('.', "=."),
        format!("{good}."),
        format!(".{good}"),
        good.replacen('.', "..", 1),
    ] {
        assert_eq!(world.verify(&bad).map(|_| ()), Err(Refusal::Malformed), "{bad}");
    }
}

#[test]
fn claims_of_json_tokens() {
    let world = World::new();
    let base = r#""sub":"a","sid":"s","paths":["/live/acme/"],"exp":1764450060,"iat":1764450000"#;
    let malformed = Err(Refusal::Malformed);
    for (payload, expected) in [
        (format!("{{{base}}}"), Ok(())),
        (format!("{{{base},\"iss\":\"x\",\"jti\":\"1\",\"name\":{{\"deep\":[1]}}}}"), Ok(())),
        (format!("{{{base},\"exp\":1964450060}}"), malformed),
        (format!("{{{base},\"\\u0065xp\":1964450060}}"), malformed),
        (format!("{{{base},\"paths\":[\"/vod/acme/\"]}}"), malformed),
        (format!("{{{base},\"x\":1,\"x\":2}}"), malformed),
        (format!("{{{base},\"aud\":\"cdn\"}}"), Err(Refusal::Unsupported("aud"))),
        (format!("{{{base},\"cdniip\":\"x\"}}"), Err(Refusal::Unsupported("cdniip"))),
        (format!("{{{base},\"catreplay\":1}}"), Err(Refusal::Unsupported("catreplay"))),
        (format!("{{{base},\"ten\":\"acme\"}}"), Ok(())),
        (format!("{{{base},\"ten\":\"other\"}}"), Err(Refusal::Tenant)),
        (format!("{{{base},\"ten\":\"ACME\"}}"), malformed),
        (format!("{{{base},\"ten\":null}}"), malformed),
        (format!("{{{base},\"reg\":[]}}"), malformed),
        (format!("{{{base},\"reg\":[\"D\"]}}"), malformed),
        (format!("{{{base},\"reg\":\"DE\"}}"), malformed),
        (format!("{{{base},\"ori\":[]}}"), malformed),
        (format!("{{{base},\"ori\":[\"*\"]}}"), malformed),
        (format!("{{{base},\"ip\":\"203.0.113.0/33\"}}"), malformed),
        (format!("{{{base},\"ip\":\"\"}}"), malformed),
        (format!("{{{base},\"max\":-1}}"), malformed),
        (format!("{{{base},\"max\":4294967296}}"), malformed),
        (format!("{{{base},\"yld\":\"nobody\"}}"), malformed),
        (format!("{{{base},\"nbf\":1764450000.5}}"), malformed),
        (format!("{{{base},\"nbf\":1764450060}}"), malformed),
        (format!("{{{base},\"nbf\":99999999999999999999}}"), malformed),
        (format!("{{{}}}", base.replace(r#","iat":1764450000"#, "")), Err(Refusal::TooLong)),
        (format!("{{{}}}", base.replace("1764450060", "1764536401")), Err(Refusal::TooLong)),
        (format!("{{{}}}", base.replace("1764450060", "9223372036854775807")), Err(Refusal::TooLong)),
        (format!("{{{}}}", base.replace("1764450060", "\"1764450060\"")), malformed),
        (format!("{{{}}}", base.replace(r#""exp":1764450060,"#, "")), malformed),
        (format!("{{{}}}", base.replace(r#""sid":"s","#, "")), malformed),
        (format!("{{{}}}", base.replace(r#""sub":"a","#, "")), malformed),
        (format!("{{{}}}", base.replace(r#""paths":["/live/acme/"],"#, "")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "/live/acme/../other/")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "/live/acme/%2e%2e/")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "/live/acme/*")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "//live/acme/")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "/")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "/live/")), Err(Refusal::Scope)),
        (format!("{{{}}}", base.replace("\"a\"", "\"a b\"")), malformed),
        (format!("{{{}}}", base.replace("\"s\"", "\"s/../t\"")), malformed),
        (format!("{{{base},\"x\":{}1{}}}", "[".repeat(900), "]".repeat(900)), Ok(())),
        (format!("{{{base},{}}}", (0..40).map(|n| format!("\"x{n}\":0")).collect::<Vec<_>>().join(",")), malformed),
        (String::new(), malformed),
        ("null".to_owned(), malformed),
        (format!("[{{{base}}}]"), malformed),
        (format!("{{{base}}} {{}}"), malformed),
    ] {
        let token = forge::jwt(secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256"}"#, &payload);
        assert_eq!(world.verify(&token).map(|_| ()), expected, "{payload}");
    }
}

#[test]
fn fields_of_compact_tokens() {
    let world = World::new();
    let base = "exp=1764450060~acl=/live/acme/*~id=s~data=v1:acme-Hs256:acme:a:1764450000:0:oldest::";
    let changed = |from: &str, to: &str| base.replacen(from, to, 1);
    for (message, expected) in [
        (base.to_owned(), Ok(())),
        (format!("st=1764450000~{base}"), Ok(())),
        (changed("~id", "~ip=203.0.113.7~id"), Ok(())),
        (changed("/live/acme/*", "/live/acme/a.m3u8!/vod/acme/*"), Ok(())),
        (format!("{base}https://tv.example:8443!http://a"), Ok(())),
        // In another order, twice, missing, unknown, empty.
        (changed("exp=1764450060~acl=/live/acme/*", "acl=/live/acme/*~exp=1764450060"), Err(Refusal::Malformed)),
        (format!("exp=1964450060~{base}"), Err(Refusal::Malformed)),
        (format!("{base}~exp=1964450060"), Err(Refusal::Malformed)),
        (changed("~acl", "~acl=/vod/acme/*~acl"), Err(Refusal::Malformed)),
        (changed("~acl=/live/acme/*", ""), Err(Refusal::Malformed)),
        (changed("~id=s", ""), Err(Refusal::Malformed)),
        (changed("~id=s", "~url=/live/acme/x~id=s"), Err(Refusal::Malformed)),
        (changed("~id=s", "~id="), Err(Refusal::Malformed)),
        (format!("st=~{base}"), Err(Refusal::Malformed)),
        (format!("{base}~"), Err(Refusal::Malformed)),
        (format!("{base}~hmac=00"), Err(Refusal::Malformed)),
        // Numbers in another form.
        (changed("1764450060", "+1764450060"), Err(Refusal::Malformed)),
        (changed("1764450060", "01764450060"), Err(Refusal::Malformed)),
        (changed("1764450060", "1764450060 "), Err(Refusal::Malformed)),
        (changed("1764450060", "0x6929f5cc"), Err(Refusal::Malformed)),
        (changed("1764450060", "99999999999999999999"), Err(Refusal::Malformed)),
        (changed(":0:", ":4294967296:"), Err(Refusal::Malformed)),
        (changed("exp=1764450060", "exp=now"), Err(Refusal::Malformed)),
        // Paths.
        (changed("/live/acme/*", "/*"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "*"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/acme/"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/acme*"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/*/x"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/acme/**"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "%2flive%2facme%2f*"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/acme/*!"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/*"), Err(Refusal::Scope)),
        (changed("/live/acme/*", &["/live/acme/*"; 33].join("!")), Err(Refusal::Malformed)),
        // Data.
        (changed("v1", "v2"), Err(Refusal::Malformed)),
        (changed("acme-Hs256", "nobody"), Err(Refusal::UnknownKey)),
        (changed("acme-Hs256", "acme-EdDsa"), Err(Refusal::Algorithm)),
        (changed(":acme:", ":other:"), Err(Refusal::Tenant)),
        (changed(":acme:", "::"), Err(Refusal::Malformed)),
        (changed("oldest::", "oldest:"), Err(Refusal::Malformed)),
        (changed("oldest::", "eldest::"), Err(Refusal::Malformed)),
        (changed("oldest::", "oldest:de:"), Err(Refusal::Malformed)),
        (changed("oldest::", "oldest:DE!:"), Err(Refusal::Malformed)),
        (format!("{base}*"), Err(Refusal::Malformed)),
        (format!("{base}:"), Err(Refusal::Malformed)),
    ] {
        let token = forge::compact(secret(&world), &message);
        assert_eq!(world.verify(&token).map(|_| ()), expected, "{message}");
        assert_eq!(world.verify(&b64(&token)).map(|_| ()), expected, "{message}");
    }
    let good = forge::compact(secret(&world), base);
    let (message, hex) = good.rsplit_once('=').unwrap();
    assert_eq!(world.verify(&format!("{message}={}", hex.to_uppercase())).map(|_| ()), Err(Refusal::Malformed));
    assert_eq!(world.verify(&format!("{message}=")).map(|_| ()), Err(Refusal::Malformed));
    assert_eq!(world.verify(&format!("{message}={}", "0".repeat(64))).map(|_| ()), Err(Refusal::Signature));
}

/// The payload of a good Common Access Token, with claims changed or added.
fn payload(changes: &[(i64, Option<Value>)]) -> Value {
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
        (7, Some(bytes(&[0xff])), malformed),
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
        (322, Some(cbor!({4 => [401]}).unwrap()), unsupported("catif")),
        (323, Some(cbor!({0 => 0, 1 => 60}).unwrap()), unsupported("catr")),
        (324, Some(0.into()), Ok(())),
        (1000, Some(0.into()), Ok(())),
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
    assert!(token.len() <= TOKEN_CHARS_MAX || world.verify(&token).is_err());
    assert!(world.verify(&token).is_err());
}

#[test]
fn keys_that_are_none_are_left_out() {
    let world = World::new();
    let mut keys = world.keys.clone();
    keys[0].verifies.truncate(31);
    keys[1].verifies[0] = 2;
    keys[2].verifies.push(0);
    keys[3].kid = "a b".to_owned();
    keys[4].v = 99;
    keys.push(keys[5].clone());
    let (ring, faults) = Keyring::new(keys);
    assert_eq!((ring.len(), faults.len()), (1, 6), "{faults:?}");
    let shown = format!("{ring:?} {faults:?}");
    assert!(shown.contains("other-EdDsa") && !shown.contains("verifies: ["), "{shown}");
    assert_eq!(
        Keyring::default().verify(&world.sign(Format::Jwt, Algorithm::Hs256, &claims()), NOW_S).map(|_| ()),
        Err(Refusal::UnknownKey)
    );
}
