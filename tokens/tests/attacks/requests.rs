//! Times, keys and requests: what is the same in every format.

use framemill_schemas::delivery::{Address, Algorithm, Claims};
use framemill_tokens::{Asked, Format, Keyring, Method, Refusal, admit, sign};

use crate::world::{NOW_S, World, asked, claims, kid_of, paths, ways};

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
