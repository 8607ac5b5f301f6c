//! What is signed is verified, in every format with every algorithm.
#![allow(clippy::unwrap_used)]

mod world;

use framemill_schemas::delivery::{Address, Claims, Network, Paths, Region, Yields};
use framemill_tokens::{LIFETIME_S_MAX, Methods, SignError, admit, inspect, path_form, sign};
use proptest::prelude::*;
use world::{NOW_S, World, asked, claims, paths, ways};

#[test]
fn what_is_signed_is_verified_and_let_in() {
    let world = World::new();
    for (format, algorithm) in ways() {
        let token = world.sign(format, algorithm, &claims());
        let verified = world.verify(&token).unwrap_or_else(|refusal| panic!("{format:?} {algorithm:?}: {refusal:?}"));
        assert_eq!(verified.claims, claims(), "{format:?} {algorithm:?}");
        assert_eq!((verified.format, verified.issued_s), (format, NOW_S));
        assert_eq!(verified.kid, world::kid_of(algorithm, "acme"));
        assert_eq!((verified.methods, verified.more_networks.len()), (Methods::default(), 0));
        assert_eq!(admit(&verified, &asked()), Ok(()));
        // In a path it is one part, and the same token.
        let in_path = path_form(&token);
        assert!(in_path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{in_path}");
        assert_eq!(world.verify(&in_path), Ok(verified));
        let seen = inspect(&token);
        assert_eq!((seen.format, seen.kid), (Some(format), Some(world::kid_of(algorithm, "acme"))));
        assert!(seen.claims.to_string().contains("viewer@example.org") && seen.algorithm.is_some());
    }
}

#[test]
fn what_cannot_be_verified_is_not_signed() {
    let world = World::new();
    for (format, algorithm) in ways() {
        let key = world.signing(&world::kid_of(algorithm, "acme"));
        let mut bad = claims();
        bad.account = "a b".to_owned();
        assert!(matches!(sign(format, key, algorithm, &bad, NOW_S, &world.rng), Err(SignError::Claims(_))));
        let mut long = claims();
        long.expires_s = NOW_S + LIFETIME_S_MAX + 1;
        assert_eq!(sign(format, key, algorithm, &long, NOW_S, &world.rng), Err(SignError::Times));
        assert_eq!(sign(format, key, algorithm, &claims(), NOW_S + 600, &world.rng), Err(SignError::Times));
        let mut many = claims();
        many.paths = Paths::try_from((0..32).map(|n| format!("/live/acme/{n:0>200}/")).collect::<Vec<_>>()).unwrap();
        assert_eq!(sign(format, key, algorithm, &many, NOW_S, &world.rng), Err(SignError::TooLong));
        for other in world::ALGORITHMS.into_iter().filter(|other| *other != algorithm) {
            assert!(sign(format, key, other, &claims(), NOW_S, &world.rng).is_err());
        }
    }
}

fn some_claims() -> impl Strategy<Value = Claims> {
    let path = prop_oneof![
        "/(live|vod)/acme/[a-z0-9-]{1,20}(/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,12}){0,3}/?",
        "/(live|vod)/acme/",
    ];
    let network = (any::<std::net::IpAddr>(), any::<u8>()).prop_map(|(address, bits)| {
        Network::new(address, bits % if address.to_canonical().is_ipv4() { 33 } else { 129 })
    });
    (
        ("[A-Za-z0-9_.@-]{1,128}", "[A-Za-z0-9_-]{1,64}", prop::collection::vec(path, 1..8)),
        prop::collection::vec("[A-Z]{2}", 0..10),
        prop::collection::vec("https?://[a-z0-9.-]{1,30}(:[0-9]{2,5})?", 0..6),
        prop::option::of(network),
        (0..2_i64, -600..1_i64, 1..=LIFETIME_S_MAX),
        any::<u32>(),
        any::<bool>(),
    )
        .prop_map(|((account, session, all), regions, origins, network, times, sessions_max, newest)| Claims {
            tenant: "acme".parse().unwrap(),
            account,
            session,
            paths: Paths::try_from(all).unwrap(),
            regions: regions.iter().map(|text| text.parse::<Region>().unwrap()).collect(),
            origins,
            address: network.flatten().map_or(Address::Any, Address::Within),
            not_before_s: times.0 * (NOW_S + times.1),
            expires_s: NOW_S + times.2,
            sessions_max,
            yields: if newest { Yields::Newest } else { Yields::Oldest },
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_claims_come_back_as_they_were(claims in some_claims()) {
        let world = World::new();
        for (format, algorithm) in ways() {
            let key = world.signing(&world::kid_of(algorithm, "acme"));
            let token = sign(format, key, algorithm, &claims, NOW_S, &world.rng).unwrap();
            let verified = world.verify(&token);
            prop_assert_eq!(verified.as_ref().map(|verified| &verified.claims), Ok(&claims), "{}", token);
        }
    }

    #[test]
    fn arbitrary_text_is_refused_and_nothing_breaks(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let world = World::new();
        let coded = URL_SAFE_NO_PAD.encode(&bytes);
        let half = &coded[..coded.len() / 2];
        for token in [
            text.clone(),
            coded.clone(),
            format!("{coded}.{half}.{half}"),
            format!("exp={text}~acl={text}~id={text}~data=v1:acme-Hs256:{text}~hmac={}", "0".repeat(64)),
            String::from_utf8_lossy(&bytes).into_owned(),
        ] {
            prop_assert!(world.verify(&token).is_err());
            inspect(&token);
        }
    }
}

#[test]
fn one_path_stands_in_a_common_access_token_alone() {
    let world = World::new();
    for path in ["/live/acme/news/", "/vod/acme/x/master.m3u8"] {
        let mut claims = claims();
        claims.paths = paths(&[path]);
        let token = world.sign(framemill_tokens::Format::Cat, framemill_schemas::delivery::Algorithm::Hs256, &claims);
        let seen = inspect(&token).claims;
        assert_eq!(seen["catu"]["3"][if path.ends_with('/') { "1" } else { "0" }], path, "{seen}");
        assert_eq!(seen.get("paths"), None);
        assert_eq!(world.verify(&token).unwrap().claims, claims);
    }
}
