//! The tokens in the documents are what they say.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use framemill_schemas::delivery::{Algorithm, Claims, TOKEN_KEY_VERSION, TokenKey, Yields};
use framemill_tokens::{Format, Keyring, inspect, path_form};

/// The reference, whose examples are signed with one key.
const REFERENCE: &str = include_str!("../../docs/ref/tokens.md");
const SECRET: &[u8] = b"an example, and no secret at all";
const KID: &str = "acme-1";
const NOW_S: i64 = 1_764_450_300;

fn claims() -> Claims {
    Claims {
        tenant: "acme".parse().unwrap(),
        account: "viewer-1".to_owned(),
        session: "s1".to_owned(),
        paths: vec!["/live/acme/news/".to_owned()].try_into().unwrap(),
        regions: vec!["DE".parse().unwrap()],
        origins: vec!["https://tv.example".to_owned()],
        address: Default::default(),
        not_before_s: 0,
        expires_s: 1_764_450_600,
        sessions_max: 2,
        yields: Yields::Oldest,
    }
}

#[test]
fn examples_verify() {
    let key = TokenKey {
        v: TOKEN_KEY_VERSION,
        kid: KID.to_owned(),
        tenant: "acme".parse().unwrap(),
        algorithm: Algorithm::Hs256,
        scope: vec!["/live/acme/".to_owned()].try_into().unwrap(),
        verifies: SECRET.to_vec(),
        created_ms: 0,
        retired_ms: None,
    };
    let (ring, _) = Keyring::new([key]);
    // They stand each on a line of its own, and in a path.
    let found: Vec<_> = REFERENCE
        .lines()
        .map(|line| line.trim().trim_start_matches("https://edge.example/t/").split("/live/").next().unwrap())
        .filter(|word| word.len() > 100 && !word.contains([' ', '=']))
        .collect();
    let whole: Vec<_> =
        REFERENCE.lines().map(str::trim).filter(|line| line.starts_with("exp=") && line.contains("~hmac=")).collect();
    let mut formats = Vec::new();
    for token in whole.iter().copied().chain(found) {
        let verified = ring.verify(token, NOW_S).unwrap_or_else(|refusal| panic!("{refusal}: {token}"));
        assert_eq!(verified.claims, claims(), "{token}");
        assert_eq!(inspect(token).kid.as_deref(), Some(KID));
        formats.push(verified.format);
    }
    assert_eq!(formats, [Format::Compact, Format::Jwt, Format::Cat, Format::Compact]);
    assert!(REFERENCE.contains(path_form(whole[0]).as_ref()));
}

#[test]
#[ignore = "prints the examples"]
fn print_examples() {
    let key = framemill_schemas::delivery::SigningKey { v: 1, kid: KID.to_owned(), signs: SECRET.to_vec() };
    let rng = ring::rand::SystemRandom::new();
    let examples = Format::ALL
        .map(|format| framemill_tokens::sign(format, &key, Algorithm::Hs256, &claims(), 1_764_450_000, &rng).unwrap());
    eprintln!("{}\n\n{}", examples.join("\n\n"), path_form(&examples[1]));
}
